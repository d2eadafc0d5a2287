"""What programs do with prometheus_client beside counting: they subclass, register anew, look at
what is exposed, and have it go wrong."""

import os
import socket
import struct
import sys
import threading

import pytest
from serving import Board, Process
from test_zero_code import PRELUDE, run

LINES = """
import re
def lines(begin, page=None):
    page = page if page is not None else p.generate_latest()
    found = [line for line in page.decode().splitlines() if line.startswith(begin)]
    # Whole numbers are as well read without their fraction.
    return [re.sub(r"(?<=[0-9])[.]0(?= |$)", "", line) for line in found]
def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, p.generate_latest().decode()
        time.sleep(0.01)
"""


def run_with(board, program, **variables):
    return run(board, LINES + program, **variables)


@pytest.mark.parametrize("path", ["", "0.14"], ids=lambda path: "upstream" if not path else path)
def test_an_enum_begins_in_its_first_state(board, path):
    where = {"PYTHONPATH": os.path.join(os.environ["TALLYBOARD_TEST_HOME"], path)} if path else {}
    run_with(
        board,
        """
import prometheus_client as p
e = p.Enum("app_e", "E.", states=["idle", "busy"])
l = p.Enum("app_l", "L.", ["l"], states=["idle", "busy"])
assert lines("app_e") == ['app_e{app_e="idle"} 1', 'app_e{app_e="busy"} 0']
assert lines("app_l{") == []
in_child(lambda: l.labels("x"))
assert lines("app_l{") == ['app_l{l="x",app_l="idle"} 1', 'app_l{l="x",app_l="busy"} 0']
in_child(lambda: (e.state("busy"), l.labels("x").state("busy")))
# Those that have said nothing, before or after, are not heard.
busy = ['app_e{app_e="idle"} 0', 'app_e{app_e="busy"} 1']
assert lines("app_e") == busy
late = lambda: p.Enum("app_e", "E.", states=["idle", "busy"], registry=None)
in_child(lambda: (late(), l.labels("x")))
l.labels("x")
assert lines("app_e") == busy
assert lines("app_l{") == ['app_l{l="x",app_l="idle"} 0', 'app_l{l="x",app_l="busy"} 1']
in_child(lambda: e.state("idle"))
assert lines("app_e") == ['app_e{app_e="idle"} 1', 'app_e{app_e="busy"} 0']
l.remove("x")
assert lines("app_l{") == []
l.labels("x")
assert lines("app_l{") == ['app_l{l="x",app_l="idle"} 1', 'app_l{l="x",app_l="busy"} 0']
""",
        **where,
    )
    # The state that was said stays when all are dead, and for one that begins then.
    run_with(
        board,
        """
import prometheus_client as p
e = p.Enum("app_e", "E.", states=["idle", "busy"]); e.state("busy")
""",
        **where,
    )
    run_with(
        board,
        """
import prometheus_client as p
e = p.Enum("app_e", "E.", states=["idle", "busy"])
assert lines("app_e") == ['app_e{app_e="idle"} 0', 'app_e{app_e="busy"} 1']
""",
        **where,
    )


def test_an_info_begins_without_labels(board):
    run_with(
        board,
        """
import prometheus_client as p
i = p.Info("app_i", "I.", ["l"])
i.labels("x")
assert lines("app_i") == ['app_i_info{l="x"} 1']
in_child(lambda: i.labels("x").info({"version": "1"}))
in_child(lambda: i.labels("x"))
assert lines("app_i") == ['app_i_info{l="x",version="1"} 1']
i.labels("x").info({})
assert lines("app_i") == ['app_i_info{l="x"} 1']
""",
    )


TARGET = """
import prometheus_client as p
from prometheus_client import REGISTRY, multiprocess
REGISTRY.set_target_info({"env": "test"})
in_child(lambda: REGISTRY.set_target_info({"env": "test"}))
"""


