"""Registries of an application's own: their metrics count for the service, as in files, and what they
expose themselves is what was counted by them in their process."""

import os

import pytest
from test_programs import LINES, run_with
from test_zero_code import run

TWO = """
import prometheus_client as p
from prometheus_client import multiprocess
mine, other = p.CollectorRegistry(), p.CollectorRegistry()
"""


@pytest.mark.parametrize("is_set", [True, False], ids=["the user's variable", "without it"])
@pytest.mark.parametrize("where", ["mine", "other"])
def test_a_metric_of_any_registry_counts_for_the_service(board, where, is_set, tmp_path):
    run_with(
        board,
        TWO
        + f"""
page = lambda: p.generate_latest({where})
multiprocess.MultiProcessCollector({where})
jobs = p.Counter("app_jobs", "Jobs.", registry=mine)
threads = p.Gauge("app_threads", "Threads.", registry=mine, multiprocess_mode="sum")
for number in (1, 2, 3):
    in_child(lambda: (jobs.inc(number), threads.set(4)))
jobs.inc(10)
assert lines("app_", page()) == ["app_jobs_total 16", "app_threads 12"], page()
""",
        **({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if is_set else {}),
    )
    found = board.samples()
    assert found["app_jobs_total"] == 16 and found["app_threads"] == 12


def test_a_registry_of_ones_own_shows_what_was_counted_by_it_in_its_process(board):
    run_with(
        board,
        TWO
        + """
one = p.Counter("app_c", "C.", ["l"], registry=mine)
two = p.Counter("app_c", "C.", ["l"], registry=other)
later = p.Counter("app_none", "N.", registry=None)
one.labels("x").inc(2)
two.labels("x").inc(3)
later.inc(4)
other.register(later)
assert lines("app_c_total", p.generate_latest(mine)) == ['app_c_total{l="x"} 2']
assert lines("app_c_total", p.generate_latest(other)) == ['app_c_total{l="x"} 3']
assert other.get_sample_value("app_none_total") == 4
# Two metrics of one series.
assert lines("app_c_total") == ['app_c_total{l="x"} 5']
def act():
    # A child goes on with a copy, as it does without any of this.
    one.labels("x").inc(10)
    assert mine.get_sample_value("app_c_total", {"l": "x"}) == 12
in_child(act)
assert mine.get_sample_value("app_c_total", {"l": "x"}) == 2
assert lines("app_c_total") == ['app_c_total{l="x"} 15'] and lines("app_none") == ["app_none_total 4"]
""",
    )


EVERYTHING = (
    TWO
    + """
class Mine(p.Counter):
    def labels(self, **named):
        return super().labels(**{"env": "test", **named})
c = p.Counter("app_c", "C.", registry=mine)
m = Mine("app_m", "M.", ["env", "x"], registry=mine)
modes = [mode for mode in ("sum", "max", "livemin", "mostrecent", "livesum") if mode in p.Gauge._MULTIPROC_MODES]
g = {mode: p.Gauge("app_g_" + mode, "G.", ["l"], registry=mine, multiprocess_mode=mode) for mode in modes}
f = p.Gauge("app_f", "F.", registry=mine, multiprocess_mode="max")
s = p.Summary("app_s", "S.", ["l"], registry=mine)
h = p.Histogram("app_h", "H.", registry=mine, buckets=(1, 2, 5))
i = p.Info("app_i", "I.", registry=mine)
e = p.Enum("app_e", "E.", states=["idle", "busy"], registry=mine)
f.set_function(lambda: 8)
def use(number):
    c.inc(0.5)
    m.labels(x="1").inc(number)
    for gauge in g.values():
        gauge.labels("x").set(number)
    s.labels("x").observe(3)
    h.observe(2)
    h.observe(7)
    i.info({"version": str(number)})
    e.state("busy")
def shown(found):
    return [line.replace('.0"', '"') for line in found if "_created" not in line]
"""
)


def test_every_instrument_counts_for_its_registry_and_for_the_service(board):
    run_with(
        board,
        EVERYTHING
        + """
in_child(lambda: use(5))
use(7)
own = set(shown(lines("app_", p.generate_latest(mine))))
expected = {"app_c_total 0.5", 'app_m_total{env="test",x="1"} 7', "app_f 8",
            'app_s_count{l="x"} 1', 'app_s_sum{l="x"} 3', 'app_h_bucket{le="1"} 0',
            'app_h_bucket{le="2"} 1', 'app_h_bucket{le="5"} 1', 'app_h_bucket{le="+Inf"} 2',
            "app_h_count 2", "app_h_sum 9", 'app_i_info{version="7"} 1',
            'app_e{app_e="idle"} 0', 'app_e{app_e="busy"} 1'}
expected |= {f'app_g_{mode}{{l="x"}} 7' for mode in modes}
assert own == expected, own ^ expected
service = {"app_c_total 1", 'app_m_total{env="test",x="1"} 12', "app_f 8", 'app_s_count{l="x"} 2',
           'app_s_sum{l="x"} 6', 'app_h_bucket{le="2"} 2', "app_h_count 4", "app_h_sum 18",
           'app_i_info{version="7"} 1', 'app_e{app_e="busy"} 1', 'app_g_sum{l="x"} 12',
           'app_g_max{l="x"} 7', 'app_g_livemin{l="x"} 7', 'app_g_mostrecent{l="x"} 7',
           'app_g_livesum{l="x"} 7'}
missing = service - set(shown(lines("app_")))
assert not missing, (missing, lines("app_"))
""",
    )


@pytest.mark.parametrize("version", ["0.5", "0.7", "0.14"])
def test_old_versions_count_for_registry_and_service_too(board, version):
    run_with(
        board,
        EVERYTHING
        + """
in_child(lambda: use(5))
use(7)
value = mine.get_sample_value
assert value("app_c_total") == 0.5 and value("app_m_total", {"env": "test", "x": "1"}) == 7
assert value("app_h_sum") == 9 and value("app_e", {"app_e": "busy"}) == 1 and value("app_f") == 8
assert "app_c_total 1" in lines("app_c_total") and "app_h_sum 18" in lines("app_h_sum")
multiprocess.MultiProcessCollector(mine)
assert "app_c_total 1" in shown(lines("app_c_total", p.generate_latest(mine)))
(metric,) = mine.restricted_registry(["app_c_total"]).collect()
assert [sample.value for sample in metric.samples] == [1]
""",
        PYTHONPATH=os.path.join(os.environ["TALLYBOARD_TEST_HOME"], version),
    )


def test_exemplars_and_created_times_are_on_both_pages(board):
    run_with(
        board,
        TWO
        + """
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
c = p.Counter("app_c", "C.", registry=mine)
h = p.Histogram("app_h", "H.", registry=mine, buckets=(1, 2))
c.inc(2, exemplar={"trace": "a"})
h.observe(1.5, exemplar={"trace": "b"})
for registry in (mine, p.REGISTRY):
    page = openmetrics(registry)
    assert '# {trace="a"} 2' in lines("app_c_total", page)[0], page
    assert '# {trace="b"} 1.5' in lines('app_h_bucket{le="2.0"}', page)[0], page
    assert len(lines("app_c_created", page)) == 1, page
""",
    )


def test_each_way_of_exposing_a_registry_shows_its_own(board):
    run_with(
        board,
        TWO
        + """
import http.server, threading
from wsgiref.util import setup_testing_defaults
c = p.Counter("app_c", "C.", registry=mine)
in_child(lambda: c.inc(10))
c.inc(3)
environ = {}
setup_testing_defaults(environ)
said = []
page = b"".join(p.make_wsgi_app(mine)(environ, lambda status, headers: said.append(status)))
assert said == ["200 OK"] and lines("app_c_total", page) == ["app_c_total 3"]
pushed = []
def send(url, method, timeout, headers, data):
    return lambda: pushed.append((method, data))
p.push_to_gateway("localhost:9091", "job", mine, handler=send)
p.pushadd_to_gateway("localhost:9091", "job", mine, handler=send)
assert [method for method, _ in pushed] == ["PUT", "POST"]
assert all(lines("app_c_total", data) == ["app_c_total 3"] for _, data in pushed)
p.write_to_textfile("app.prom", mine)
assert lines("app_c_total", open("app.prom", "rb").read()) == ["app_c_total 3"]
os.remove("app.prom")
assert lines("app_c_total") == ["app_c_total 13"]
""",
    )


def test_what_a_registry_with_the_arena_holds_is_shown_once(board):
    run_with(
        board,
        TWO
        + """
from prometheus_client.core import GaugeMetricFamily
class Queue:
    def collect(self):
        yield GaugeMetricFamily("app_queue", "Q.", value=7)
        more = GaugeMetricFamily("app_g", "G.", labels=["l"])
        more.add_metric(["x"], 1)
        more.add_metric(["y"], 2)
        yield more
c = p.Counter("app_c", "C.", registry=mine)
g = p.Gauge("app_g", "G.", ["l"], registry=mine, multiprocess_mode="sum")
multiprocess.MultiProcessCollector(mine)
in_child(lambda: (c.inc(2), g.labels("x").set(5)))
c.inc()
assert lines("app_", p.generate_latest(mine)) == ["app_c_total 3", 'app_g{l="x"} 5']
mine.register(Queue())
page = p.generate_latest(mine)
expected = ["app_c_total 3", 'app_g{l="x"} 5', 'app_g{l="y"} 2', "app_queue 7"]
assert sorted(lines("app_", page)) == expected, page
# A collector of this registry is one of this process, and of no other page.
assert lines("app_queue") == []
(metric,) = mine.restricted_registry(["app_c_total"]).collect()
assert [sample.value for sample in metric.samples] == [3]
assert mine.get_sample_value("app_c_total") == 3
# What the interpreter says of itself in both is said once.
p.PlatformCollector(registry=mine), p.GCCollector(registry=mine), p.ProcessCollector(registry=mine)
page = p.generate_latest(mine)
series = [line.rsplit(" ", 1)[0] for line in page.decode().splitlines() if line[:1] != "#"]
assert len(series) == len(set(series)), page
types = [line.split()[2] for line in page.decode().splitlines() if line.startswith("# TYPE")]
assert len(types) == len(set(types)), page
""",
    )


def test_removal_is_of_the_registry_and_of_the_service_and_unregistration_of_neither(board):
    run_with(
        board,
        TWO
        + """
c = p.Counter("app_c", "C.", ["l"], registry=mine)
for label in "abc":
    c.labels(label).inc(5)
c.remove("a")
assert lines("app_c_total") == ['app_c_total{l="b"} 5', 'app_c_total{l="c"} 5']
assert mine.get_sample_value("app_c_total", {"l": "a"}) is None
c.labels("a").inc()
assert mine.get_sample_value("app_c_total", {"l": "a"}) == 1 and 'app_c_total{l="a"} 1' in lines("app_c")
c.clear()
assert lines("app_c_total") == [] == lines("app_c_total", p.generate_latest(mine))
c.labels("d").inc(2)
# Files keep what a metric has counted that is unregistered, and so does the arena.
mine.unregister(c)
assert lines("app_c_total", p.generate_latest(mine)) == []
c.labels("d").inc()
assert lines("app_c_total") == ['app_c_total{l="d"} 3']
other.register(c)
assert other.get_sample_value("app_c_total", {"l": "d"}) == 3
# One that was of the default registry counts again where it is registered.
d = p.Counter("app_d", "D.")
d.inc(2)
p.REGISTRY.unregister(d)
d.inc()
assert lines("app_d") == []
mine.register(d)
d.inc()
assert lines("app_d_total") == ["app_d_total 4"] and mine.get_sample_value("app_d_total") == 4
""",
    )


def test_registries_can_be_kept_private(board):
    run_with(
        board,
        EVERYTHING
        + """
use(7)
page = p.generate_latest(mine)
assert "app_c_total 0.5" in lines("app_c_total", page) and "app_f 8" in lines("app_f", page)
assert lines("app_") == []
none = p.Counter("app_none", "N.", registry=None)
none.inc()
mine.register(none)
assert lines("app_") == ["app_none_total 1"]
# What is registered with the service counts for it, with all that it has counted.
p.REGISTRY.register(c)
c.inc()
assert lines("app_c_total") == ["app_c_total 1.5"] and mine.get_sample_value("app_c_total") == 1.5
p.REGISTRY.unregister(c)
c.inc()
assert lines("app_c_total") == [] and mine.get_sample_value("app_c_total") == 2.5
""",
        TALLYBOARD_PRIVATE_REGISTRIES="1",
    )
    assert not [name for name in board.samples() if name.startswith("app_g")]


def test_another_definition_of_a_name_is_counted_by_name_after_one_warning(board):
    said = run_with(
        board,
        TWO
        + """
p.Counter("app_x", "X.", ["l"]).labels("a").inc()
private = p.Gauge("app_x", "X.", ["l", "m"], registry=mine)
for _ in range(3):
    private.labels("a", "b").inc()
private.labels("a", "c").set(7)
again = p.Gauge("app_x", "X.", ["l", "m"], registry=other)
again.labels("a", "b").set(2)
assert lines("app_x_total") == ['app_x_total{l="a"} 1'], lines("app_x")
assert mine.get_sample_value("app_x", {"l": "a", "m": "b"}) == 3
assert other.get_sample_value("app_x", {"l": "a", "m": "b"}) == 2
""",
    )
    assert said.count("'app_x' counts in this process alone") == 1 and "registered already" in said
    assert board.samples()['python_refused_operations_total{metric="app_x"}'] == 5


def test_registries_by_the_thousand_leave_what_files_would(board):
    said = run_with(
        board,
        TWO
        + """
import gc, weakref
from prometheus_client import REGISTRY
from tallyboard import _arena, _callbacks
def probe(number):
    registry = p.CollectorRegistry()
    up = p.Gauge("app_up", "U.", ["target"], registry=registry, multiprocess_mode="max")
    done = p.Counter("app_done", "D.", registry=registry)
    seconds = p.Histogram("app_seconds", "S.", registry=registry)
    size = p.Gauge("app_size", "S.", registry=registry, multiprocess_mode="livesum")
    kept = bytearray(1 << 16)
    size.set_function(lambda: len(kept))
    up.labels("a").set(number)
    done.inc()
    seconds.observe(1)
    page = p.generate_latest(registry)
    assert lines("app_done_total", page) == ["app_done_total 1"]
    assert lines("app_up", page) == [f'app_up{{target="a"}} {number}']
    return [weakref.ref(each) for each in (registry, up, done, seconds, size)]
def state():
    with open("/proc/self/status") as status:
        pages = {line.split()[0]: line.split()[1] for line in status if line.startswith("VmRSS")}
    return len(_arena._families), len(_callbacks._asked), len(gc.get_objects())
for number in range(10):
    probe(number)
gc.collect()
families, asked, objects = state()
series = sorted(line.split()[0] for line in lines("app_") if "app_size" not in line)
refs = []
for number in range(1000):
    refs += probe(number)
gc.collect()
assert not [ref for ref in refs if ref() is not None]
del refs
after = state()
assert after[0] == families and after[1] == asked == 0, after
assert after[2] < objects + 500, (after, objects)
assert sorted(line.split()[0] for line in lines("app_")) == series, lines("app_")
assert lines("app_done_total") == ["app_done_total 1010"]
assert lines("app_up") == ['app_up{target="a"} 999']
""",
    )
    assert "counts in this process alone" not in said


def test_a_callback_ends_with_the_last_gauge_that_has_it(board):
    run_with(
        board,
        TWO
        + """
import gc
old = p.Gauge("app_g", "G.", registry=mine, multiprocess_mode="livesum")
old.set_function(lambda: 3)
new = p.Gauge("app_g", "G.", registry=other, multiprocess_mode="livesum")
new.set_function(lambda: 4)
del old, mine
gc.collect()
assert lines("app_g") == ["app_g 4"] and other.get_sample_value("app_g") == 4
del new, other
gc.collect()
assert lines("app_g") == []
""",
    )


def test_what_exists_already_counts_for_its_registry_and_for_the_service(board):
    run(
        board,
        LINES
        + TWO
        + """
c = p.Counter("app_c", "C.", ["l"], registry=mine); child = c.labels("x"); child.inc(3)
same = p.Counter("app_c", "C.", ["l"], registry=other); same.labels("x").inc()
h = p.Histogram("app_h", "H.", registry=mine); h.observe(0.3)
g = p.Gauge("app_g", "G.", registry=mine, multiprocess_mode="sum"); g.set(5)
i = p.Info("app_i", "I.", registry=mine); i.info({"version": "1"})
import tallyboard
assert tallyboard.install(os.environ.pop("ADDRESS")) == []
in_child(lambda: (child.inc(), g.set(2)))
child.inc()
c.labels("y").inc()
value = mine.get_sample_value
assert value("app_c_total", {"l": "x"}) == 4 and value("app_c_total", {"l": "y"}) == 1
assert value("app_h_sum") == 0.3 and value("app_g") == 5
assert other.get_sample_value("app_c_total", {"l": "x"}) == 1
expected = ['app_c_total{l="x"} 6', 'app_c_total{l="y"} 1']
assert lines("app_c_total") == expected, lines("app_")
assert lines("app_h_count") == ["app_h_count 1"] and lines("app_g") == ["app_g 7"]
assert lines("app_i") == ['app_i_info{version="1"} 1']
""",
        TALLYBOARD="",
        ADDRESS=board.address,
    )
