"""What collectors of applications and libraries say: every sample that prometheus_client shows, in every
shape, from as many processes as say it."""

import os
import signal

import pytest
from serving import Gunicorn, until
from test_asking import OFTEN
from test_programs import run_with

#: What is said in one process, by name of the shape: a body of ``collect``.
SHAPES = {
    "infos of several sets": """
family = InfoMetricFamily("x_build", "Built.", labels=["part"])
family.add_metric(["a"], {"version": "1"})
family.add_metric(["b"], {"version": "2"})
family.add_metric(["b"], {"version": "3"})
yield family
""",
    "statesets of several sets": """
family = StateSetMetricFamily("x_on", "On.", labels=["lamp"])
family.add_metric(["a"], {"red": True, "green": True})
family.add_metric(["b"], {"red": False, "green": False})
yield family
""",
    "a gauge histogram": """
family = GaugeHistogramMetricFamily("x_age", "Ages.", labels=["of"])
family.add_metric(["a"], [("1.0", 2), ("+Inf", 5)], 3.5)
family.add_metric(["b"], [("1.0", 0), ("+Inf", 1)], 7)
yield family
""",
    "quantiles": """
family = Metric("x_seconds", "Seconds.", "summary")
for shop in "ab":
    for quantile, value in (("0.5", 0.1), ("0.99", 2.5)):
        family.add_sample("x_seconds", {"shop": shop, "quantile": quantile}, value)
    family.add_sample("x_seconds_count", {"shop": shop}, 10)
    family.add_sample("x_seconds_sum", {"shop": shop}, 2.25)
yield family
""",
    "no type": """
yield UnknownMetricFamily("x_any", "Any.", value=-2.5)
""",
    "times": """
yield GaugeMetricFamily("x_no", "None.", value=1)
family = GaugeMetricFamily("x_at", "At.", labels=["of"])
family.add_metric(["seconds"], 1, timestamp=1234)
family.add_metric(["fraction"], 2, timestamp=123.456)
family.add_metric(["exact"], 3, timestamp=Timestamp(1520879607, 789000000))
family.add_metric(["start"], 4, timestamp=0)
yield family
""",
    "exemplars": """
family = CounterMetricFamily("x_calls", "Calls.", labels=["of"])
family.add_metric(["a"], 3, exemplar=Exemplar({"id": "ab"}, 0.5, 123.5)) if HAS_EXEMPLARS else None
family.add_metric(["b"], 4)
yield family
family = HistogramMetricFamily("x_took", "Took.", buckets=[("1.0", 1, Exemplar({"id": "c"}, 0.5)), ("+Inf", 3)], sum_value=4)
yield family
""",
    "created times": """
yield CounterMetricFamily("x_made", "Made.", value=3, created=123.5)
yield SummaryMetricFamily("x_read", "Read.", count_value=3, sum_value=5.5)
""",
    "no sum": """
yield HistogramMetricFamily("x_without", "Without.", buckets=[("1.0", 4), ("+Inf", 5)], sum_value=None)
""",
    "mixed label names": """
family = Metric("x_up", "Up.", "gauge")
family.add_sample("x_up", {"job": "a"}, 1)
family.add_sample("x_up", {"job": "b", "zone": "z"}, 2)
family.add_sample("x_up", {}, 3)
yield family
""",
    "names of their own": """
family = Metric("x_host", "Host.", "gauge")
family.add_sample("x_host", {}, 1)
family.add_sample("x_cpu", {"core": "0"}, 0.5)
family.add_sample("x_cpu", {"core": "1"}, 0.75)
family.add_sample("x_host_memory", {}, 90)
yield family
family = Metric("x_failed_total", "A counter of another type.", "summary")
family.add_sample("x_failed_total", {"of": "a"}, 7)
yield family
family = Metric("x_old", "As old collectors say it.", "counter")
family.add_sample("x_old", {}, 7)
yield family
""",
    "counts that are no whole numbers": """
family = Metric("x_share", "Shares.", "histogram")
for bound, value in (("1.0", 0.5), ("+Inf", 2.25)):
    family.add_sample("x_share_bucket", {"le": bound}, value)
family.add_sample("x_share_count", {}, 2.25)
family.add_sample("x_share_sum", {}, 30.5)
yield family
""",
    "bounds as they are written": """
family = Metric("x_bounds", "Bounds.", "histogram")
for bound, value in (("1", 1), ("2.50", 2), ("1e3", 2), ("+Inf", 3)):
    family.add_sample("x_bounds_bucket", {"le": bound}, value)
family.add_sample("x_bounds_count", {}, 3)
family.add_sample("x_bounds_sum", {}, 30)
yield family
""",
    "numbers that are none of float's": """
yield GaugeMetricFamily("x_text", "Text.", value="7.5")
family = Metric("x_made_up", "Made up.", "gauge")
family.add_sample("x_made_up", {}, Number())
family.add_sample("x_made_up", {"l": "x"}, Decimal("0.1"))
yield family
""",
}

