"""What an unmodified prometheus_client means in a process that has TALLYBOARD."""

import os
import subprocess
import sys

import pytest
from serving import Process, environment, needs

PRELUDE = """
import os, sys, time
def in_child(act):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            act()
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
"""


def run(board, program, **variables):
    return board.run(PRELUDE + program, **variables)


@pytest.mark.parametrize(
    "imports",
    [
        "import prometheus_client as p",
        "import prometheus_client.multiprocess, prometheus_client as p",
        "from prometheus_client import values, metrics; import prometheus_client as p",
        "from prometheus_client.exposition import generate_latest; import prometheus_client as p",
        "import prometheus_client.openmetrics.exposition, prometheus_client.asgi; import prometheus_client as p",
        "from prometheus_client.multiprocess_exporter import app; import prometheus_client as p",
        "import tallyboard; tallyboard.install(); import prometheus_client as p",
        "import prometheus_client as p, tallyboard; assert tallyboard.install() == []",
    ],
)
def test_the_order_of_imports_does_not_matter(board, imports):
    run(
        board,
        f"""
{imports}
c = p.Counter("app_things_total", "Things.", ["kind"])
in_child(lambda: c.labels("a").inc(2))
c.labels("a").inc()
assert b'app_things_total{{kind="a"}} 3.0\\n' in p.generate_latest()
""",
    )
    assert board.samples()['app_things_total{kind="a"}'] == 3


