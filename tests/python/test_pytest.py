"""The plugin `tallyboard.pytest`, in runs of pytest over a small application and its tests."""

import os
import sys

import pytest
from serving import Process

APPLICATION = """
import os
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary

orders = Counter("shop_orders", "Orders.", ["kind"])
books = orders.labels("book")
visits = Counter("shop_visits", "Visits.")
busy = Gauge("shop_busy", "Busy.", multiprocess_mode="livesum")
best = Gauge("shop_best", "Best.", multiprocess_mode="max")
seconds = Histogram("shop_seconds", "Time.", buckets=(1, 5))
sizes = Summary("shop_sizes", "Sizes.")
version = Info("shop_version", "Version.")
state = Enum("shop_state", "State.", states=["opening", "open"])
mine = CollectorRegistry()
own = Counter("shop_own", "Own.", ["kind"], registry=mine)

def sell(kind, amount=1):
    orders.labels(kind).inc(amount)
    own.labels(kind).inc(amount)
    if kind == "book":
        books.inc(amount)
    visits.inc()
    busy.set(2)
    best.set(amount)
    seconds.observe(2)
    sizes.observe(3)
    version.info({"version": str(amount)})
    state.state("open")

def in_worker(act):
    if not os.fork():
        try:
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.wait()[1] == 0
"""

TESTS = """
import prometheus_client as p
import pytest
import shop

# Each is run again and again, in whatever order, and finds the same.
@pytest.mark.parametrize("turn", range(3))
def test_nothing_is_counted_when_a_test_begins(turn):
    value = p.REGISTRY.get_sample_value
    found = {s.name: s.value for m in p.REGISTRY.collect() for s in m.samples
             if s.name.startswith("shop_") and not s.name.endswith("_created") and "le" not in s.labels}
    # The one that the application holds is there, as it is when it starts.
    assert found == {
        "shop_orders_total": 0, "shop_visits_total": 0, "shop_busy": 0, "shop_seconds_count": 0,
        "shop_seconds_sum": 0, "shop_sizes_count": 0, "shop_sizes_sum": 0, "shop_version_info": 1,
        "shop_state": 0,
    }, found
    assert value("shop_orders_total", {"kind": "book"}) == 0
    assert value("shop_orders_total", {"kind": "pen"}) is None
    assert value("shop_seconds_bucket", {"le": "5.0"}) == 0
    assert value("shop_state", {"shop_state": "opening"}) == 1
    assert value("shop_version_info", {}) == 1
    assert shop.mine.get_sample_value("shop_own_total", {"kind": "book"}) is None

@pytest.mark.parametrize("turn", range(3))
def test_what_is_counted_here_and_in_workers_is_of_this_test(turn):
    shop.sell("book", 2)
    shop.in_worker(lambda: shop.sell("book", 4))
    shop.in_worker(lambda: shop.sell("pen", 3))
    shop.books.inc()
    value = p.REGISTRY.get_sample_value
    assert value("shop_orders_total", {"kind": "book"}) == 13
    assert value("shop_orders_total", {"kind": "pen"}) == 3
    assert value("shop_visits_total") == 3 and value("shop_best") == 4 and value("shop_busy") == 2
    assert value("shop_seconds_count") == 3 and value("shop_sizes_sum") == 9
    assert value("shop_seconds_bucket", {"le": "5.0"}) == 3
    assert value("shop_version_info", {"version": "3"}) == 1
    assert value("shop_state", {"shop_state": "open"}) == 1
    assert shop.mine.get_sample_value("shop_own_total", {"kind": "book"}) == 2
    # One that is made in a test is this test's, too, and the next one's at 0.
    made = shop.__dict__.setdefault("made", None) or p.Counter("shop_made", "Made.")
    shop.made = made
    made.inc()
    assert value("shop_made_total") == 1
    made.inc()
"""

PROGRAMS = """
import os, subprocess, sys
import prometheus_client as p
import pytest

COUNT = "import prometheus_client as p; p.Counter('worker_jobs', 'Jobs.').inc()"

@pytest.mark.parametrize("turn", range(2))
def test_a_program_counts_in_the_arena_of_its_test(tallyboard_arena, turn):
    for _ in range(2):
        subprocess.run([sys.executable, "-c", COUNT], check=True)
    assert b"worker_jobs_total 2\\n" in tallyboard_arena.exposition()[1]
    assert b"worker_jobs_total 2\\n" in tallyboard_arena.exposition(names=["worker_jobs"])[1]
    assert b"worker_jobs" not in p.generate_latest()

def test_the_arena_of_a_test_goes_with_it():
    # Nobody has what the programs of other tests have counted.
    assert b"worker_jobs" not in p.generate_latest()
"""


def run(tmp_path, tests, *options, **variables):
    """A run of pytest over tests of the application, and what it said."""
    (tmp_path / "shop.py").write_text(APPLICATION)
    (tmp_path / "test_shop.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, tmp_path]
    variables = {"XDG_RUNTIME_DIR": str(tmp_path), "PYTEST_ADDOPTS": ""} | variables
    with Process(*command, **variables) as process:
        return process.wait(), process.said


@pytest.mark.parametrize("under", ["nobody", "a supervisor"])
def test_each_test_begins_with_nothing_counted(board, tmp_path, under):
    variables = {"TALLYBOARD": board.address} if under == "a supervisor" else {}
    status, said = run(tmp_path, TESTS, "-p", "tallyboard.pytest", **variables)
    assert status == 0 and "6 passed" in said, said
    # The other one has nothing of it.
    assert not [name for name in board.samples() if name.startswith("shop_")]


def test_the_plugin_can_be_named_by_the_tests_themselves(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tallyboard.pytest"]')
    status, said = run(tmp_path, TESTS)
    assert status == 0 and "6 passed" in said, said


def test_without_the_plugin_tests_see_what_others_have_counted(board, tmp_path):
    status, said = run(tmp_path, TESTS, TALLYBOARD=board.address)
    assert status == 1 and "failed" in said, said


def test_a_test_has_an_arena_for_the_programs_that_it_starts(tmp_path):
    status, said = run(tmp_path, PROGRAMS, "-p", "tallyboard.pytest")
    assert status == 0 and "3 passed" in said, said


def test_it_leaves_nothing_and_says_why_it_cannot_begin(tmp_path):
    tests = "import os\ndef test_it(): print(os.environ['TALLYBOARD'])"
    status, said = run(tmp_path, tests, "-s", "-p", "tallyboard.pytest")
    assert status == 0, said
    address = next(word for word in said.split() if word.startswith("unix:@"))
    sockets = open("/proc/net/unix").read()
    assert address.removeprefix("unix:") not in sockets
    assert not [name for name in os.listdir(tmp_path) if name.startswith("tallyboard")]
    wrong = {"TALLYBOARD_SLOTS": "many"}
    status, said = run(tmp_path, tests, "-p", "tallyboard.pytest", **wrong)
    assert status == 4 and "no supervisor" in said and "--slots" in said, said
    # Where it is turned off, tests are run as they are without it.
    off = "import os\ndef test_it(): assert 'TALLYBOARD' not in os.environ"
    status, said = run(tmp_path, off, "-p", "tallyboard.pytest", TALLYBOARD_DISABLE="1", **wrong)
    assert status == 0, said
