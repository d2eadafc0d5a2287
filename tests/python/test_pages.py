"""Pages that a process gives: how numbers are written, which times are left out, and what is said
when nobody answers."""

import os
import socket
import sys

import pytest
from serving import Process
from test_programs import LINES, run_with
from test_zero_code import PRELUDE

OPENMETRICS = """
import prometheus_client as p
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
"""


def test_numbers_are_written_as_prometheus_client_does(board):
    run_with(
        board,
        OPENMETRICS
        + """
import random, struct
from prometheus_client.utils import floatToGoString
seed = int.from_bytes(os.urandom(4), "little")
print("seed", seed)
chance = random.Random(seed)
numbers = [0.0, 1.0, -1.0, 0.1, 1e-4, 1e-5, 1.5e-5, 12345.0, 999999.0, 999999.5, 1e6, 1234567.0,
           10500000.0, -1e6, 1e10, 1.25e15, 1e16, -1e16, 1.5e300, 5e-324, 2.0**53, float("inf"), float("-inf")]
numbers += [struct.unpack("d", chance.randbytes(8))[0] for _ in range(500)]
numbers += [chance.uniform(-2, 2) * 10 ** chance.randint(-6, 18) for _ in range(500)]
numbers = [number for number in numbers if number == number]
g = p.Gauge("app_g", "G.", ["at"], multiprocess_mode="max")
c = p.Counter("app_c", "C.", ["at"])
for at, number in enumerate(numbers):
    g.labels(at).set(number)
    if 0 < number < 1e15:
        c.labels(at).inc(number, exemplar={"a": 'x "1 # {}'})
for write in (p.generate_latest, openmetrics):
    found = dict(line.split(" ", 1) for line in write(p.REGISTRY).decode().splitlines() if line[:4] == "app_")
    for at, number in enumerate(numbers):
        expected = floatToGoString(number)
        assert found[f'app_g{{at="{at}"}}'] == expected, (number, found[f'app_g{{at="{at}"}}'])
        if 0 < number < 1e15:
            value, _, exemplar = found[f'app_c_total{{at="{at}"}}'].partition(" # ")
            assert value == expected, (number, value)
            if write is openmetrics:
                labels, of_exemplar, when = exemplar.rsplit(" ", 2)
                assert labels == '{a="x \\\\"1 # {}"}' and of_exemplar == expected, exemplar
                assert abs(float(when) - time.time()) < 3600 and "e" not in when
""",
    )


@pytest.mark.parametrize("text", ["a b", 'quoted " 1', "{brace} 1", "back\\\\ 1", "# 1 # {a} 1", "line\\n1"])
def test_labels_stay_as_they_are(board, text):
    run_with(
        board,
        OPENMETRICS
        + f"""
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as of_text
text = "{text.replace('"', chr(92) + '"')}"
p.Counter("app_c", "C.", ["l"]).labels(text).inc(7)
for read, page in ((text_string_to_metric_families, openmetrics(p.REGISTRY)), (of_text, p.generate_latest())):
    found = [sample for metric in read(page.decode()) for sample in metric.samples if sample.name == "app_c_total"]
    assert [(sample.labels, sample.value) for sample in found] == [({{"l": text}}, 7)], found
    assert b"}} 7.0" in page, page
""",
    )


CREATED = (
    OPENMETRICS
    + """
import tallyboard
from prometheus_client import multiprocess
from wsgiref.util import setup_testing_defaults
c = p.Counter("app_c", "C."); h = p.Histogram("app_h", "H.", ["l"]); s = p.Summary("app_s", "S.")
p.Gauge("app_g_created", "No created time.", multiprocess_mode="max").set(1)
def use():
    c.inc(), h.labels("x").observe(1), s.observe(1)
def wsgi():
    environ = {"HTTP_ACCEPT": "application/openmetrics-text"}
    setup_testing_defaults(environ)
    return b"".join(p.make_wsgi_app()(environ, lambda status, headers: None))
def collected(registry):
    names = [sample.name for metric in registry.collect() for sample in metric.samples]
    return "\\n".join(names).encode()
held = p.CollectorRegistry(); multiprocess.MultiProcessCollector(held)
ROUTES = {
    "text": p.generate_latest,
    "openmetrics": lambda: openmetrics(p.REGISTRY),
    "of a collector": lambda: openmetrics(held),
    "wsgi": wsgi,
    "collect": lambda: collected(p.REGISTRY),
    "collect of a collector": lambda: collected(held),
    "restricted": lambda: collected(p.REGISTRY.restricted_registry(["app_c_created", "app_g_created"])),
    "the package's": lambda: tallyboard.exposition("application/openmetrics-text;version=1.0.0")[1],
}
#: Those whose pages have none in any case.
NEVER = {"text", "collect of a collector"}
def with_times():
    pages = {name: expose() for name, expose in ROUTES.items()}
    assert all(lines("app_g_created", page) for page in pages.values())
    return {name for name, page in pages.items()
            if any(lines(f"app_{kind}_created", page) for kind in "chs")}
in_child(use)
use()
"""
)