def test_every_instrument_counts_across_processes(board):
    run(
        board,
        """
import prometheus_client as p
c = p.Counter("app_c", "C.", unit="seconds")
g = {mode: p.Gauge("app_g_" + mode, "G.", multiprocess_mode=mode)
     for mode in ("sum", "max", "min", "mostrecent", "livesum", "livemax")}
s = p.Summary("app_s", "S.", ["l"])
h = p.Histogram("app_h", "H.", buckets=(1, 2, 2, 5))
i = p.Info("app_i", "I.")
e = p.Enum("app_e", "E.", states=["starting", "running"])
def act(number):
    c.inc(0.5)
    c.inc(2)
    for gauge in g.values():
        gauge.set(number)
    s.labels("x").observe(3)
    h.observe(2)
    h.observe(7)
    i.info({"version": str(number)})
    e.state("running")
for number in (5, 7, 6):
    in_child(lambda: act(number))
""",
    )
    found = board.samples()
    expected = {
        "app_c_seconds_total": 7.5,
        "app_g_sum": 18,
        "app_g_max": 7,
        "app_g_min": 5,
        "app_g_mostrecent": 6,
        'app_s_count{l="x"}': 3,
        'app_s_sum{l="x"}': 9,
        'app_h_bucket{le="1.0"}': 0,
        'app_h_bucket{le="2.0"}': 3,
        'app_h_bucket{le="5.0"}': 3,
        'app_h_bucket{le="+Inf"}': 6,
        "app_h_count": 6,
        "app_h_sum": 27,
        'app_i_info{version="6"}': 1,
        'app_e{app_e="starting"}': 0,
        'app_e{app_e="running"}': 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    # Those of the living alone are gone with them.
    assert "app_g_livemax" not in found


def test_gauges_of_mode_all_are_one_series_for_each_process(board):
    said = run(
        board,
        """
import prometheus_client as p
g = p.Gauge("app_g", "G.")
g.set(1)
in_child(lambda: (g.set(2), print(os.getpid())))
print(os.getpid())
print(p.generate_latest().decode())
""",
    )
    child, parent = said.split()[:2]
    assert f'app_g{{pid="{child}"}} 2' in said and f'app_g{{pid="{parent}"}} 1' in said


def test_callbacks_and_collectors_are_asked_in_each_process(board):
    run(
        board,
        """
import prometheus_client as p
from prometheus_client.core import CounterMetricFamily
class Collector:
    def collect(self):
        yield CounterMetricFamily("app_pool_uses", "Uses.", value=4)
p.REGISTRY.register(Collector())
g = p.Gauge("app_queue", "Queue.", multiprocess_mode="sum")
g.set_function(lambda: 21)
c = p.Counter("app_c", "C.")
c.inc()
def act():
    c.inc()
    deadline = time.monotonic() + 60
    while p.REGISTRY.get_sample_value("app_pool_uses_total") != 8:
        assert time.monotonic() < deadline, p.generate_latest().decode()
        time.sleep(0.01)
in_child(act)
""",
    )
    found = board.samples()
    assert found["app_queue"] == 42 and found["app_pool_uses_total"] == 8
    assert [name for name in found if name.startswith("python_info")] != []


def test_what_the_interpreter_says_of_itself_needs_no_thread(board):
    run(
        board,
        """
import gc
import prometheus_client as p
c = p.Counter("app_c", "C.")
def act():
    c.inc()
    gc.collect()
    assert len(os.listdir("/proc/self/task")) == 1
in_child(act)
in_child(act)
name, labels = "python_gc_collections_total", {"generation": "2"}
assert p.REGISTRY.get_sample_value(name, labels) >= 2
assert len([m for m in p.REGISTRY.collect() if m.name == "python_info"][0].samples) == 1
assert len(os.listdir("/proc/self/task")) == 1
p.REGISTRY.unregister(p.GC_COLLECTOR)
p.REGISTRY.unregister(p.PLATFORM_COLLECTOR)
assert not [m.name for m in p.REGISTRY.collect() if m.name.startswith("python_")]
""",
    )


def test_series_are_removed_and_counters_reset(board):
    run(
        board,
        """
import warnings; warnings.simplefilter("error")
import prometheus_client as p
c = p.Counter("app_c", "C.", ["l"])
for l in "abcd":
    c.labels(l).inc(5)
c.remove("a")
c.remove_by_labels({"l": "b"})
c.labels("c").reset()
c.labels("c").inc()
assert c.labels("c")._value.get() == 1
found = p.generate_latest().decode()
assert 'l="a"' not in found and 'l="b"' not in found, found
assert 'app_c_total{l="c"} 1.0\\n' in found and 'app_c_total{l="d"} 5.0\\n' in found, found
c.clear()
assert "app_c_total{" not in p.generate_latest().decode()
c.labels("a").inc()
assert p.REGISTRY.get_sample_value("app_c_total", {"l": "a"}) == 1
""",
    )


def test_a_value_that_is_set_is_the_part_of_its_process_alone(board):
    run(
        board,
        """
import prometheus_client as p
jobs = p.Counter("app_jobs", "Jobs of another system.")
seconds = p.Histogram("app_seconds", "Seconds.", buckets=(1, 2))
sizes = p.Summary("app_sizes", "Sizes.")
def sample(name, **labels):
    return p.REGISTRY.get_sample_value(name, labels)
def count(n):
    for total in (10, 20.5, 0.125, 7.25, 30):
        jobs._value.set(total * n)
        assert jobs._value.get() == total * n, (jobs._value.get(), total * n)
    for _ in range(4):
        seconds.observe(1.5)
        sizes.observe(2)
    seconds._sum.set(100 * n)
    seconds._buckets[1].set(2 * n)
    seconds._buckets[0].set(n)
    sizes._sum.set(0.5)
    sizes._count.set(n)
    assert (seconds._sum.get(), seconds._buckets[1].get(), sizes._count.get()) == (100 * n, 2 * n, n)
created = time.time()
for n in (1, 2):
    in_child(lambda: count(n))
begun = sample("app_jobs_created")
assert begun >= created - 1, (begun, created)
def check(jobs_total):
    assert sample("app_jobs_total") == jobs_total, sample("app_jobs_total")
    assert (sample("app_seconds_sum"), sample("app_seconds_count")) == (300, 9)
    assert sample("app_seconds_bucket", le="1.0") == 3
    assert (sample("app_sizes_sum"), sample("app_sizes_count")) == (1, 3)
check(90)
# This process has counted nothing: that is what it is set to.
jobs._value.set(0)
jobs.reset()
check(90)
assert sample("app_jobs_created") == begun
jobs.inc(5)
jobs._value.set(8)
check(98)
time.sleep(0.01)
jobs.reset()
check(90)
assert sample("app_jobs_created") > begun
jobs.inc(2)
assert jobs._value.get() == 2
check(92)
# What no count can be is not set, and counted.
for bad in (-1, float("nan"), float("inf")):
    jobs._value.set(bad)
    sizes._count.set(bad)
sizes._count.set(0.5)
check(92)
assert jobs._value.get() == 2
""",
    )
    assert board.samples()['tallyboard_dropped_total{reason="amount"}'] == 7


def test_a_counter_takes_any_amount_between_two_scrapes(board):
    run(
        board,
        """
import prometheus_client as p
big = p.Counter("app_big", "B.")
small = p.Counter("app_small", "S.")
expected = 0
for amount in (2**52, 2**53, 2**63, 2**70, 1):
    for _ in range(3):
        big.inc(amount)
        expected += amount
    small.inc()
    assert p.REGISTRY.get_sample_value("app_big_total") == float(expected), amount
assert p.REGISTRY.get_sample_value("app_small_total") == 5
""",
    )
    samples = board.samples()
    assert samples["app_small_total"] == 5
    assert samples["tallyboard_quarantines_total"] == 0


def test_exemplars_and_created_times_are_exposed(board):
    run(
        board,
        """
import prometheus_client as p
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
c = p.Counter("app_c", "C.")
h = p.Histogram("app_h", "H.")
in_child(lambda: (c.inc(2, exemplar={"trace_id": "one"}), h.observe(0.3, exemplar={"trace_id": "two"})))
page = generate_latest(p.REGISTRY).decode()
samples = {s.name + str(s.labels.get("le", "")): s for m in parse(page) for s in m.samples}
assert samples["app_c_total"].exemplar.labels == {"trace_id": "one"}, page
assert samples["app_h_bucket0.5"].exemplar.labels == {"trace_id": "two"}, page
assert abs(samples["app_c_created"].value - time.time()) < 3600, page
""",
    )


def test_labels_that_change_while_they_are_read_are_read_as_they_were(board):
    run(
        board,
        """
import prometheus_client as p
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.samples import Exemplar
class Text:
    def __init__(self, labels):
        self.labels = labels
    def __str__(self):
        self.labels[f"more_{len(self.labels)}"] = "x"
        return "text"
def odd():
    labels = {}
    labels["a"], labels["b"] = Text(labels), Text(labels)
    return labels
class Collector:
    def collect(self):
        family = GaugeMetricFamily("app_odd", "Odd.")
        family.add_sample("app_odd", odd(), 1)
        yield family
p.REGISTRY.register(Collector())
c = p.Counter("app_c", "C.")
c.inc()
c._value.set_exemplar(Exemplar(odd(), 1.0))
assert '# {a="text",b="text"} 1' in generate_latest(p.REGISTRY).decode()
deadline = time.monotonic() + 60
while "app_odd{" not in (page := p.generate_latest().decode()):
    assert time.monotonic() < deadline, page
    time.sleep(0.01)
assert 'a="text",b="text"' in page and "more_" not in page, page
""",
    )


def test_a_multiprocess_collector_collects_the_arena(board):
    run(
        board,
        """
import prometheus_client as p
from prometheus_client import multiprocess
from prometheus_client.openmetrics.parser import text_string_to_metric_families
c = p.Counter("app_c", "C.")
in_child(lambda: c.inc(2))
registry = p.CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
multiprocess.mark_process_dead(1)
assert b"app_c_total 2\\n" in p.generate_latest(registry)
both = p.CollectorRegistry()
multiprocess.MultiProcessCollector(both)
p.Counter("app_own", "Own.", registry=both).inc()
page = p.generate_latest(both).decode()
assert page.count("app_c_total 2\\n") == 1 and "app_own_total 1\\n" in page, page
""",
    )


def test_the_expositions_of_a_worker_are_those_of_the_service(board):
    run(
        board,
        """
import asyncio, gzip, io, urllib.request
import prometheus_client as p
from wsgiref.util import setup_testing_defaults
c = p.Counter("app_c", "C.")
d = p.Counter("app_d", "D.")
in_child(lambda: (c.inc(2), d.inc()))
def wsgi(query="", **headers):
    environ = {"QUERY_STRING": query, **headers}
    setup_testing_defaults(environ)
    said = []
    body = b"".join(p.make_wsgi_app()(environ, lambda status, headers: said.append((status, dict(headers)))))
    return (*said[0], body)
status, headers, body = wsgi()
assert status == "200 OK" and body.count(b"app_c_total 2.0\\n") == 1, body
assert wsgi("name[]=app_c_total")[2].endswith(b"app_c_total 2.0\\n")
headers, body = wsgi(HTTP_ACCEPT="application/openmetrics-text", HTTP_ACCEPT_ENCODING="gzip")[1:]
assert headers["Content-Type"].startswith("application/openmetrics-text"), headers
assert gzip.decompress(body).endswith(b"# EOF\\n")

async def asgi():
    sent = []
    async def send(message): sent.append(message)
    async def receive(): return {"type": "http.request"}
    await p.make_asgi_app()({"type": "http", "headers": []}, receive, send)
    return sent
assert b"app_c_total 2.0\\n" in asyncio.run(asgi())[1]["body"]

server, thread = p.start_http_server(0, "127.0.0.1")
page = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % server.server_port).read()
assert b"app_c_total 2.0\\n" in page
server.shutdown()
""",
    )


def test_one_process_can_be_exposed_alone(board):
    run(
        board,
        """
import prometheus_client as p
c = p.Counter("app_c", "C.")
in_child(lambda: c.inc(2))
c.inc()
page = p.generate_latest().decode()
assert "app_c_total 1.0\\n" in page, page
""",
        TALLYBOARD_LOCAL="1",
    )
    assert board.samples()["app_c_total"] == 3


def test_everything_can_be_turned_off(board):
    run(
        board,
        """
import prometheus_client as p
from prometheus_client import values
assert values.ValueClass is values.MutexValue
assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ and "tallyboard._native" not in sys.modules
import tallyboard
assert tallyboard.install() != []
assert values.ValueClass is values.MutexValue
""",
        TALLYBOARD_DISABLE="1",
    )


def test_nothing_is_imported_where_there_is_no_supervisor_to_count_for():
    program = "import sys; assert not [name for name in sys.modules if 'tallyboard' in name]"
    subprocess.run([sys.executable, "-c", program], check=True, env=environment())


def test_libraries_that_look_for_the_variable_find_it(board, tmp_path):
    run(
        board,
        """
import prometheus_client as p
directory = os.environ["PROMETHEUS_MULTIPROC_DIR"]
before = os.listdir(directory)
p.Counter("app_c", "C.").inc()
p.generate_latest()
assert os.listdir(directory) == before
""",
    )
    # One that is set already stays, and nothing is written where it leads.
    run(
        board,
        f"""
import prometheus_client as p
assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == {str(tmp_path)!r}
p.Counter("app_d", "D.").inc()
""",
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    assert os.listdir(tmp_path) == [] and board.samples()["app_d_total"] == 1


def test_what_exists_already_moves_with_what_it_has_counted(board):
    run(
        board,
        """
import prometheus_client as p
from prometheus_client import generate_latest, Counter
c = Counter("app_c", "C.", ["l"]); child = c.labels("x"); child.inc(3)
h = p.Histogram("app_h", "H."); h.observe(0.3)
s = p.Summary("app_s", "S."); s.observe(4)
g = p.Gauge("app_g", "G.", multiprocess_mode="sum"); g.set(5)
# A child that lives long enough asks too: of so many answers there is one.
f = p.Gauge("app_f", "F.", multiprocess_mode="max"); f.set_function(lambda: 8)
i = p.Info("app_i", "I."); i.info({"version": "1"})
e = p.Enum("app_e", "E.", states=["a", "b"]); e.state("b")
mine = p.CollectorRegistry(); own = p.Counter("app_own", "Own.", registry=mine); own.inc()
assert type(child._value).__name__ == "MutexValue"
import tallyboard
assert tallyboard.install(os.environ.pop("ADDRESS")) == []
in_child(lambda: (child.inc(), h.observe(0.3), c.labels("y").inc()))
page = generate_latest().decode()
for line in ('app_c_total{l="x"} 4', 'app_c_total{l="y"} 1', "app_h_count 2", "app_s_sum 4",
             "app_g 5", "app_f 8", 'app_i_info{version="1"} 1', 'app_e{app_e="b"} 1',
             "app_own_total 1"):
    assert line + ".0\\n" in page, (line, page)
assert own._value.get() == 1
""",
        TALLYBOARD="",
        ADDRESS=board.address,
    )


def test_without_a_supervisor_the_application_runs_and_its_exposition_says_why():
    program = (
        PRELUDE
        + """
import prometheus_client as p
from wsgiref.util import setup_testing_defaults
c = p.Counter("app_c", "C."); h = p.Histogram("app_h", "H.")
in_child(lambda: (c.inc(), h.observe(1)))
c.inc()
assert c._value.get() == 1
environ = {}
setup_testing_defaults(environ)
said = []
p.make_wsgi_app()(environ, lambda status, headers: said.append(status))
assert said == ["503 Service Unavailable"], said
try:
    p.generate_latest()
    raise SystemExit("an exposition of nobody")
except ConnectionError as error:
    print(error)
"""
    )
    nobody = f"unix:@tallyboard/nobody-{os.getpid()}"
    with Process(sys.executable, "-c", program, TALLYBOARD=nobody) as process:
        assert process.wait() == 0, process.said
        warnings = [line for line in process.output if "counts privately" in line]
        # The child knows that its parent has said so.
        assert len(warnings) == 1, process.said


def test_what_the_client_refuses_counts_in_the_process(board):
    said = run(
        board,
        """
import prometheus_client as p
once = p.Counter("app_c", "C.", registry=None)
once.inc()
twice = p.Counter("app_c", "C.", ["other"], registry=None)
twice.labels("x").inc(3)
assert twice.labels("x")._value.get() == 3
p.Gauge("app_n", "N.").set(float("nan"))
alone = p.values.ValueClass("counter", "app_alone", "app_alone_total", (), (), "")
alone.inc(2)
assert alone.get() == 2
""",
    )
    assert said.count("counts in this process alone") == 2 and "registered already" in said


def test_other_import_hooks_are_asked(board):
    run(
        board,
        """
import importlib.machinery
import sys
seen = []
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        seen.append(name)
        return None
sys.meta_path.insert(0, Finder)
import prometheus_client as p
# Once by Python, once by the hook behind it.
assert seen.count("prometheus_client.values") == 2, seen
assert type(p.values.__loader__) is importlib.machinery.SourceFileLoader
assert p.values.__spec__.loader is p.values.__loader__
assert "class MutexValue" in __import__("inspect").getsource(p.values)
""",
    )


def test_the_oldest_supported_version_counts_too(board):
    path = os.path.join(os.environ["TALLYBOARD_TEST_HOME"], "0.14")
    run(
        board,
        f"""
import prometheus_client as p
assert p.__file__.startswith({path!r})
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
c = p.Counter("app_c", "C.", ["l"]); h = p.Histogram("app_h", "H."); s = p.Summary("app_s", "S.")
g = p.Gauge("app_g", "G.", multiprocess_mode="max"); i = p.Info("app_i", "I.")
in_child(lambda: (c.labels("a").inc(2), h.observe(0.3), s.observe(1), g.set(4), i.info({{"v": "1"}})))
c.labels("a").inc()
page = p.generate_latest().decode()
for line in ('app_c_total{{l="a"}} 3', "app_h_count 1", "app_s_sum 1", "app_g 4", 'app_i_info{{v="1"}} 1'):
    assert line + ".0\\n" in page, (line, page)
assert openmetrics(p.REGISTRY).endswith(b"# EOF\\n")
c.remove("a")
assert 'l="a"' not in p.generate_latest().decode()
mine = p.CollectorRegistry()
p.Counter("app_own", "Own.", registry=mine).inc()
assert b"app_own_total 1.0" in p.generate_latest(mine)
""",
        PYTHONPATH=path,
    )


@needs("mypy")
def test_the_package_is_typed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import tallyboard\n"
        "missed: list[str] = tallyboard.install('unix:@tallyboard/none')\n"
        "page: bytes = tallyboard.exposition('text/plain', ['a'])[1]\n"
        "slot = tallyboard.attachment()\n"
        "reveal_type(slot)\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    said = subprocess.run([*mypy, program], capture_output=True, text=True, env=environment())
    assert said.returncode == 0, said.stdout
    assert "tuple[int, int, int] | None" in said.stdout.replace("builtins.", "")