SAYS = """
import prometheus_client as p
from decimal import Decimal
from prometheus_client.core import *
from prometheus_client.openmetrics import exposition
from prometheus_client.samples import Exemplar, Timestamp
HAS_EXEMPLARS = True
class Number:
    def __float__(self):
        return 123.25
class Says:
    multiprocess_mode = "max"
    def collect(self):
{body}
def samples(page):
    found = []
    for line in page.decode().splitlines():
        if line.startswith("x_"):
            line, _, exemplar = line.partition(" # ")
            name, _, rest = line.rpartition("}}") if "}}" in line else line.partition(" ")
            name, _, labels = name.partition("{{")
            numbers = [float(number) for number in (rest + " " + exemplar.rpartition("}}")[2]).split()]
            found.append((name, sorted(labels.split(",")), numbers, exemplar.rpartition("}}")[0]))
    return sorted(found)
says = Says()
plain = p.CollectorRegistry()
plain.register(says)
p.REGISTRY.register(says)
writers = p.generate_latest, exposition.generate_latest
for write in writers[:{formats}]:
    want = samples(write(plain))
    got = samples(write(p.REGISTRY))
    assert want and got == want, f"{{write.__module__}} shows\\n{{got}}\\nand not\\n{{want}}"
def collected(registry):
    moment = lambda at: None if at is None else float(at)
    of = lambda e: None if e is None else (e.labels, float(e.value), moment(e.timestamp))
    return sorted(
        (s.name, sorted(s.labels.items()), float(s.value), moment(s.timestamp), of(s.exemplar))
        for metric in registry.collect() for s in metric.samples if s.name.startswith("x_")
    )
assert collected(p.REGISTRY) == collected(plain), f"{{collected(p.REGISTRY)}}\\nand not\\n{{collected(plain)}}"
p.REGISTRY.unregister(says)
for write in writers:
    assert samples(write(p.REGISTRY)) == []
p.REGISTRY.register(says)
assert samples(p.generate_latest(p.REGISTRY)) == samples(p.generate_latest(plain))
"""


@pytest.mark.parametrize("shape", SHAPES)
def test_all_that_prometheus_client_shows_is_shown(board, shape):
    body = "".join(f"        {line}\n" for line in SHAPES[shape].strip().splitlines())
    # OpenMetrics has one way to write a bound.
    formats = 1 if shape in ("bounds as they are written",) else 2
    said = run_with(board, SAYS.format(body=body, formats=formats))
    assert said == ""


@pytest.mark.parametrize("version", ["0.5", "0.7", "0.14"])
def test_what_old_versions_say_is_shown(board, version):
    run_with(
        board,
        """
import prometheus_client as p
from prometheus_client.core import *
class Says:
    multiprocess_mode = "max"
    def collect(self):
        family = Metric("x_seconds", "Seconds.", "summary")
        family.add_sample("x_seconds", {"quantile": "0.5"}, 0.5)
        family.add_sample("x_seconds_count", {}, 10)
        yield family
        yield GaugeHistogramMetricFamily("x_age", "Age.", buckets=[("1.0", 2), ("+Inf", 5)], gsum_value=3.5)
        yield UntypedMetricFamily("x_any", "Any.", value=4)
p.REGISTRY.register(Says())
assert set(lines("x_")) == {
    'x_seconds{quantile="0.5"} 0.5', "x_seconds_count 10", "x_any 4",
    'x_age_bucket{le="1.0"} 2', 'x_age_bucket{le="+Inf"} 5', "x_age_gcount 5", "x_age_gsum 3.5",
}, lines("x_")
assert "# TYPE x_any untyped" in lines("# TYPE x_")
""",
        PYTHONPATH=os.path.join(os.environ["TALLYBOARD_TEST_HOME"], version),
    )


