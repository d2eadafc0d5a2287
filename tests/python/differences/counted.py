"""What counts, and what becomes of it."""

COUNTED = {
    "`Info`, `Enum`": (
        """
p.Info("app_i", "I.").info({"v": "1"})
p.Enum("app_e", "E.", states=["a", "b"]).state("b")
say(service())
""",
        [],
        ['app_e{app_e="a"} 0', 'app_e{app_e="b"} 1', 'app_i_info{v="1"} 1'],
    ),
    "`set_target_info()` of the default registry": (
        'p.REGISTRY.set_target_info({"a": "b"})\nsay(service("target_info"))',
        [],
        ['target_info{a="b"} 1'],
    ),
    "`set_function`": (
        """
g = p.Gauge("app_g", "G.", multiprocess_mode="livesum")
g.set_function(lambda: 3)
def act():
    # Here nothing is counted.
    wait(lambda: service("app_g") == ["app_g 6"])
    say(service("app_g"))
wait(lambda: service("app_g") == ["app_g 3"])
in_child(act)
""",
        ["app_g 0"],
        ["app_g 6"],
    ),
    "Collectors of the default registry": (
        """
class Queue:
    def collect(self):
        yield GaugeMetricFamily("app_queue", "Q.", value=3)
p.REGISTRY.register(Queue())
p.Counter("app_c", "C.").inc()
wait(lambda: service("app_queue"))
say([line.split()[-1] for line in service("app_queue")])
""",
        [],
        ["3"],
    ),
    "Exemplars": (
        """
c = p.Counter("app_c", "C.")
c.inc(exemplar={"t": "x"})
in_child(lambda: c.inc(exemplar={"t": "y"}))
say(re.findall('# {.*?}', page_of(openmetrics).decode()))
""",
        [],
        ['# {t="y"}'],
    ),
    "`remove()`, `clear()`": (
        """
import warnings; warnings.simplefilter("ignore")
c = p.Counter("app_c", "C.", ["l"])
for value in "abcd":
    c.labels(value).inc()
def act():
    c.labels("d").inc()
    c.remove("a")
    say(service())
    c.clear()
    say(service())
c.remove("b")
in_child(act)
""",
        [
            ['app_c_total{l="a"} 1', 'app_c_total{l="b"} 1', 'app_c_total{l="c"} 1', 'app_c_total{l="d"} 2'],
            ['app_c_total{l="a"} 1', 'app_c_total{l="b"} 1', 'app_c_total{l="c"} 1', 'app_c_total{l="d"} 2'],
        ],
        [
            ['app_c_total{l="a"} 1', 'app_c_total{l="c"} 1', 'app_c_total{l="d"} 2'],
            ['app_c_total{l="a"} 1', 'app_c_total{l="c"} 1', 'app_c_total{l="d"} 2'],
        ],
    ),
    "`REGISTRY.unregister(metric)`": (
        'c = p.Counter("app_c", "C.")\nc.inc()\np.REGISTRY.unregister(c)\nsay(service())',
        ["app_c_total 1"],
        [],
    ),
    "`Counter.inc()` of NaN or infinity": (
        """
for what in ("nan", "inf"):
    c = p.Counter("app_" + what, "C.")
    c.inc()
    c.inc(float(what))
say((service(), service('tallyboard_dropped_total{reason="amount"}')))
""",
        (["app_inf_total +Inf", "app_nan_total NaN"], []),
        (["app_inf_total 1", "app_nan_total 1"], ['tallyboard_dropped_total{reason="amount"} 2']),
    ),
    "`observe()` of NaN": (
        """
s, h = p.Summary("app_s", "S."), p.Histogram("app_h", "H.", buckets=[1])
for observe in (s.observe, h.observe):
    observe(1)
    observe(float("nan"))
say((service(), service('tallyboard_dropped_total{reason="amount"}')))
""",
        (
            [
                'app_h_bucket{le="+Inf"} 1',
                'app_h_bucket{le="1.0"} 1',
                "app_h_count 1",
                "app_h_sum NaN",
                "app_s_count 2",
                "app_s_sum NaN",
            ],
            [],
        ),
        (
            [
                'app_h_bucket{le="+Inf"} 1',
                'app_h_bucket{le="1.0"} 1',
                "app_h_count 1",
                "app_h_sum 1",
                "app_s_count 1",
                "app_s_sum 1",
            ],
            ['tallyboard_dropped_total{reason="amount"} 2'],
        ),
    ),
    "What is below 0, added to the value of a counter itself": (
        'c = p.Counter("app_c", "C.")\nc.inc(5)\nc._value.inc(-2)\nsay(service())',
        ["app_c_total 3"],
        ["app_c_total 5"],
    ),
    "`mark_process_dead()`": (
        """
g = p.Gauge("app_g", "G.", multiprocess_mode="livesum")
g.set(3)
multiprocess.mark_process_dead(os.getpid())
say(service())
""",
        [],
        ["app_g 3"],
    ),
    "Files of others": (
        """
import subprocess
p.Counter("app_c", "C.").inc()
program = "import prometheus_client as p; p.Counter('app_c', 'C.').inc(5)"
environ = {name: value for name, value in os.environ.items() if name != "TALLYBOARD"}
subprocess.run([sys.executable, "-c", program], check=True, env=environ)
say(service())
""",
        ["app_c_total 6"],
        ["app_c_total 1"],
    ),
    "A directory that `MultiProcessCollector` is given": (
        """
import tempfile
p.Counter("app_c", "C.").inc()
found = []
with tempfile.TemporaryDirectory() as directory:
    for path in (directory, directory + "/none"):
        registry = p.CollectorRegistry()
        try:
            multiprocess.MultiProcessCollector(registry, path=path)
        except ValueError as error:
            found.append("refused")
        found.append(lines("app_", p.generate_latest(registry)))
say(found)
""",
        [[], "refused", []],
        [["app_c_total 1"], "refused", []],
    ),
    "Files that `MultiProcessCollector.merge()` is given": (
        """
import glob
p.Counter("app_c", "C.").inc()
p.Gauge("app_g", "G.", multiprocess_mode="sum").set(1)
counters = glob.glob(os.path.join(os.environ["PROMETHEUS_MULTIPROC_DIR"], "counter*.db"))
merged = multiprocess.MultiProcessCollector.merge(counters)
say(sorted(metric.name for metric in merged if metric.name.startswith("app_")))
""",
        ["app_c"],
        ["app_c", "app_g"],
    ),
    "A directory that is not there": (
        """
os.environ["PROMETHEUS_MULTIPROC_DIR"] += "/none"
try:
    p.Counter("app_c", "C.").inc()
    say("counted")
except FileNotFoundError:
    say("failed")
""",
        "failed",
        "counted",
    ),
    "The variable in programs that a process starts": (
        """
import subprocess
environ = dict(os.environ)
if "TALLYBOARD" in environ:
    del environ["PROMETHEUS_MULTIPROC_DIR"]
program = '''
import os, subprocess, prometheus_client as p
p.Counter("app_c", "C.").inc()
print("PROMETHEUS_MULTIPROC_DIR" in os.environ, flush=True)
subprocess.run("echo ${PROMETHEUS_MULTIPROC_DIR+True}", shell=True)
'''
found = subprocess.run([sys.executable, "-c", program], check=True, env=environ, capture_output=True, text=True)
say(found.stdout.split())
""",
        ["True", "True"],
        ["True"],
    ),
    "The application is started again": (
        """
import subprocess
program = '''
import prometheus_client as p
from prometheus_client import multiprocess
p.Counter("app_c", "C.").inc()
registry = p.CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(next(line for line in p.generate_latest(registry).decode().splitlines() if line.startswith("app_c_total")).removesuffix(".0"))
'''
environ = dict(os.environ)
exec = ["tallyboard", "exec", "--web.listen-address", "none", "--"] if environ.pop("TALLYBOARD", None) else []
def start(*before, **named):
    command = [*before, sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, **named).stdout.strip()
say([start(*exec, env=environ), start(*exec, env=environ), start(), start()])
""",
        ["app_c_total 1", "app_c_total 2", "app_c_total 3", "app_c_total 4"],
        ["app_c_total 1", "app_c_total 1", "app_c_total 1", "app_c_total 2"],
    ),
}
