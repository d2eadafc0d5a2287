"""What a page shows."""

SHOWN = {
    "`generate_latest()` in a worker, and whatever else collects the default registry": (
        """
c = p.Counter("app_c", "C.")
in_child(c.inc)
c.inc()
say((lines("app_c_total"), p.REGISTRY.get_sample_value("app_c_total")))
""",
        (["app_c_total 1"], 1),
        (["app_c_total 2"], 2),
    ),
    "What the page has beside": (
        """
p.Counter("app_c", "C.").inc()
names = ("process_cpu_seconds_total", "tallyboard_", "python_info", "python_gc_")
wait(lambda: all(map(service, names)))
say([bool(service(name)) for name in names])
""",
        [False, False, False, False],
        [True, True, True, True],
    ),
    "Metrics in the registry of the page": (
        """
registry = p.CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
c = p.Counter("app_c", "C.", registry=registry)
in_child(c.inc)
c.inc()
say(own(registry))
""",
        ["app_c_total 1", "app_c_total 2"],
        ["app_c_total 2"],
    ),
    "A registry of one's own in a forked child": (
        """
mine = p.CollectorRegistry()
c = p.Counter("app_c", "C.", registry=mine)
c.inc(2)
in_child(lambda: (c.inc(), say((own(mine), service()))))
""",
        (["app_c_total 1"], ["app_c_total 3"]),
        (["app_c_total 3"], ["app_c_total 3"]),
    ),
    "Two metrics of a name in two registries": (
        """
mine, other = p.CollectorRegistry(), p.CollectorRegistry()
one, two = (p.Counter("app_c", "C.", registry=registry) for registry in (mine, other))
one.inc(2)
two.inc(3)
one.inc(1)
say((own(mine), own(other), service()))
""",
        (["app_c_total 3"], ["app_c_total 3"], ["app_c_total 3"]),
        (["app_c_total 3"], ["app_c_total 3"], ["app_c_total 6"]),
    ),
    "A name with two definitions (labels, type, mode, buckets)": (
        """
def define(one):
    named = dict(registry=None)
    p.Counter("app_c", "C.", ["a"] if one else ["a", "b"], **named).labels(*"1" if one else "12").inc()
    (p.Gauge("app_t", "T.", multiprocess_mode="sum", **named) if one else p.Summary("app_t", "T.", **named))
    p.Gauge("app_m", "M.", multiprocess_mode="max" if one else "sum", **named).set(3 if one else 4)
    p.Histogram("app_h", "H.", buckets=[1 if one else 2], **named).observe(0.5)
define(True)
in_child(lambda: define(False))
registry = p.CollectorRegistry()
p.Gauge("app_d", "D.", registry=registry, multiprocess_mode="sum")
p.Gauge("app_d", "D.", multiprocess_mode="max").set(2)
left_out = ("app_h_count", "app_h_sum", "app_t_sum", "app_t ", "app_t{", "app_m")
# Which of the modes files have is a matter of the order of names in a directory.
say(([line for line in service() if not line.startswith(left_out)], service("app_m") == ["app_m 3"]))
""",
        (
            [
                'app_c_total{a="1",b="2"} 1',
                'app_c_total{a="1"} 1',
                "app_d 2",
                'app_h_bucket{le="+Inf"} 2',
                'app_h_bucket{le="1.0"} 1',
                'app_h_bucket{le="2.0"} 2',
                "app_t_count 0",
            ],
            False,
        ),
        (
            [
                'app_c_total{a="1",b="2"} 1',
                'app_c_total{a="1"} 1',
                "app_d 2",
                'app_h_bucket{le="+Inf"} 2',
                'app_h_bucket{le="1.0"} 1',
                'app_h_bucket{le="2.0"} 2',
            ],
            True,
        ),
    ),
    "A metric that is made again with other labels, after `unregister()`": (
        """
c = p.Counter("app_c", "C.", ["a"])
c.labels("1").inc(2)
p.REGISTRY.unregister(c)
p.Counter("app_c", "C.", ["a", "b"]).labels("1", "2").inc()
say(service())
""",
        ['app_c_total{a="1",b="2"} 1', 'app_c_total{a="1"} 2'],
        ['app_c_total{a="1",b="2"} 1'],
    ),
    "Two metrics with a sample of the same name, as `c` and `c_total`": (
        """
c = p.Counter("app_c", "C.", registry=None)
g = p.Gauge("app_c_total", "C.", registry=None, multiprocess_mode="sum")
c.inc()
g.set(4)
say((service(), service("python_refused_operations_total")))
""",
        (["app_c_total 1", "app_c_total 4"], []),
        (["app_c_total 1"], ['python_refused_operations_total{metric="app_c_total"} 1']),
    ),
    "A gauge that a process never set": (
        """
gauges = {mode: p.Gauge("app_" + mode, "G.", multiprocess_mode=mode) for mode in ("min", "max")}
p.Gauge("app_none", "G.", multiprocess_mode="max")
def act():
    gauges["min"].set(5)
    gauges["max"].set(-5)
in_child(act)
say(service())
""",
        ["app_max 0", "app_min 0", "app_none 0"],
        ["app_max -5", "app_min 5"],
    ),
    "Gauges that a child never set after a fork": (
        """
modes = ("all", "liveall", "sum")
gauges = {mode: p.Gauge("app_" + mode, "G.", multiprocess_mode=mode) for mode in modes}
labelled = p.Gauge("app_labelled", "L.", ["l"])
c = p.Counter("app_c", "C.")
for gauge in [*gauges.values(), labelled.labels("x")]:
    gauge.set(4)
def act():
    c.inc()
    own, parent = f'"{os.getpid()}"', f'"{os.getppid()}"'
    say(sorted(line.replace(own, '"CHILD"').replace(parent, '"PARENT"') for line in lines("app_", page_of())))
in_child(act)
""",
        [
            'app_all{pid="CHILD"} 0',
            'app_all{pid="PARENT"} 4',
            "app_c_total 1",
            'app_labelled{l="x",pid="CHILD"} 0',
            'app_labelled{l="x",pid="PARENT"} 4',
            'app_liveall{pid="CHILD"} 0',
            'app_liveall{pid="PARENT"} 4',
            "app_sum 4",
        ],
        [
            'app_all{pid="PARENT"} 4',
            "app_c_total 1",
            'app_labelled{l="x",pid="PARENT"} 4',
            'app_liveall{pid="PARENT"} 4',
            "app_sum 4",
        ],
    ),
    "Gauges of the modes that begin with `live`": (
        """
modes = ("livesum", "livemax", "liveall")
gauges = [p.Gauge("app_" + mode, "G.", multiprocess_mode=mode) for mode in modes]
in_child(lambda: [gauge.set(5) for gauge in gauges])
say([line.split()[-1] for line in service()])
""",
        ["0", "5", "5", "5"],
        ["0", "0"],
    ),
    "Gauges of mode `all`": (
        """
g = p.Gauge("app_g", "G.")
for number in range(70):
    in_child(lambda: g.set(number))
say(len(service()))
""",
        71,
        65,
    ),
    "What a process is called": (
        """
from prometheus_client import values
values.ValueClass = values.MultiProcessValue(lambda: "worker-1")
p.Gauge("app_g", "G.").set(1)
say(service())
""",
        ['app_g{pid="worker-1"} 1'],
        ['app_g{pid="PARENT"} 1'],
    ),
    "A gauge with a label `pid` of its own": (
        """
g = p.Gauge("app_g", "G.", ["pid"])
g.labels("1").set(1)
say(service())
""",
        ['app_g{pid="PARENT"} 1'],
        ['app_g{pid="1",worker="PARENT"} 1'],
    ),
    "Labels of a sample": (
        'p.Counter("app_c", "C.", ["z", "a"]).labels("1", "2").inc()\nsay(service())',
        ['app_c_total{a="2",z="1"} 1'],
        ['app_c_total{z="1",a="2"} 1'],
    ),
    "Metrics, and the samples of each": (
        """
c = p.Counter("app_c", "C.", ["l"])
c.labels("2").inc()
c.labels("1").inc()
p.Counter("app_b", "B.").inc()
say(lines("app_", page_of()))
""",
        ['app_c_total{l="2"} 1', 'app_c_total{l="1"} 1', "app_b_total 1"],
        ["app_b_total 1", 'app_c_total{l="1"} 1', 'app_c_total{l="2"} 1'],
    ),
    "Whole numbers on the supervisor's port, and on pages of a `MultiProcessCollector` alone": (
        """
import subprocess
p.Counter("app_c", "C.").inc()
scrape = ["tallyboard", "scrape", "--control", os.environ.get("TALLYBOARD", "")]
of_supervisor = os.environ.get("TALLYBOARD") and subprocess.run(scrape, check=True, capture_output=True).stdout
pages = [p.generate_latest(), page_of(), of_supervisor or b""]
say([[line for line in page.decode().splitlines() if line.startswith("app_c_total ")] for page in pages])
""",
        [["app_c_total 1.0"], ["app_c_total 1.0"], []],
        [["app_c_total 1.0"], ["app_c_total 1"], ["app_c_total 1"]],
    ),
    "The unit of a metric": (
        """
p.Counter("app_c_seconds", "C.", unit="seconds").inc()
say("# UNIT app_c_seconds seconds" in page_of(openmetrics).decode())
""",
        False,
        True,
    ),
    "An empty help text": (
        'p.Counter("app_c", "").inc()\nsay(service("# HELP app_c"))',
        ["# HELP app_c_total "],
        [],
    ),
    "Created times": (
        """
c = p.Counter("app_c", "C.")
in_child(c.inc)
collected = [metric for metric in multiprocess.MultiProcessCollector(None).collect() if metric.name == "app_c"]
before = lines("app_c_created", page_of(openmetrics))
p.disable_created_metrics()
after = lines("app_c_created", page_of(openmetrics))
say([len(found) for found in (before, after, lines("app_c_created", page_of()))])
assert [sample.name for metric in collected for sample in metric.samples] == ["app_c_total"]
""",
        [0, 0, 0],
        [1, 0, 0],
    ),
    "Histograms with bounds below 0, in OpenMetrics": (
        """
p.Histogram("app_h", "H.", buckets=[-1, 1]).observe(-3)
names = ("app_h_bucket", "app_h_count", "app_h_sum")
say([[len(lines(name, page_of(encode))) for name in names] for encode in (p.generate_latest, openmetrics)])
""",
        [[3, 1, 1], [3, 1, 1]],
        [[3, 1, 1], [3, 0, 0]],
    ),
    "OpenMetrics 2.0, where a scraper asks for it": (
        """
p.Counter("app_c", "C.").inc()
say(lines("# TYPE app_c", page_of(lambda registry: openmetrics(registry, version="2.0.0"))))
""",
        ["# TYPE app_c counter"],
        ["# TYPE app_c_total counter"],
    ),
    "`name[]` in the query of a page": (
        """
p.Counter("app_c", "C.").inc()
p.Counter("app_d", "D.").inc()
registry = p.CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
app = p.make_wsgi_app(registry)
found = app({"QUERY_STRING": "name[]=app_c_total", "REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
say([line for line in b"".join(found).decode().splitlines() if not line.startswith("#")])
""",
        [],
        ["app_c_total 1.0"],
    ),
    "A scraper that prefers protocol buffers": (
        """
p.Counter("app_c", "C.").inc()
registry = p.CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
buffers = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_ACCEPT": buffers + ",text/plain;q=0.5"}
said = []
p.make_wsgi_app(registry)(environ, lambda status, headers: said.append(dict(headers)["Content-Type"]))
say(said[0].split(";")[0])
""",
        "text/plain",
        "application/vnd.google.protobuf",
    ),
}
