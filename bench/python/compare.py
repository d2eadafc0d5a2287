"""prometheus_client in its own multiprocess mode and with its values replaced, in one run.

    tallyboard exec -- python bench/python/compare.py [--rounds N] [--quick]

Each round starts a process for either, one after the other, and asks for nanoseconds per operation;
then so many processes for a scrape. What is printed are medians of the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

OPERATIONS = {
    "Counter.inc()": "c.inc()",
    "labels().inc()": "l.labels('/', '200').inc()",
    "Gauge.set()": "g.set(3.5)",
    "Histogram.observe()": "h.observe(0.3)",
}
SETUP = """
from prometheus_client import Counter, Gauge, Histogram
c = Counter('bench_c', 'C.')
l = Counter('bench_l', 'L.', ['route', 'status'])
g = Gauge('bench_g', 'G.', multiprocess_mode='livesum')
h = Histogram('bench_h', 'H.')
"""
OPERATE = (
    SETUP
    + """
import json, sys, timeit
found = {}
for name, statement in json.loads(sys.argv[1]).items():
    timer = timeit.Timer(statement, globals=globals())
    timer.timeit(10_000)
    found[name] = min(timer.repeat(5, 100_000)) / 100_000 * 1e9
print(json.dumps(found))
"""
)
#: Children count in `series` counters each, and stay until the scrapes are done.
SCRAPE = """
import json, os, signal, sys, time
import prometheus_client as p
from prometheus_client import multiprocess
workers, series, rounds = map(int, sys.argv[1:])
pids = []
for _ in range(workers):
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        c = p.Counter('bench_scrape_%d_%d' % (workers, series), 'C.', ['l'])
        for number in range(series):
            c.labels(str(number)).inc()
        os.write(told, b'.')
        signal.pause()
    os.close(told)
    os.read(ready, 1)
    pids.append(pid)
registry = p.CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
took = []
for _ in range(rounds):
    begin = time.perf_counter()
    page = p.generate_latest(registry)
    took.append(time.perf_counter() - begin)
assert page.count(b'bench_scrape_%d_%d_total{' % (workers, series)) == series
for pid in pids:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(json.dumps(min(took) * 1e3))
"""


def run(program, replaced, *arguments):
    with tempfile.TemporaryDirectory() as directory:
        variables = dict(os.environ)
        if not replaced:
            variables |= {"TALLYBOARD_DISABLE": "1", "PROMETHEUS_MULTIPROC_DIR": directory}
        command = [sys.executable, "-c", program, *map(str, arguments)]
        said = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE)
        return json.loads(said.stdout)


def row(name, unit, own, theirs):
    own, theirs = statistics.median(own), statistics.median(theirs)
    print(f"{name:24} {own:10.1f} {unit} {theirs:10.1f} {unit} {theirs / own:8.1f} x", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="smaller scrapes")
    options = parser.parse_args()
    if not os.environ.get("TALLYBOARD"):
        parser.error(
            "expected a supervisor, found no TALLYBOARD; run this under `tallyboard exec --`"
        )
    print(f"{'':24} {'Tallyboard':>13} {'files':>13}    faster")
    rounds = [
        [run(OPERATE, replaced, json.dumps(OPERATIONS)) for replaced in (True, False)]
        for _ in range(options.rounds)
    ]
    for name in OPERATIONS:
        row(name, "ns", *([found[of][name] for found in rounds] for of in (0, 1)))
    for workers, series in ((8, 100),) if options.quick else ((64, 1000), (16, 10_000)):
        found = [run(SCRAPE, replaced, workers, series, 3) for replaced in (True, False)]
        row(f"scrape {workers} x {series:,}", "ms", *([each] for each in found))
        # The supervisor folds what the last ones have left before the next ones are measured.
        time.sleep(1)


main()
