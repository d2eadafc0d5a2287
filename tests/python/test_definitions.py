"""What metrics are called, and what they mean by it when that changes or is contradicted."""

import os

import pytest
from test_programs import run_with

NAMES = """
import prometheus_client as p
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
mine = p.CollectorRegistry()
def names(page):
    return {line.rsplit(" ", 1)[0] for line in page.decode().splitlines()
            if line[:1] != "#" and "_created" not in line and line[:4] in ("app_", "requ")}
"""


@pytest.mark.parametrize("version", ["", "0.5", "0.7", "0.14"], ids=["upstream", "0.5", "0.7", "0.14"])
@pytest.mark.parametrize(
    "make",
    [
        'p.Counter("app_x_total_total", "X.", registry=r).inc()',
        'p.Counter("app_x_total", "X.", registry=r).inc()',
        'p.Counter("requests", "X.", unit="total", registry=r).inc()',
        'p.Counter("requests_total", "X.", unit="total", registry=r).inc()',
        'p.Counter("app_x_info", "X.", registry=r).inc()',
        'p.Counter("app_x_seconds_total", "X.", unit="seconds", registry=r).inc()',
        'p.Gauge("app_x_total", "X.", registry=r, multiprocess_mode="max").set(1)',
        'p.Info("app_x_info", "X.", registry=r).info({"a": "b"})',
        'p.Info("app_x", "X.", registry=r).info({"a": "b"})',
        'p.Summary("app_x_total", "X.", registry=r).observe(1)',
        'p.Histogram("app_x_total", "X.", registry=r, buckets=(1,)).observe(1)',
        'p.Enum("app_x_total", "X.", registry=r, states=["a"]).state("a")',
    ],
)
def test_samples_are_called_as_upstream_calls_them(board, make, version):
    where = {"PYTHONPATH": os.path.join(os.environ["TALLYBOARD_TEST_HOME"], version)} if version else {}
    said = run_with(
        board,
        NAMES
        + f"""
def make(r):
    {make}
make(mine)
for write in (p.generate_latest, openmetrics):
    assert names(write(p.REGISTRY)) == names(write(mine)) != set(), (write(p.REGISTRY), write(mine))
collected = {{sample.name for metric in mine.collect() for sample in metric.samples}}
of_service = {{sample.name for metric in p.REGISTRY.collect() for sample in metric.samples}}
assert collected <= of_service, (collected, of_service)
print("names:", *sorted(names(p.generate_latest())))
""",
        **where,
    )
    assert "counts in this process alone" not in said, said
    (line,) = [line for line in said.splitlines() if line.startswith("names: ")]
    wanted = {name for name in line.split()[1:] if "{" not in name}
    assert wanted <= board.samples().keys()


REDEFINED = """
import prometheus_client as p
from prometheus_client import multiprocess
c = p.Counter("app_m", "M.", ["a"]); c.labels("1").inc()
"""


def test_a_definition_that_is_made_again_counts_and_is_shown(board):
    run_with(
        board,
        REDEFINED
        + """
assert lines("app_m_total") == ['app_m_total{a="1"} 1']
for turn in range(3):
    p.REGISTRY.unregister(c)
    c = p.Counter("app_m", "M.", ["a", "b"]); c.labels("1", "2").inc(2)
    assert lines("app_m_total") == ['app_m_total{a="1",b="2"} 2'], lines("app_m")
    in_child(lambda: c.labels("1", "2").inc())
    assert lines("app_m_total") == ['app_m_total{a="1",b="2"} 3'], lines("app_m")
    # And back, to what it was before.
    p.REGISTRY.unregister(c)
    c = p.Counter("app_m", "M.", ["a"]); c.labels("1").inc()
    assert lines("app_m_total") == ['app_m_total{a="1"} 1'], lines("app_m")
p.REGISTRY.unregister(c)
g = p.Gauge("app_m", "M.", multiprocess_mode="sum"); g.set(5)
assert lines("app_m") == ["app_m 5"], lines("app_m")
p.REGISTRY.unregister(g)
h = p.Histogram("app_m", "M.", buckets=(1, 2)); h.observe(1, exemplar={"t": "a"})
assert lines("app_m_bucket") == [f'app_m_bucket{{le="{le}"}} 1' for le in ("1.0", "2.0", "+Inf")]
p.REGISTRY.unregister(h)
h = p.Histogram("app_m", "M.", buckets=(1, 4)); h.observe(3, exemplar={"t": "b"})
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
page = openmetrics(p.REGISTRY)
assert '# {t="b"} 3' in lines('app_m_bucket{le="4.0"}', page)[0], lines("app_m", page)
assert len(lines("app_m_count", page)) == 1 and "t=\\"a\\"" not in page.decode(), lines("app_m", page)
""",
    )
    found = [name for name in board.samples() if name.startswith("app_m")]
    assert 'app_m_bucket{le="4.0"}' in found and 'app_m_bucket{le="2.0"}' not in found, found
    # Those that were unregistered have nothing to show.
    assert board.samples()["tallyboard_quarantined_families"] == 0


def test_each_worker_may_make_a_definition_again(board):
    run_with(
        board,
        """
import prometheus_client as p
def act():
    c = p.Counter("app_m", "M.", ["a"]); c.labels("1").inc()
    p.REGISTRY.unregister(c)
    p.Counter("app_m", "M.", ["a", "b"]).labels("1", "2").inc()
for _ in range(3):
    in_child(act)
assert lines("app_m_total") == ['app_m_total{a="1",b="2"} 3'], lines("app_m")
""",
    )