def test_the_target_is_what_any_process_said_last(board):
    run_with(
        board,
        TARGET
        + """
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
assert lines("target_info") == ['target_info{env="test"} 1']
assert lines("target_info", openmetrics(REGISTRY)) == ['target_info{env="test"} 1']
assert REGISTRY.get_target_info() == {"env": "test"}
assert REGISTRY.get_sample_value("target_info", {"env": "test"}) == 1
(metric,) = REGISTRY.restricted_registry(["target_info"]).collect()
assert metric.type == "info" and len(metric.samples) == 1
in_child(lambda: REGISTRY.set_target_info({"env": "live"}))
assert lines("target_info") == ['target_info{env="live"} 1']
in_child(lambda: REGISTRY.set_target_info(None))
assert lines("target_info") == []
REGISTRY.set_target_info({"env": "test"})
# A private registry has its own.
mine = p.CollectorRegistry(target_info={"env": "mine"})
assert lines("target_info", p.generate_latest(mine)) == ['target_info{env="mine"} 1']
multiprocess.MultiProcessCollector(mine)
assert lines("target_info", p.generate_latest(mine)) == ['target_info{env="mine"} 1']
REGISTRY.set_target_info(None)
assert lines("target_info") == [] and REGISTRY.get_target_info() is None
REGISTRY.set_target_info({"env": "left"})
""",
    )
    assert board.samples()['target_info{env="left"}'] == 1


def test_the_target_of_the_supervisor_comes_before_that_of_a_process():
    with Board("--target-info", "env=test") as board:
        run_with(
            board,
            TARGET
            + """
assert lines("target_info") == ['target_info{env="test"} 1']
REGISTRY.set_target_info({"env": "mine"})
assert lines("target_info") == ['target_info{env="test"} 1']
REGISTRY.set_target_info(None)
assert lines("target_info") == ['target_info{env="test"} 1']
""",
        )
        assert board.samples()['target_info{env="test"}'] == 1


def test_what_is_collected_has_types_units_created_times_and_exemplars(board):
    run_with(
        board,
        """
import prometheus_client as p
c = p.Counter("app_c", "C.", unit="seconds", namespace="ns", subsystem="sub")
h = p.Histogram("app_h", "H.", buckets=(1,))
i = p.Info("app_i", "I."); e = p.Enum("app_e", "E.", states=["a", "b"])
in_child(lambda: (c.inc(2, exemplar={"trace": "x"}), h.observe(0.5), i.info({"v": "1"})))
found = {metric.name: metric for metric in p.REGISTRY.collect()}
assert found["ns_sub_app_c_seconds"].unit == "seconds"
assert found["ns_sub_app_c_seconds"].samples[0].exemplar.labels == {"trace": "x"}
types = {name: found[name].type for name in ("app_h", "app_i", "app_e")}
assert types == {"app_h": "histogram", "app_i": "info", "app_e": "stateset"}
value = p.REGISTRY.get_sample_value
assert value("ns_sub_app_c_seconds_total") == 2 and value("app_i_info", {"v": "1"}) == 1
assert abs(value("app_h_created") - time.time()) < 3600
(metric,) = p.REGISTRY.restricted_registry(["app_h_count"]).collect()
assert [sample.name for sample in metric.samples] == ["app_h_count"]
# The files that a collector of them would read have none.
from prometheus_client import multiprocess
mine = p.CollectorRegistry()
multiprocess.MultiProcessCollector(mine)
assert mine.get_sample_value("app_h_created") is None and mine.get_sample_value("app_h_count") == 1
""",
    )


