"""Names of every sort under prometheus_client: what it writes of them without Tallyboard is what a
service has of them, and a client that knows old names alone is not lost over them."""

import os
import subprocess
import sys

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from serving import environment, get
from test_programs import run_with

#: Metrics of every kind. Each is told apart from the others under every scheme.
COUNTED = """
import prometheus_client as p
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
ODD = 'a "b" \\\\ c\\nü {d}'
c = p.Counter("http.requests", "C.", ["http.route", "plain"])
c.labels(ODD, "x").inc(3, exemplar={"trace.id": "ü"})
p.Gauge("température", "G.", multiprocess_mode="max").set(21.5)
h = p.Histogram("http.time", "H.", ["a b"], buckets=(1, 10)).labels(ODD)
h.observe(0.5)
h.observe(40, exemplar={"trace.id": "1"})
p.Summary("1 st", "S.").observe(2)
p.Info("build.part", "I.").info({"version.x": "1", "é": ODD})
p.Enum("a-state", "E.", states=["on", "off"]).state("off")
p.Counter("plain:name", "P.").inc()
"""


def home(version):
    return {"PYTHONPATH": os.path.join(os.environ["TALLYBOARD_TEST_HOME"], version)} if version else {}


def test_pages_have_names_as_the_client_writes_them(board):
    program = (
        COUNTED
        + r"""
for write in (p.generate_latest, openmetrics):
    for escaping in ("underscores", "allow-utf-8"):
        lines = write(p.REGISTRY, escaping=escaping).decode().split("\n")
        bare = [line.replace('"', "").lstrip("{").removeprefix("# TYPE ").removeprefix("# HELP ") for line in lines]
        begin = ("http", "temp", "_st", "1 st", "build", "a-", "a_", "plain")
        kept = [line for line, name in zip(lines, bare) if name.startswith(begin) and "_created" not in line]
        # In OpenMetrics the client writes what no reader takes: labels of exemplars without quotes; and
        # a colon, which needs no escaping, as something else.
        if write is openmetrics:
            kept = [line.partition(" # {")[0] for line in kept if "plain" not in line or "http" in line]
        print(repr(sorted(kept)))
"""
    )
    counted = board.run(program)
    plain = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert counted.splitlines() == plain.stdout.splitlines()
    assert '"http.requests_total"' in counted and " http_requests_total " in counted


@pytest.mark.parametrize("escaping", ["allow-utf-8", "underscores", "dots", "values"])
def test_the_clients_parsers_read_every_page(board, escaping):
    run_with(board, COUNTED)
    names = {
        "allow-utf-8": ("http.requests", "http.route", "température"),
        "underscores": ("http_requests", "http_route", "temp_rature"),
        "dots": ("http_dot_requests_", "http_dot_route", "temp__rature"),
        "values": ("U__http_2e_requests_", "U__http_2e_route", "U__temp_e9_rature"),
    }
    counter, label, gauge = names[escaping]
    accepts = [
        ("text/plain;version=1.0.0", parse_text, {"total": f"{counter}_total"}),
        ("application/openmetrics-text;version=1.0.0", parse_openmetrics, {"total": f"{counter}_total"}),
    ]
    for accept, parse, expect in accepts:
        _, page = get(board.port, "/metrics", Accept=f"{accept};escaping={escaping}")
        samples = {}
        for family in parse(page):
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in samples, key
                samples[key] = sample.value
        totals = [(key, value) for key, value in samples.items() if key[0] == expect["total"]]
        assert [value for _, value in totals] == [3.0]
        assert dict(totals[0][0][1])[label] == 'a "b" \\ c\nü {d}'
        assert samples[(gauge, ())] == 21.5


def test_a_registry_finds_what_is_called_so(board):
    run_with(
        board,
        COUNTED
        + """
at = p.REGISTRY.get_sample_value
assert at("http.requests_total", {"http.route": ODD, "plain": "x"}) == 3
in_child(lambda: c.labels(ODD, "x").inc())
assert at("http.requests_total", {"http.route": ODD, "plain": "x"}) == 4
assert at("http.time_bucket", {"a b": ODD, "le": "1.0"}) == 1
assert at("build.part_info", {"version.x": "1", "é": ODD}) == 1
assert at("a-state", {"a-state": "off"}) == 1
found = [family.name for family in p.REGISTRY.restricted_registry(["température"]).collect()]
assert found == ["température"], found
c.remove(ODD, "x")
until(lambda: at("http.requests_total", {"http.route": ODD, "plain": "x"}) is None)
""",
    )


