"""Collectors that applications derive from ``MultiProcessCollector``, what it is made of, and metrics
that have samples of their own."""

import os

import pytest
from test_programs import run_with

FILES = """
import glob
import prometheus_client as p
from prometheus_client import multiprocess
from prometheus_client.core import GaugeMetricFamily
Collector = multiprocess.MultiProcessCollector
c = p.Counter("app_c", "C.", ["l"])
h = p.Histogram("app_h", "H.", ["l"], buckets=(1, 2))
g = p.Gauge("app_g", "G.")
b = p.Gauge("app_b", "B.", multiprocess_mode="livesum")
for number in (1, 2, 3):
    in_child(lambda: (c.labels("x").inc(number), h.labels("x").observe(number), g.set(number)))
class Queue:
    def collect(self):
        yield GaugeMetricFamily("app_queue", "Q.", value=7)
registry = p.CollectorRegistry()
def page():
    registry.register(Queue())
    found = lines("app_", p.generate_latest(registry))
    assert "app_queue 7" in found, found
    assert [line.split()[0] for line in found].count('app_c_total{l="x"}') == 1, found
    return dict(line.rsplit(" ", 1) for line in found)
TOTALS = {'app_c_total{l="x"}': "6", 'app_h_count{l="x"}': "3", 'app_h_bucket{l="x",le="2.0"}': "2"}
files = lambda path: glob.glob(os.path.join(path, "**/*.db"), recursive=True)
"""

#: What applications do; `shown` is the page of a registry that has it, and a collector of its own.
DERIVED = {
    "collects recursively": """
class Mine(Collector):
    def collect(self):
        return self.merge(files(self._path), accumulate=True)
Mine(registry); shown = page()
assert shown.items() >= TOTALS.items() and len([name for name in shown if "app_g" in name]) == 4
""",
    "adds samples": """
class Mine(Collector):
    def collect(self):
        for metric in super().collect():
            if metric.name == "app_b":
                metric.add_sample("app_b", {"kind": "initial"}, 1)
            yield metric
b.set(2)
Mine(registry); shown = page()
assert shown.items() >= {**TOTALS, "app_b": "2", 'app_b{kind="initial"}': "1"}.items()
""",
    "leaves gauges out": """
class Mine(Collector):
    def collect(self):
        return (metric for metric in super().collect() if metric.type != "gauge")
own = p.Gauge("app_own", "O.", registry=registry); own.set(4)
Mine(registry); shown = page()
assert shown.items() >= TOTALS.items() and not [name for name in shown if "app_g" in name]
# What the collector does not say of the service is this registry's own.
assert shown["app_own"] == "4"
""",
    "merges by the static method": """
class Mine:
    def collect(self):
        return Collector.merge(files(os.environ["PROMETHEUS_MULTIPROC_DIR"]), accumulate=True)
registry.register(Mine()); assert page().items() >= TOTALS.items()
""",
    "has a merge of its own": """
class Mine(Collector):
    @staticmethod
    def merge(files, accumulate=True):
        return [metric for metric in Collector.merge(files, accumulate) if metric.name != "app_h"]
Mine(registry); shown = page()
assert shown['app_c_total{l="x"}'] == "6" and not [name for name in shown if "app_h" in name]
""",
    "reads and accumulates": """
class Mine(Collector):
    def collect(self):
        raw = self._read_metrics(files(self._path))
        assert all(isinstance(sample.labels, tuple) for sample in raw["app_h"].samples)
        assert {sample.name for sample in raw["app_h"].samples} == {"app_h_sum", "app_h_bucket"}
        return self._accumulate_metrics(raw, True)
Mine(registry); shown = page()
assert shown.items() >= TOTALS.items() and len([name for name in shown if "app_g" in name]) == 4
""",
    "does not accumulate": """
(metric,) = [metric for metric in Collector(None).merge([], accumulate=False) if metric.name == "app_h"]
found = {(sample.name, dict(sample.labels).get("le")): sample.value for sample in metric.samples}
assert found == {("app_h_sum", None): 6, ("app_h_bucket", "1.0"): 1, ("app_h_bucket", "2.0"): 1,
                 ("app_h_bucket", "+Inf"): 1}, found
""",
    "makes itself": """
class Mine(Collector):
    def __init__(self, registry):
        self._path = os.environ["PROMETHEUS_MULTIPROC_DIR"]
        registry.register(self)
Mine(registry); assert page().items() >= TOTALS.items()
""",
}