def test_created_times_can_be_turned_off_and_on(board):
    run_with(
        board,
        CREATED
        + """
assert with_times() == ROUTES.keys() - NEVER, with_times()
from prometheus_client import disable_created_metrics, enable_created_metrics
disable_created_metrics()
assert with_times() == set(), with_times()
enable_created_metrics()
assert with_times() == ROUTES.keys() - NEVER, with_times()
""",
    )


@pytest.mark.parametrize("value", ["true", "1", "T"])
@pytest.mark.parametrize("version", ["", "0.7"], ids=["upstream", "0.7"])
def test_created_times_can_be_turned_off_by_the_variable(board, value, version):
    where = os.path.join(os.environ["TALLYBOARD_TEST_HOME"], version) if version else ""
    run_with(
        board,
        CREATED + "assert with_times() == set(), with_times()",
        PROMETHEUS_DISABLE_CREATED_SERIES=value,
        **({"PYTHONPATH": where} if where else {}),
    )


def test_how_long_a_scraper_waits_is_what_it_says():
    from tallyboard import _waiting

    for header, least, most in (
        ("10.000000", 9, 9.5),
        (" 0.5 ", 0.3, 0.45),
        ("2", 1.5, 1.8),
        ("86401", 10, 10),
        ("0", 10, 10),
        ("-1", 10, 10),
        ("NaN", 10, 10),
        ("inf", 10, 10),
        ("ten", 10, 10),
        ("", 10, 10),
        (None, 10, 10),
    ):
        with _waiting.until_scraper_leaves(header):
            assert least <= _waiting.left() <= most, header
        assert _waiting.left() == 10


SILENT = (
    PRELUDE
    + LINES
    + """
import asyncio, io, re
import prometheus_client as p
from wsgiref.util import setup_testing_defaults
HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
def wsgi(header):
    environ = {"HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS": header}
    setup_testing_defaults(environ)
    said = []
    page = b"".join(p.make_wsgi_app()(environ, lambda status, headers: said.append(status)))
    return said[0], page.decode()
def asgi(header):
    async def ask():
        sent = []
        async def send(message): sent.append(message)
        async def receive(): return {"type": "http.request"}
        scope = {"type": "http", "headers": [(HEADER.lower().encode(), header.encode())]}
        await p.make_asgi_app()(scope, receive, send)
        return sent
    start, body = asyncio.run(ask())
    return str(start["status"]), body["body"].decode()
def handler(header):
    class Asked(p.MetricsHandler):
        def __init__(self):
            self.headers, self.path, self.said = {HEADER: header}, "/metrics", []
            self.wfile = io.BytesIO()
        def send_response(self, code, message=None): self.said.append(code)
        def send_header(self, *_): pass
        def end_headers(self): pass
    asked = Asked()
    asked.do_GET()
    return str(asked.said[0]), asked.wfile.getvalue().decode()
def raised(act):
    try:
        act()
    except ConnectionError as error:
        return str(error)
    raise SystemExit("nothing was raised")
"""
)


def run_at(address, program):
    with Process(sys.executable, "-c", SILENT + program, TALLYBOARD=address) as process:
        assert process.wait() == 0, process.said
        return process.said


def test_it_is_said_at_once_that_nobody_listens():
    run_at(
        f"unix:@tallyboard/nobody-{os.getpid()}",
        """
# Longer than this test may take.
from tallyboard import _waiting
_waiting._OTHERWISE_S = 3600.0
for ask in (wsgi, asgi, handler):
    status, page = ask("3600")
    assert status.startswith("503") and "no supervisor listens" in page, (status, page)
said = raised(p.generate_latest)
assert "no supervisor listens" in said and "start `tallyboard serve`" in said, said
assert "TALLYBOARD_LOCAL=1" in said, said
said = raised(lambda: list(p.REGISTRY.collect()))
assert "no supervisor listens" in said, said
""",
    )


def test_a_listener_that_does_not_answer_is_waited_for_as_long_as_the_scraper_waits():
    name = f"silent-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0tallyboard/{name}")
        listener.listen()
        run_at(
            f"unix:@tallyboard/{name}",
            """
for ask in (wsgi, asgi, handler):
    status, page = ask("0.4")
    waited = int(re.search(r"gave no exposition in ([0-9]+) ms", page).group(1))
    assert status.startswith("503") and 360 <= waited < 9000, (status, page)
    assert "see whether it runs" in page, page
# What waits where nobody says how long waits less here.
from tallyboard import _waiting
_waiting._OTHERWISE_S = 0.5
said = raised(p.generate_latest)
assert int(re.search(r"gave no exposition in ([0-9]+) ms", said).group(1)) >= 500, said
""",
        )


def test_a_listener_whose_backlog_is_full_listens():
    name = f"full-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0tallyboard/{name}")
        listener.listen(0)
        waiting = []
        try:
            # Until the next one would wait.
            while True:
                waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                waiting[-1].setblocking(False)
                waiting[-1].connect(f"\0tallyboard/{name}")
        except BlockingIOError:
            pass
        run_at(
            f"unix:@tallyboard/{name}",
            """
status, page = wsgi("0.4")
assert status.startswith("503") and "gave no exposition in" in page, (status, page)
""",
        )
        for each in waiting:
            each.close()