def test_created_times_are_left_out_of_names_in_quotes_too(board):
    run_with(
        board,
        COUNTED
        + """
for escaping in ("allow-utf-8", "underscores", "dots", "values"):
    page = openmetrics(p.REGISTRY, escaping=escaping).decode()
    assert "_created" not in page, page
    assert page.endswith("# EOF\\n") and "\\n\\n" not in page
""",
        PROMETHEUS_DISABLE_CREATED_SERIES="true",
    )


def test_the_variable_and_the_functions_for_old_names_hold(board):
    # A worker that has the new names.
    run_with(board, COUNTED)
    run_with(
        board,
        """
import prometheus_client as p
from prometheus_client import validation
def refused(make):
    try:
        make()
    except ValueError as error:
        return "nvalid" in str(error)
    return False
make = lambda: p.Counter("own.done", "D.", registry=None)
labelled = lambda: p.Counter("own_labelled", "D.", ["a.b"], registry=None)
assert refused(make) and refused(labelled)
at = p.REGISTRY.get_sample_value
assert at("temp_rature") == 21.5 and at("température") is None
names = {family.name for family in p.REGISTRY.collect()}
assert {"http_requests", "build_part", "a_state"} <= names, names
# Who asks for the names as they are gets them.
assert '"http.requests_total"' in p.generate_latest(p.REGISTRY, escaping="allow-utf-8").decode()
validation.disable_legacy_validation()
assert not refused(make) and not refused(labelled)
assert at("température") == 21.5
validation.enable_legacy_validation()
assert refused(make) and at("température") is None
""",
        PROMETHEUS_LEGACY_NAME_VALIDATION="1",
    )


@pytest.mark.parametrize("version", ["0.5", "0.7", "0.14"])
def test_a_client_of_old_names_shows_them_escaped(board, version):
    run_with(board, COUNTED)
    run_with(
        board,
        """
import prometheus_client as p
assert p.REGISTRY.get_sample_value("temp_rature") == 21.5
assert p.REGISTRY.get_sample_value("a_state", {"a_state": "off"}) == 1
assert "\\ntemp_rature 21.5\\n" in p.generate_latest().decode()
p.Counter("own_done", "D.").inc()
assert p.REGISTRY.get_sample_value("own_done_total") == 1
""",
        **home(version),
    )


def test_the_first_client_of_new_names_counts_them(board):
    run_with(
        board,
        """
import prometheus_client as p
c = p.Counter("http.requests", "C.", ["http.route"])
in_child(lambda: c.labels("/").inc())
c.labels("/").inc()
assert p.REGISTRY.get_sample_value("http.requests_total", {"http.route": "/"}) == 2
""",
        **home("0.22"),
    )
    _, page = get(board.port, "/metrics", Accept="text/plain;version=1.0.0;escaping=allow-utf-8")
    assert '{"http.requests_total","http.route"="/"} 2\n' in page


def test_what_no_page_can_have_counts_alone_and_is_said_once(board):
    run_with(
        board,
        """
import logging, prometheus_client as p
said = []
class Said(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("tallyboard").addHandler(Said())
for name in ("nul\\0", "n" * 257, "tallyboard.own"):
    c = p.Counter(name, "C.")
    c.inc()
    c.inc()
    assert c._value.get() == 2
    about = [text for text in said if repr(name) in text]
    assert len(about) == 1 and ("bytes" in about[0] or "supervisor's own" in about[0]), said
""",
    )
    status, page = get(board.port, "/metrics", Accept="text/plain;escaping=allow-utf-8")
    assert status == 200
    lines = [line for line in page.splitlines() if not line.startswith("python_refused_operations")]
    assert not [line for line in lines if "\0" in line or "tallyboard.own" in line]