@pytest.mark.parametrize("how", ["p.disable_created_metrics()", "the variable"])
def test_created_times_can_be_left_out(board, how):
    variables = {"PROMETHEUS_DISABLE_CREATED_SERIES": "True"} if how == "the variable" else {}
    run_with(
        board,
        f"""
import prometheus_client as p
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
c = p.Counter("app_c", "C.", ["l"]); c.labels("x").inc()
s = p.Summary("app_s", "S."); g = p.Gauge("app_created", "Is no such time."); g.set(3)
{"" if variables else how}
page = openmetrics(p.REGISTRY)
assert lines("app_c_", page) == ['app_c_total{{l="x"}} 1'], page
assert len(lines("app_s_", page)) == 2 and len(lines("app_created{{", page)) == 1
assert page.endswith(b"# EOF\\n")
assert p.REGISTRY.get_sample_value("app_c_created", {{"l": "x"}}) is None
p.enable_created_metrics()
assert p.REGISTRY.get_sample_value("app_c_created", {{"l": "x"}}) > 0
""",
        **variables,
    )


def test_the_default_registry_is_pushed_and_written_as_the_service(board, tmp_path):
    run_with(
        board,
        f"""
import http.server, socket, threading
import prometheus_client as p
from prometheus_client.bridge.graphite import GraphiteBridge
c = p.Counter("app_c", "C.", ["l"])
in_child(lambda: c.labels("x").inc(3))
bodies = []
class Gateway(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
gateway = http.server.HTTPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=gateway.serve_forever, daemon=True).start()
p.push_to_gateway(f"127.0.0.1:{{gateway.server_port}}", job="j", registry=p.REGISTRY)
assert lines("app_c", bodies[0]) == ['app_c_total{{l="x"}} 3']
p.write_to_textfile({str(tmp_path / "app.prom")!r}, p.REGISTRY)
written = open({str(tmp_path / "app.prom")!r}, "rb").read()
assert lines("app_c", written) == ['app_c_total{{l="x"}} 3']
carbon = socket.create_server(("127.0.0.1", 0))
pushing = threading.Thread(target=GraphiteBridge(carbon.getsockname()).push, args=("pre",))
pushing.start()
with carbon.accept()[0] as connection, connection.makefile("rb") as file:
    pushed = lines("pre.app_c_total", file.read())
pushing.join()
assert [line.split()[:2] for line in pushed] == [["pre.app_c_total.l.x", "3"]], pushed
""",
    )


def test_a_removed_gauge_asks_its_callback_no_more(board):
    run_with(
        board,
        """
import prometheus_client as p
asked = []
g = p.Gauge("app_g", "G.", ["l"], multiprocess_mode="livesum")
g.labels("a").set_function(lambda: 3)
g.labels("b").set_function(lambda: asked.append(1) or 4)
until(lambda: len(asked) > 1)
g.remove("a")
assert lines("app_g{") == ['app_g{l="b"} 4']
rounds = len(asked) + 2
until(lambda: len(asked) >= rounds)
assert lines("app_g{") == ['app_g{l="b"} 4']
""",
    )


def test_a_metric_counts_where_it_is_registered(board):
    run_with(
        board,
        """
import prometheus_client as p
c = p.Counter("app_c", "C."); l = p.Gauge("app_l", "L.", ["l"], multiprocess_mode="sum")
e = p.Enum("app_e", "E.", states=["a", "b"])
c.inc(2); l.labels("x").set(3); e.state("b")
for metric in (c, l, e):
    p.REGISTRY.unregister(metric)
c.inc(); l.labels("x").inc(); l.labels("y").set(7); e.state("a")
assert lines("app_") == []
for metric in (c, l, e):
    p.REGISTRY.register(metric)
expected = ['app_c_total 3', 'app_e{app_e="a"} 1', 'app_e{app_e="b"} 0',
            'app_l{l="x"} 4', 'app_l{l="y"} 7']
assert lines("app_") == expected, lines("app_")
in_child(lambda: (c.inc(), l.labels("z").set(1)))
assert lines("app_c") == ["app_c_total 4"] and 'app_l{l="z"} 1' in lines("app_l")
# Another one of the same name goes on from 0.
p.REGISTRY.unregister(c)
p.Counter("app_c", "C.").inc()
assert lines("app_c") == ["app_c_total 1"]
# One of another registry counts in the arena whatever the default one has.
mine = p.CollectorRegistry()
own = p.Counter("app_p", "P.", ["l"], registry=mine); own.labels("x").inc(5)
p.REGISTRY.register(own)
own.labels("y").inc()
p.REGISTRY.unregister(own)
own.labels("y").inc()
assert lines("app_p") == ['app_p_total{l="x"} 5', 'app_p_total{l="y"} 2']
assert mine.get_sample_value("app_p_total", {"l": "y"}) == 2
""",
    )