@pytest.mark.parametrize("program", DERIVED.values(), ids=DERIVED)
def test_a_collector_that_is_derived_reads_the_arena(board, program, tmp_path):
    run_with(board, FILES + program, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_a_collector_that_was_derived_before_reads_the_arena_too(board, tmp_path):
    run_with(
        board,
        """
import prometheus_client as p
from prometheus_client import multiprocess
from prometheus_client.multiprocess import MultiProcessCollector
class Mine(MultiProcessCollector):
    def collect(self):
        return super().collect()
registry, other = p.CollectorRegistry(), p.CollectorRegistry()
Mine(registry), MultiProcessCollector(other)
c = p.Counter("app_c", "C.")
import tallyboard
assert tallyboard.install(os.environ.pop("ADDRESS")) == []
in_child(c.inc)
c.inc()
for each in (registry, other):
    assert each.get_sample_value("app_c_total") == 2
assert lines("app_c_total", p.generate_latest(registry)) == ["app_c_total 2"]
assert lines("app_c_total", p.generate_latest(other)) == ["app_c_total 2"]
""",
        TALLYBOARD="",
        ADDRESS=board.address,
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )


def test_files_that_are_there_are_said_once_not_to_be_read(board, tmp_path):
    (tmp_path / "counter_1.db").write_bytes(b"\0" * 8)
    said = run_with(
        board,
        FILES
        + """
for _ in range(2):
    Collector.merge(files(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
""",
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    assert said.count("are not read") == 1 and str(tmp_path) in said


@pytest.mark.parametrize("version", ["0.5", "0.7"])
def test_processes_may_be_named_as_old_versions_do(board, version):
    run_with(
        board,
        """
import prometheus_client as p
from prometheus_client import values
values.ValueClass = values.MultiProcessValue(_pidFunc=lambda: 1)
p.Counter("app_c", "C.").inc()
assert lines("app_c_total") == ["app_c_total 1"]
values.MultiProcessValue(lambda: 1), values.MultiProcessValue(process_identifier=lambda: 1)
try:
    values.MultiProcessValue(pid=1)
except TypeError:
    pass
else:
    raise SystemExit("another name was taken")
""",
        PYTHONPATH=os.path.join(os.environ["TALLYBOARD_TEST_HOME"], version),
    )


OWN = """
import prometheus_client as p
from prometheus_client.samples import Sample
class Quantiles(p.Summary):
    def _child_samples(self):
        yield Sample("", {"quantile": "0.5"}, 1.5, None, None)
        yield from super()._child_samples()
class Elsewhere(p.Counter):
    stored = 0.0
    def _metric_init(self):
        pass
    def inc(self, amount=1, exemplar=None):
        Elsewhere.stored += amount
    def _child_samples(self):
        return [Sample("_total", {}, Elsewhere.stored, None, None)]
class Asked(p.Gauge):
    def collect(self):
        self.set(8)
        return super().collect()
class Plain(p.Counter):
    def inc(self, amount=1, exemplar=None):
        super().inc(2 * amount)
"""


def test_a_metric_with_samples_of_its_own_is_said_once_for_its_class(board):
    said = run_with(
        board,
        OWN
        + """
for number in range(2):
    Quantiles(f"app_q_{number}", "Q.", ["l"]).labels("x").observe(1)
Elsewhere("app_e", "E.").inc(5)
Asked("app_a", "A.", multiprocess_mode="max")
Plain("app_p", "P.").inc()
assert lines("app_p_total") == ["app_p_total 2"]
assert lines("app_q_0_count") == ['app_q_0_count{l="x"} 1']
""",
    )
    for name, samples in (("Quantiles", "_child_samples"), ("Elsewhere", "_child_samples"), ("Asked", "collect")):
        assert said.count(f"{name} has a {samples} of its own") == 1, said
    assert "Plain has" not in said


def test_a_registry_of_ones_own_shows_samples_of_its_own(board):
    run_with(
        board,
        OWN
        + """
mine = p.CollectorRegistry()
Quantiles("app_q", "Q.", registry=mine).observe(1)
Elsewhere("app_e", "E.", registry=mine).inc(5)
Asked("app_a", "A.", registry=mine)
page = p.generate_latest(mine)
assert 'app_q{quantile="0.5"} 1.5' in lines("app_q", page) and "app_q_count 1" in lines("app_q", page)
assert lines("app_e", page) == ["app_e_total 5"] and lines("app_a", page) == ["app_a 8"]
""",
    )
