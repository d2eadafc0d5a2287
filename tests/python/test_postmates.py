"""Applications of the Postmates fork, on it and on upstream: the names that it has more."""

import os
import sys
from pathlib import Path

import pytest
from serving import Gunicorn, Process, get, samples
from test_zero_code import PRELUDE, run

HOME = Path(os.environ["TALLYBOARD_TEST_HOME"])

#: Where a version is, and what shows that it is that one.
VERSIONS = {"fork": "fork", "0.5": "0.5", "0.7": "0.7", "0.14": "0.14", "upstream": "venv"}
every_version = pytest.mark.parametrize("version", VERSIONS)

BEGIN = """
import prometheus_client as p
assert {where!r} in p.__file__, p.__file__
from prometheus_client.multiprocess_exporter import start_archiver_thread, app, registry
from prometheus_client.multiprocess import InMemoryCollector, archive_metrics
from wsgiref.util import setup_testing_defaults
def of_app(app, query="", **headers):
    environ = {{"QUERY_STRING": query, **headers}}
    setup_testing_defaults(environ)
    said = []
    body = b"".join(app(environ, lambda status, headers: said.append((status, headers))))
    return said[0][0], dict(said[0][1]), body.decode()
"""


def program(version, body):
    return BEGIN.format(where=f"/{VERSIONS[version]}/") + body


def of(version, **variables):
    """The variables under which a version is imported."""
    return variables if version == "upstream" else {"PYTHONPATH": HOME / version} | variables


def run_on(board, version, body, **variables):
    variables = {name: str(value) for name, value in of(version, **variables).items()}
    return run(board, program(version, body), **variables)


@every_version
def test_an_application_of_the_fork_needs_no_change(board, version):
    run_on(
        board,
        version,
        """
c = p.Counter("app_c", "C.", ["l"]); h = p.Histogram("app_h", "H."); s = p.Summary("app_s", "S.")
g = p.Gauge("app_g", "G.", multiprocess_mode="latest")
i = p.Info("app_i", "I."); e = p.Enum("app_e", "E.", states=["a", "b"])
def act():
    c.labels("x").inc(2); h.observe(0.3); s.observe(4); i.info({"v": "1"}); e.state("b")
    g.set(7, timestamp=1000)
in_child(act)
c.labels(l="x").inc()
g.set(9, timestamp=999)
expected = ('app_c_total{l="x"} 3', "app_h_count 1", "app_s_sum 4", 'app_i_info{v="1"} 1',
            'app_e{app_e="b"} 1', "app_g 7")
mine = p.CollectorRegistry()
InMemoryCollector(mine)
for served, zero in ((app, ""), (p.make_wsgi_app(), ".0"), (p.make_wsgi_app(mine), "")):
    status, headers, page = of_app(served)
    assert status == "200 OK", page
    for line in expected:
        assert page.count(line + zero + "\\n") == 1, (line, page)
    status, headers, page = of_app(served, HTTP_ACCEPT="application/openmetrics-text")
    (kind,) = [value for name, value in headers.items() if name.lower() == "content-type"]
    assert kind.startswith("application/openmetrics-text") and page.endswith("# EOF\\n"), page
    assert page.count('app_c_total{l="x"} 3' + zero + "\\n") == 1, page
page = of_app(p.make_wsgi_app(), "name[]=app_c_total")[2]
assert page.endswith('app_c_total{l="x"} 3.0\\n') and "app_h" not in page, page
assert p.REGISTRY.get_sample_value("app_g") == 7
c.remove("x")
assert "app_c_total{" not in p.generate_latest().decode()
""",
    )


@every_version
def test_there_is_no_archiver(board, version, tmp_path):
    run_on(
        board,
        version,
        f"""
from prometheus_client import multiprocess, multiprocess_exporter
multiprocess_exporter.on_starting(None)
start_archiver_thread()
multiprocess_exporter.archive_thread()
archive_metrics()
multiprocess.mark_process_dead(1)
p.Counter("app_c", "C.").inc()
assert b"app_c_total 1\\n" in p.generate_latest(registry)
assert len(os.listdir("/proc/self/task")) == 1 and os.listdir({str(tmp_path)!r}) == []
assert multiprocess_exporter.CLEANUP_INTERVAL > 0
""",
        prometheus_multiproc_dir=tmp_path,
    )


@every_version
def test_a_gauge_has_the_value_of_the_newest_time(board, version):
    run_on(
        board,
        version,
        """
import time
g = p.Gauge("app_g", "G.", ["l"], multiprocess_mode="latest")
one = g.labels("one")
now = time.time()
shown = lambda l="one": p.REGISTRY.get_sample_value("app_g", {"l": l})
one.set(1, timestamp=now - 60)
assert shown() == 1
in_child(lambda: one.set(2, timestamp=now - 120))
assert shown() == 1
in_child(lambda: one.set(3, timestamp=now - 30))
assert shown() == 3
one.set(4, timestamp=now - 40)
assert shown() == 3
# Without a time it is now.
in_child(lambda: one.set(5))
one.set(6, timestamp=now - 1)
assert shown() == 5
one.inc(2, timestamp=now + 60)
one.dec(1, timestamp=now + 50)
one.dec(1, timestamp=now + 70)
assert shown() == 7, shown()
in_child(lambda: one.set(8))
assert shown() == 7
# What is no time since 1970 is older than all.
for timestamp in (-1, float("nan"), float("inf"), 1e300):
    one.set(99, timestamp=timestamp)
assert shown() == 7
g.labels("two").inc(3); g.labels("two").dec()
assert shown("two") == 2
# A mode without an order has no use for a time.
s = p.Gauge("app_s", "S.", multiprocess_mode="livesum")
s.set(5, timestamp=now); s.set(4, timestamp=now - 60); s.inc(1, timestamp=1)
assert p.REGISTRY.get_sample_value("app_s") == 5
""",
    )