def test_what_the_dead_meant_is_shown_beside_what_the_living_mean(board):
    run_with(
        board,
        """
import prometheus_client as p
def act():
    p.Counter("app_m", "M.", ["a", "b"]).labels("1", "2").inc()
    assert lines("app_m_total") == ['app_m_total{a="1",b="2"} 1'], lines("app_m")
in_child(act)
p.Counter("app_m", "M.", ["a"]).labels("1").inc(5)
assert lines("app_m_total") == ['app_m_total{a="1"} 5', 'app_m_total{a="1",b="2"} 1'], lines("app_m")
""",
    )
    # And when all are dead.
    assert board.samples()['app_m_total{a="1"}'] == 5
    assert board.samples()['app_m_total{a="1",b="2"}'] == 1


def test_another_type_is_shown_when_nobody_lives_who_means_the_older(board):
    run_with(
        board,
        """
import prometheus_client as p
def act():
    p.Counter("app_m", "M.").inc()
    assert lines("app_m") == ["app_m_total 1"], lines("app_m")
in_child(act)
p.Gauge("app_m", "M.", multiprocess_mode="sum").set(5)
assert lines("app_m") == ["app_m 5"], lines("app_m")
""",
    )


def test_a_metric_of_the_default_registry_takes_the_name(board):
    said = run_with(
        board,
        """
import prometheus_client as p
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
mine, other = p.CollectorRegistry(), p.CollectorRegistry()
one = p.Counter("app_m", "M.", ["a"], registry=mine)
child = one.labels("1"); child.inc(2, exemplar={"t": "x"})
two = p.Histogram("app_h", "H.", registry=mine); two.observe(1)
assert lines("app_m_total") == ['app_m_total{a="1"} 2']
service = p.Counter("app_m", "M.", ["a", "b"]); service.labels("1", "2").inc(7)
p.Summary("app_h", "H.").observe(3)
child.inc(); one.labels("2").inc(); two.observe(1)
assert lines("app_m_total") == ['app_m_total{a="1",b="2"} 7'], lines("app_m")
assert lines("app_h_") == ["app_h_count 1", "app_h_sum 3"], lines("app_h")
value = mine.get_sample_value
assert value("app_m_total", {"a": "1"}) == 3 and value("app_m_total", {"a": "2"}) == 1
assert value("app_h_count") == 2 and '# {t="x"} 2' in lines("app_m_total", openmetrics(mine))[0]
# One that comes later is refused.
p.Counter("app_m", "M.", ["c"], registry=other).labels("1").inc()
assert lines("app_m_total") == ['app_m_total{a="1",b="2"} 7'], lines("app_m")
# When the service has given it up, the next may have it.
p.REGISTRY.unregister(service)
del one, child, mine, other
fresh = p.CollectorRegistry()
p.Counter("app_m", "M.", ["c"], registry=fresh).labels("1").inc()
assert lines("app_m_total") == ['app_m_total{c="1"} 1'], lines("app_m")
""",
    )
    assert said.count("'app_m' counts in this process alone") == 1, said
    found = board.samples()
    assert found['python_refused_operations_total{metric="app_m"}'] == 3, said
    assert found['python_refused_operations_total{metric="app_h"}'] == 2


def test_of_two_names_with_the_same_sample_the_first_is_shown(board):
    said = run_with(
        board,
        """
import prometheus_client as p
mine = p.CollectorRegistry()
first = p.Counter("app_m", "M.", registry=mine)
first.inc(2)
p.Gauge("app_m_total", "M.", multiprocess_mode="sum").set(7)
assert lines("app_m_total") == ["app_m_total 2"], lines("app_m")
# Also when it is gone: the arena has room for other definitions of its name, and for no other name.
first.inc()
del first, mine
p.Gauge("app_m_total", "M.", registry=p.CollectorRegistry(), multiprocess_mode="sum").set(7)
assert lines("app_m_total") == ["app_m_total 3"], lines("app_m")
""",
    )
    assert said.count("'app_m_total' counts in this process alone") == 1, said
    found = board.samples()
    assert found['python_refused_operations_total{metric="app_m_total"}'] == 2, said
    assert found["tallyboard_quarantined_families"] == 0


def test_a_registry_that_is_gone_takes_its_definitions_along(board):
    said = run_with(
        board,
        """
import prometheus_client as p
for turn in range(50):
    registry = p.CollectorRegistry()
    labels = ["a", "b"][: turn % 3]
    c = p.Counter("app_m", "M.", labels, registry=registry)
    (c.labels(*labels) if labels else c).inc()
    total = sum(float(line.split()[1]) for line in lines("app_m_total"))
    assert total == 1, lines("app_m")
    # A metric goes with its registry.
    del c
""",
    )
    assert "counts in this process alone" not in said, said


def test_a_metric_is_not_taken_from_others_that_count_by_its_name(board):
    run_with(
        board,
        REDEFINED
        + """
mine = p.CollectorRegistry()
same = p.Counter("app_m", "M.", ["a"], registry=mine); same.labels("1").inc(3)
p.REGISTRY.unregister(c)
assert lines("app_m_total") == ['app_m_total{a="1"} 4']
same.labels("1").inc()
assert lines("app_m_total") == ['app_m_total{a="1"} 5']
assert mine.get_sample_value("app_m_total", {"a": "1"}) == 4
""",
    )


def test_a_service_that_goes_on_shows_what_all_of_its_releases_have_counted(board):
    """Each process is one release of the program."""
    expected = set()
    for labels in (["a"], ["a", "b"], ["a", "b", "c"]):
        values = ", ".join(f'"{label}"' for label in labels)
        run_with(
            board,
            f"""
import prometheus_client as p
p.Counter("app_m", "M.", [{values}]).labels({values}).inc()
""",
        )
        found = {name for name in board.samples() if name.startswith("app_m_total")}
        pairs = ",".join(f'{label}="{label}"' for label in labels)
        expected.add(f"app_m_total{{{pairs}}}")
        assert found == expected
