"""prometheus_client in its own multiprocess mode and with its values replaced, in one run.

    bench/python/run [--interpreter PYTHON] [--rounds N] [--threads N] [--quick | --check]

Each round starts a process for either, one after the other, and asks for nanoseconds per operation;
then so many processes for a scrape. What is printed are medians of the rounds. With `--threads` so
many threads do each operation at once, and an operation takes as long as each of them waits for it.
With `--check` it fails where Tallyboard is not as many times faster as LEAST says.
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
#: How many times faster each is at the least, with much room for a machine that is not idle.
LEAST = {
    "Counter.inc()": 4,
    "Histogram.observe()": 3,
    "scrape 64 x 1,000": 100,
    "scrape 16 x 10,000": 100,
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
import json, sys, threading, timeit
threads = int(sys.argv[2])
begin = threading.Barrier(threads)
def in_threads(timer, count):
    took = []
    def time():
        begin.wait()
        took.append(timer.timeit(count))
    started = [threading.Thread(target=time) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return max(took)
found = {}
for name, statement in json.loads(sys.argv[1]).items():
    timer = timeit.Timer(statement, globals=globals())
    in_threads(timer, 10_000)
    found[name] = min(in_threads(timer, 100_000) for _ in range(5)) / 100_000 * 1e9
print(json.dumps(found))
"""
)
#: Children count in `series` counters each, and stay until the scrapes are done.
SCRAPE = """
import json, os, signal, sys, time
import prometheus_client as p
from prometheus_client import multiprocess
workers, series = map(int, sys.argv[1:])
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
# Of what takes a moment there are as many as a second has, so that some are not disturbed.
took = []
while len(took) < 3 or sum(took) < 1:
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
    """Prints a row, and gives how many times faster it is."""
    own, theirs = statistics.median(own), statistics.median(theirs)
    print(f"{name:24} {own:10.1f} {unit} {theirs:10.1f} {unit} {theirs / own:8.1f} x", flush=True)
    return theirs / own


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of each operation")
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--quick", action="store_true", help="smaller scrapes")
    scope.add_argument("--check", action="store_true", help="fail where it is not fast enough")
    options = parser.parse_args()
    if not os.environ.get("TALLYBOARD"):
        parser.error(
            "expected a supervisor, found no TALLYBOARD; run this under `tallyboard exec --`"
        )
    print(f"{'':24} {'Tallyboard':>13} {'files':>13}    faster")
    rounds = [
        [
            run(OPERATE, replaced, json.dumps(OPERATIONS), options.threads)
            for replaced in (True, False)
        ]
        for _ in range(options.rounds)
    ]
    faster = {}
    for name in OPERATIONS:
        both = ([found[of][name] for found in rounds] for of in (0, 1))
        faster[name] = row(name, "ns", *both)
    for workers, series in ((8, 100),) if options.quick else ((64, 1000), (16, 10_000)):
        found = [run(SCRAPE, replaced, workers, series) for replaced in (True, False)]
        name = f"scrape {workers} x {series:,}"
        faster[name] = row(name, "ms", *([each] for each in found))
        # The supervisor folds what the last ones have left before the next ones are measured.
        time.sleep(1)
    if options.check:
        check(faster)


def check(faster):
    slow = [name for name, least in LEAST.items() if faster[name] < least]
    for name in slow:
        print(f"{name}: expected {LEAST[name]} x at least, found {faster[name]:.1f} x")
    if slow:
        sys.exit("slower than it must be: see whether the wheel is a release build")


main()