MANY = """
import prometheus_client as p
from prometheus_client.core import *
class Says:
    multiprocess_mode = MODE
    def __init__(self, number):
        self.number = number
    def collect(self):
        n = self.number
        family = Metric("x_seconds", "Seconds.", "summary")
        family.add_sample("x_seconds", {"quantile": "0.5"}, n / 10)
        family.add_sample("x_seconds_count", {}, n)
        family.add_sample("x_seconds_sum", {}, n / 2)
        yield family
        yield CounterMetricFamily("x_calls", "Calls.", value=n, created=100 - n)
        yield HistogramMetricFamily("x_took", "Took.", buckets=[("1.0", n / 2), ("+Inf", n)], sum_value=n)
        family = Metric("x_at", "At.", "gauge")
        family.add_sample("x_at", {}, n, 1000 - n)
        yield family
        yield GaugeHistogramMetricFamily("x_age", "Age.", buckets=[("1.0", n), ("+Inf", 2 * n)], gsum_value=n)
        yield InfoMetricFamily("x_worker", "W.", value={"number": str(n)})
        yield UnknownMetricFamily("x_any", "Any.", value=n)
def process(number):
    # Each is told to go on by the one that asks what it has said, and answers.
    here, there = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        says = Says(number)
        p.REGISTRY.register(says)
        p.generate_latest()
        os.write(there[1], b"x")
        while os.read(here[0], 1) == b"u":
            p.REGISTRY.unregister(says)
            os.write(there[1], b"x")
        os._exit(0)
    assert os.read(there[0], 1)
    return pid, here[1], there[0]
def unregister(process):
    os.write(process[1], b"u")
    assert os.read(process[2], 1)
def kill(process):
    os.kill(process[0], 9)
    os.waitpid(process[0], 0)
def shown(found=None):
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines("x_", found) if "x_at" not in line}
"""

ADDED = """
ADDED = {"x_seconds_count": 7, "x_seconds_sum": 3.5, "x_calls_total": 7, 'x_took_bucket{le="1.0"}': 3.5,
         'x_took_bucket{le="+Inf"}': 7, "x_took_count": 7, "x_took_sum": 7}
"""


def test_counts_of_many_processes_are_added_and_stay_when_they_are_killed(board):
    run_with(
        board,
        "MODE = 'max'\n"
        + MANY
        + ADDED
        + """
processes = [process(number) for number in (1, 4, 2)]
page = shown()
assert page.items() >= ADDED.items(), page
# The quantile that was said last, whatever the others say; the newest time of their own.
assert page['x_seconds{quantile="0.5"}'] == 0.2, page
assert lines("x_at ") == ["x_at 1 999000"]
assert (page["x_any"], page["x_age_gcount"], page['x_age_bucket{le="1.0"}']) == (4, 8, 4)
assert {name for name in page if "x_worker" in name} == {'x_worker_info{number="%d"}' % n for n in (1, 2, 4)}
for at, one in enumerate(processes):
    kill(one)
    until(lambda: len([name for name in shown() if "x_worker" in name]) == max(1, 2 - at))
    page = shown()
    assert page.items() >= ADDED.items(), page
    assert (page["x_any"], page["x_age_gcount"]) == (4, 8)
# When none lives any more, the last is shown.
assert [name for name in page if "x_worker" in name] == ['x_worker_info{number="2"}']
""",
    )