@every_version
@pytest.mark.parametrize("private", ["", "1"], ids=["shared", "private"])
def test_a_gauge_of_another_registry_has_the_value_of_the_newest_time(board, version, private):
    run_on(
        board,
        version,
        """
import time
mine = p.CollectorRegistry()
g = p.Gauge("app_g", "G.", ["l"], registry=mine, multiprocess_mode="latest")
one = g.labels("one")
one.set(1, timestamp=100); one.set(2, timestamp=200); one.set(3, timestamp=150)
assert mine.get_sample_value("app_g", {"l": "one"}) == 2
one.set(4)
one.set(5, timestamp=time.time() - 60)
assert mine.get_sample_value("app_g", {"l": "one"}) == 4
""",
        TALLYBOARD_PRIVATE_REGISTRIES=private,
    )
    assert board.samples().get('app_g{l="one"}') == (None if private else 4)


@every_version
def test_the_mode_of_gauges_that_name_none_can_be_said(board, version):
    run_on(
        board,
        version,
        """
g = p.Gauge("app_g", "G.", ["l"])
in_child(lambda: g.labels("x").set(3))
g.labels("x").set(4)
in_child(lambda: g.labels("x").set(5))
assert p.REGISTRY.get_sample_value("app_g", {"l": "x"}) == 5
named = p.Gauge("app_named", "N.", multiprocess_mode="max")
named.set(4)
in_child(lambda: named.set(2))
assert p.REGISTRY.get_sample_value("app_named") == 4
assert p.Gauge.LATEST == "latest" and p.Gauge.LIVESUM == "livesum"
""",
        TALLYBOARD_GAUGE_MODE="latest",
    )


@pytest.mark.parametrize("version", ["fork", "upstream"])
def test_an_exporter_of_its_own_serves_what_another_server_counts(board, version):
    variables = {name: str(value) for name, value in of(version).items()}
    path = ":".join([variables.pop("PYTHONPATH", ""), str(Path(__file__).parent)]).strip(":")
    module = "prometheus_client.multiprocess_exporter"
    options = ("-w", "1", "-c", "python:exporting")
    where = {"under": (), "TALLYBOARD": board.address, "PYTHONPATH": path}
    with Gunicorn(*options, app=f"{module}:app", **where) as exporter:
        with Gunicorn("-w", "2", **where) as server:
            assert server.load(100) == 100
            found = samples(get(exporter.port, "/metrics")[1])
            assert found['app_requests_total{route="/"}'] == 100
        found = samples(get(exporter.port, "/metrics")[1])
        assert found['app_requests_total{route="/"}'] == 100
    # The module is a configuration too.
    with Gunicorn("-c", f"python:{module}", app=f"{module}:app", **where) as exporter:
        assert "app_requests_total" in get(exporter.port, "/metrics")[1]


def test_an_archiver_that_runs_already_ends_its_work(board, tmp_path):
    run_on(
        board,
        "fork",
        f"""
from prometheus_client import multiprocess_exporter
c = p.Counter("app_c", "C."); c.inc(2)
multiprocess_exporter.CLEANUP_INTERVAL = 0.01
start_archiver_thread()
lock = {str(tmp_path / "lockfile")!r}
def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
until(lambda: os.path.exists(lock))
import tallyboard
assert tallyboard.install(os.environ.pop("ADDRESS")) == []
# The thread goes on, and does nothing: this is what it calls.
before = len(os.listdir("/proc/self/task"))
assert multiprocess_exporter.archive_metrics.__module__ == "tallyboard._postmates"
in_child(lambda: c.inc())
assert "app_c_total 3\\n" in of_app(app)[2]
start_archiver_thread()
assert len(os.listdir("/proc/self/task")) == before
""",
        prometheus_multiproc_dir=tmp_path,
        TALLYBOARD="",
        ADDRESS=board.address,
    )


def test_a_version_that_is_too_old_goes_on_as_it_is(board):
    said = run(
        board,
        """
import prometheus_client as p
from prometheus_client import multiprocess
assert "/0.3/" in p.__file__
c = p.Counter("app_c", "C.", ["l"]); c.labels("x").inc()
assert 'app_c{l="x"} 1.0\\n' in p.generate_latest().decode()
assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
""",
        PYTHONPATH=str(HOME / "0.3"),
    )
    assert said.count("is one of 0.5 to 0.26") == 1, said
    assert "app_c" not in str(board.samples())


def test_where_no_supervisor_is_named_nothing_is_made_up():
    body = PRELUDE + "import prometheus_client.multiprocess_exporter\n"
    with Process(sys.executable, "-c", body) as process:
        assert process.wait() != 0 and "No module named" in process.said