def test_metrics_can_be_subclassed_copied_and_used_as_decorators_by_threads(board):
    run_with(
        board,
        """
import copy, threading
from decimal import Decimal
import prometheus_client as p
class Mine(p.Counter):
    def labels(self, **named):
        return super().labels(**{"env": "test", **named})
class Most(p.Gauge):
    def __init__(self, name, documentation, **keywords):
        super().__init__(name, documentation, multiprocess_mode="max", **keywords)
mine = p.CollectorRegistry()
shared = Mine("app_m", "M.", ["env", "x"])
private = Mine("app_p", "P.", ["env", "x"], registry=mine)
for metric in (shared, private, copy.copy(shared), copy.copy(private)):
    metric.labels(x="1").inc()
assert lines("app_m_") == ['app_m_total{env="test",x="1"} 2']
assert lines("app_p_") == ['app_p_total{env="test",x="1"} 2']
assert mine.get_sample_value("app_p_total", {"env": "test", "x": "1"}) == 2
Most("app_most", "M.").set("5")
assert lines("app_most") == ["app_most 5"]

h = p.Histogram("app_h", "H."); s = p.Summary("app_s", "S.", ["l"])
failed = p.Counter("app_failed", "F.")
busy = p.Gauge("app_busy", "B.", multiprocess_mode="livesum")
took = p.Gauge("app_took", "T.", multiprocess_mode="max"); kinds = p.Counter("app_k", "K.", ["k"])
@h.time()
@failed.count_exceptions(KeyError)
@busy.track_inprogress()
def work(number):
    with s.time() as timer, took.time():
        timer.labels(str(number % 2))
        kinds.labels(k=number % 4).inc(Decimal("0.5"))
        if number % 2:
            raise KeyError(number)
def thread():
    for number in range(400):
        try:
            work(number)
        except KeyError:
            pass
threads = [threading.Thread(target=thread) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join()
value = p.REGISTRY.get_sample_value
assert value("app_h_count") == 1600 and value("app_failed_total") == 800 and value("app_busy") == 0
assert value("app_s_count", {"l": "1"}) == 800 and value("app_k_total", {"k": "3"}) == 200
assert value("app_took") > 0
for wrong in (lambda: failed.inc(-1), lambda: kinds.inc(), lambda: kinds.labels("a", "b"),
              lambda: took.set("much"), lambda: p.Counter("app_failed", "F.")):
    try:
        wrong()
    except ValueError:
        continue
    raise SystemExit("nothing was raised")
""",
    )


def test_modules_may_be_loaded_again(board):
    run_with(
        board,
        """
import importlib
import prometheus_client as p
from prometheus_client import exposition, metrics, multiprocess, values
p.Counter("app_a", "A.").inc()
for module in (values, exposition, multiprocess, metrics, p):
    importlib.reload(module)
p.Counter("app_b", "B.").inc()
assert lines("app_") == ["app_a_total 1", "app_b_total 1"]
for name in [name for name in sys.modules if name.startswith("prometheus_client")]:
    del sys.modules[name]
old = p
import prometheus_client as p
assert p is not old
p.Counter("app_a", "A.").inc(2)
assert lines("app_") == ["app_a_total 3", "app_b_total 1"] == lines("app_", old.generate_latest())
""",
    )