def test_gauges_of_mode_all_have_a_sample_for_each_process(board):
    run_with(
        board,
        "MODE = 'all'\n"
        + MANY
        + """
one, two = process(1), process(4)
of = lambda name, process, *labels: name + "{" + ",".join([*labels, f'pid="{process[0]}"']) + "}"
expected = {of("x_any", one): 1, of("x_any", two): 4, of("x_age_gcount", one): 2, of("x_age_gcount", two): 8,
            of("x_age_bucket", two, 'le="1.0"'): 4}
assert shown().items() >= expected.items(), shown()
kill(two)
assert shown().items() >= expected.items(), "the dead one's are kept in mode all"
# What has a time of its own is one for all.
assert lines("x_at") == ["x_at 1 999000"]
""",
    )


def test_what_is_unregistered_is_gone_at_the_next_look_and_that_of_others_stays(board):
    run_with(
        board,
        "MODE = 'all'\n"
        + MANY
        + """
one, two = process(1), process(4)
unregister(one)
page = shown()
assert page["x_calls_total"] == 4 and page['x_seconds{quantile="0.5"}'] == 0.4, page
assert page['x_any{pid="%d"}' % two[0]] == 4 and 'x_any{pid="%d"}' % one[0] not in page, page
assert [name for name in page if "worker" in name] == ['x_worker_info{number="4"}'], page
unregister(two)
assert shown() == {} and lines("x_") == []
kill(one), kill(two)
assert lines("x_") == []
""",
    )


def test_what_cannot_be_shown_is_left_out_alone_and_said_once(board):
    said = run_with(
        board,
        OFTEN
        + """
import prometheus_client as p
from prometheus_client.core import *
turns = 0
class Says:
    multiprocess_mode = "max"
    def collect(self):
        global turns
        turns += 1
        yield GaugeMetricFamily("x_good", "Good.", value=1)
        family = Metric("x_some", "Some.", "gauge")
        family.add_sample("x_some", {"l": "1"}, 1)
        family.add_sample("x_some", {"l": "2"}, "no number")
        family.add_sample("x_some", {"l": "3"}, None)
        family.add_sample("x_some", {"l": "y" * 5000}, 1)
        family.add_sample("x_some", {"l": "4"}, 4)
        family.add_sample("x_twice", {"l": "1"}, 1)
        family.add_sample("x_twice", {"l": "1"}, 2)
        yield family
        yield GaugeMetricFamily("tallyboard_mine", "Reserved.", value=1)
        # Of this one prometheus_client can write no page of OpenMetrics.
        yield CounterMetricFamily("x_dict", "Dict.", value=1, exemplar={"no": "Exemplar"})
        yield GaugeMetricFamily("x_last", "Last.", value=1)
p.REGISTRY.register(Says())
expected = ["x_dict_total 1", "x_good 1", "x_last 1", 'x_some{l="1"} 1', 'x_some{l="4"} 4', 'x_twice{l="1"} 1']
until(lambda: sorted(lines("x_")) == expected)
until(lambda: turns > 5)
assert sorted(lines("x_")) == expected
errors = p.REGISTRY.get_sample_value("tallyboard_collector_errors_total", {"collector": "__main__.Says"})
assert errors == 6, errors
""",
    )
    for name in ("x_some", "x_twice", "tallyboard_mine", "x_dict_total"):
        assert f'"{name}"' in said, said
    assert len(said.splitlines()) == 6, said


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])
def test_counts_of_a_collector_do_not_fall_when_workers_of_a_server_are_killed(preload):
    with Gunicorn("-w", "3", *preload, app="said:app", SAY_OFTEN="1") as server:

        def shown():
            found = server.samples()
            total = found.get("app_requests_total")
            said = {name: value for name, value in found.items() if name.startswith("said_")}
            # Each worker is asked at its own time, so that all of it is said a bit later.
            return said if said.get("said_requests_total") == total else None

        before = {}
        for _ in range(6):
            assert server.load(60) == 60
            page = until(shown, server)
            fallen = [name for name, value in before.items() if page.get(name, -1) < value]
            assert not fallen, (fallen, before, page)
            before = page
            os.kill(server.worker(), signal.SIGKILL)
            page = server.samples()
            fallen = [name for name, value in before.items() if page.get(name, -1) < value]
            assert not fallen, (fallen, before, page)
        assert page["said_requests_total"] == page["said_seconds_count"] == 360
        assert page['said_sizes_bucket{le="1.0"}'] == 180
        assert page['said_seconds{quantile="0.5"}'] == 0.25