def test_a_variable_for_this_process_is_for_no_other_program(board):
    run_with(
        board,
        """
import subprocess
import prometheus_client as p
assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == os.getenv("PROMETHEUS_MULTIPROC_DIR")
in_child(lambda: os.environ["PROMETHEUS_MULTIPROC_DIR"])
command = ["sh", "-c", "echo [$PROMETHEUS_MULTIPROC_DIR]"]
assert subprocess.run(command, capture_output=True, text=True).stdout == "[]\\n"
del os.environ["PROMETHEUS_MULTIPROC_DIR"]
assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
""",
    )


MOVED = """
import prometheus_client as p
from prometheus_client.values import MutexValue
mine = p.CollectorRegistry()
class Mine(p.CollectorRegistry): pass
other = Mine()
private = p.Counter("app_p", "P.", ["l"], registry=mine); private.labels("x").inc()
info = p.Info("app_pi", "P.", ["l"], registry=mine); info.labels("x").info({"a": "1"})
gauge = p.Gauge("app_pg", "P.", registry=other); gauge.set(3)
both = p.Counter("app_both", "B."); mine.register(both); both.inc(4)
e = p.Enum("app_e", "E.", ["l"], states=["a", "b"]); e.labels("x"); i = p.Info("app_i", "I.")
c = p.Counter("app_c", "C."); c.inc(2, exemplar={"trace": "x"})
increase = c.inc
p.REGISTRY.set_target_info({"env": "test"})
held = (p.generate_latest,)
import tallyboard
assert tallyboard.install(os.environ.pop("ADDRESS")) == []
"""


def test_metrics_of_every_registry_move(board):
    run_with(
        board,
        MOVED
        + """
assert MutexValue.__name__ == "MutexValue" != p.values.ValueClass.__name__
private.labels("x").inc(); private.labels("new").inc(); gauge.inc()
info.labels("x").info({"a": "2"}); info.labels("new").info({"a": "3"})
in_child(increase)
expected = ['app_both_total 4', 'app_c_total 3', 'app_e{l="x",app_e="a"} 1',
            'app_e{l="x",app_e="b"} 0', 'app_i_info 1', 'app_p_total{l="x"} 2',
            'app_p_total{l="new"} 1', f'app_pg{{pid="{os.getpid()}"}} 4',
            'app_pi_info{l="x",a="2"} 1', 'app_pi_info{l="new",a="3"} 1']
assert sorted(lines("app_")) == sorted(expected), lines("app_")
assert other.get_sample_value("app_pg") == 4
assert mine.get_sample_value("app_p_total", {"l": "x"}) == 2
assert lines("target_info") == ['target_info{env="test"} 1']
assert lines("app_both_total", held[0]()) == ["app_both_total 4"]
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
assert ' # {trace="x"} 2 ' in lines("app_c_total", openmetrics(p.REGISTRY))[0]
assert mine.get_sample_value("app_p_total", {"l": "new"}) == 1
""",
        TALLYBOARD="",
        ADDRESS=board.address,
    )


BROKEN = """
import prometheus_client as p
from prometheus_client import multiprocess
c = p.Counter("app_c", "C.", ["l"]); c.labels("x").inc(); c.labels("y").inc(); c.remove("y")
e = p.Enum("app_e", "E.", states=["a", "b"]); e.state("b"); i = p.Info("app_i", "I.")
g = p.Gauge("app_g", "G.", multiprocess_mode="max"); g.set(3)
f = p.Gauge("app_f", "F."); f.set_function(lambda: 5)
p.REGISTRY.set_target_info({"env": "test"})
page = p.generate_latest()
for line in ('app_c_total{l="x"} 1.0', 'app_e{app_e="b"} 1.0', "app_g 3.0", "app_f 5.0",
             'target_info{env="test"} 1.0'):
    assert line in page.decode(), page
assert p.REGISTRY.get_sample_value("app_g") == 3 and 'l="y"' not in page.decode()
assert [m.name for m in p.REGISTRY.restricted_registry(["app_g"]).collect()] == ["app_g"]
p.REGISTRY.unregister(g)
assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
assert len(os.listdir("/proc/self/task")) == 1
"""


@pytest.mark.parametrize(
    "fault",
    [
        'sys.modules["tallyboard._native"] = None\n',
        "from tallyboard._patches import PATCHES\nPATCHES['prometheus_client.exposition'] = None\n",
        "from tallyboard._patches import PATCHES\nPATCHES['prometheus_client.metrics'] = None\n",
        "from tallyboard._patches import PATCHES\nPATCHES['prometheus_client'] = None\n",
    ],
    ids=["the native module", "exposition", "metrics", "the package"],
)
def test_what_cannot_be_replaced_counts_as_it_always_did(board, fault):
    said = run(board, fault + BROKEN)
    assert said.count("counts as it always did") == 1, said
    assert "app_c" not in str(board.samples())


def test_a_collector_that_cannot_be_replaced_is_the_only_one(board):
    said = run_with(
        board,
        """
from tallyboard._patches import PATCHES
PATCHES["prometheus_client.multiprocess"] = None
import prometheus_client as p
from prometheus_client import multiprocess
from prometheus_client.multiprocess_exporter import registry
p.Counter("app_c", "C.").inc()
assert lines("app_c") == ["app_c_total 1"] == lines("app_c", p.generate_latest(registry))
""",
    )
    assert said.count("prometheus_client.multiprocess is not replaced") == 1, said


class Refusing:
    """A supervisor that refuses everybody, as one of another layout does."""

    DETAIL = b"expected layout 3, found 2; use the same release on both sides"

    def __enter__(self):
        name = f"refusing-{os.getpid()}-{os.urandom(4).hex()}"
        self.address = f"unix:@tallyboard/{name}"
        self.asked = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(f"\0tallyboard/{name}")
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self):
        # Protocol 3, a refusal, the reason `layout`.
        answer = struct.pack("<IIIQ", 3, 1, 0, len(self.DETAIL)) + self.DETAIL
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            with connection:
                self.asked += bool(connection.recv(1 << 16))
                connection.send(answer)

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


def test_a_supervisor_of_another_layout_is_said_once_and_harms_nobody():
    program = """
import asyncio, threading
import prometheus_client as p
from wsgiref.util import setup_testing_defaults
c = p.Counter("app_c", "C.", ["l"]); h = p.Histogram("app_h", "H."); s = p.Summary("app_s", "S.")
g = p.Gauge("app_g", "G.", multiprocess_mode="latest"); e = p.Enum("app_e", "E.", states=["a", "b"])
i = p.Info("app_i", "I."); f = p.Gauge("app_f", "F."); f.set_function(lambda: 3)
class Collector:
    def collect(self): return [p.Metric("app_m", "M.", "gauge")]
p.REGISTRY.register(Collector()); p.REGISTRY.set_target_info({"env": "test"})
def request():
    c.labels("x").inc(exemplar={"trace": "x"}); h.observe(1); s.observe(2); e.state("b")
    g.set(3, timestamp=5); i.info({"v": "1"}); c.labels("y").inc(); c.remove("y")
request()
in_child(request)
threads = [threading.Thread(target=request) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert c.labels("x")._value.get() == 5
environ, said = {}, []
setup_testing_defaults(environ)
p.make_wsgi_app()(environ, lambda status, headers: said.append(status))
async def asgi():
    async def receive(): return {"type": "http.request"}
    async def send(message): said.append(message.get("status"))
    await p.make_asgi_app()({"type": "http", "headers": []}, receive, send)
asyncio.run(asgi())
assert said[:2] == ["503 Service Unavailable", 503], said
"""
    with Refusing() as refusing:
        # From 3.12 on the interpreter itself has something to say of a fork beside threads.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + program]
        with Process(*command, TALLYBOARD=refusing.address) as process:
            assert process.wait() == 0, process.said
        assert refusing.asked > 2
    assert process.said.count("counts privately") == len(process.output) == 1, process.said
    assert "expected layout 3, found 2" in process.said
