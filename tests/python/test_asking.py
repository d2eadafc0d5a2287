"""Callbacks and collectors, and what a process does while they are asked: it ends, forks, executes
another program, has its threads made greenlets."""

import os
import sys

import pytest
from serving import Process, needs
from test_interpreters import each, environments, python  # noqa: F401
from test_programs import LINES
from test_zero_code import PRELUDE

#: Has everything asked all the time, and waits for it where a test must not depend on a clock.
OFTEN = """
from tallyboard import _questions, _threads
_questions.INTERVAL_S = 0.005
"""

ALWAYS = OFTEN + "_questions.INTERVAL_S = 0\n"
PATIENT = ALWAYS + "_threads.FORK_WAIT_S = 60\n"


def run(board, program, python=sys.executable, options=(), status=0, **variables):
    command = [python, *options, "-c", PRELUDE + LINES + program]
    with Process(*command, **{"TALLYBOARD": board.address} | variables) as process:
        assert process.wait() == status, process.said
        return process.said


COLLECTOR = """
import threading
import prometheus_client as p
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
is_asked = threading.Event()
class Queues:
    def collect(self):
        lengths = GaugeMetricFamily("queue_length", "Jobs that wait.", labels=["queue"])
        for queue in range(30):
            is_asked.set()
            time.sleep(0.01)
            print(end="", flush=True)
            lengths.add_metric([str(queue)], 7)
        yield lengths
"""


@each()
@pytest.mark.parametrize("asked", ["a collector", "a callback"])
def test_a_process_that_ends_while_it_is_asked_ends_well(board, python, asked):
    what = {
        "a collector": "p.REGISTRY.register(Queues())",
        "a callback": 'p.Gauge("g", "G.").set_function(lambda: len(list(Queues().collect())))',
    }
    for _ in range(6):
        said = run(
            board,
            COLLECTOR + f"{what[asked]}\np.Counter('done', 'D.').inc()\nassert is_asked.wait(60)\n",
            python,
        )
        assert said == ""


@each()
def test_an_exception_at_exit_keeps_its_status(board, python):
    ends = 'p.REGISTRY.register(Queues())\np.Counter("done", "D.").inc()\nis_asked.wait()\n'
    run(board, COLLECTOR + ends + "sys.exit(3)", python, status=3)


CHILDREN = """
import prometheus_client as p
for n in range(300):
    p.Gauge(f"pool_{n}", "P.", multiprocess_mode="livesum").set_function(lambda: 4)
def ends(pid):
    deadline = time.monotonic() + 60
    while not os.waitpid(pid, os.WNOHANG)[0]:
        assert time.monotonic() < deadline, f"child {pid} hangs"
        time.sleep(0.0005)
"""


@each()
def test_children_do_not_hang_that_are_forked_while_callbacks_run(board, python):
    run(
        board,
        ALWAYS
        + CHILDREN
        + """
for turn in range(200):
    pid = os.fork()
    if not pid:
        os._exit(0)
    ends(pid)
until(lambda: lines("pool_299")[-1:] == ["pool_299 4"])
""",
        python,
    )


@each()
def test_children_ask_by_themselves_and_their_parent_goes_on(board, python):
    run(
        board,
        OFTEN
        + CHILDREN
        + """
asked = []
p.Gauge("pool", "P.", multiprocess_mode="livesum").set_function(lambda: asked.append(1) or 7)
r, w = os.pipe()
children = []
for turn in range(3):
    pid = os.fork()
    if not pid:
        # It counts nothing.
        os.close(w)
        os.read(r, 1)
        os._exit(0)
    children.append(pid)
until(lambda: lines("pool ")[-1:] == ["pool 28"])
rounds = len(asked) + 3
until(lambda: len(asked) > rounds)
os.close(w)
for pid in children:
    ends(pid)
until(lambda: lines("pool ")[-1:] == ["pool 7"])
""",
        python,
    )


def test_a_fork_waits_for_a_callback_but_not_for_ever(board):
    run(
        board,
        """
import threading
import prometheus_client as p
is_asked, goes_on, answers = threading.Event(), threading.Event(), []
def slow():
    if os.getpid() == parent:
        is_asked.set()
        goes_on.wait()
    answers.append(7)
    return 7
parent = os.getpid()
p.Gauge("slow", "S.", multiprocess_mode="livesum").set_function(slow)
p.Counter("c", "C.").inc()
is_asked.wait()
# It is asked all the while; who is forked meanwhile asks for itself.
for turn in range(3):
    in_child(lambda: until(lambda: answers))
    assert not answers
goes_on.set()
until(lambda: lines("slow")[-1:] == ["slow 7"])
# One asks, not as many as there were forks.
assert len(os.listdir("/proc/self/task")) == 2
""",
    )


def test_a_child_finds_no_lock_held_by_what_is_asked(board):
    run(
        board,
        PATIENT
        + """
import threading
import prometheus_client as p
lock, asked = threading.Lock(), []
def work():
    with lock:
        time.sleep(0.0005)
        asked.append(1)
    return 1
p.Gauge("work", "W.").set_function(work)
for turn in range(200):
    before = len(asked)
    in_child(lambda: lock.acquire(False) or sys.exit("held"))
    until(lambda: len(asked) > before)
""",
    )


@each("3.12")
def test_the_interpreter_counts_no_thread_of_ours_at_a_fork(board, python):
    said = run(
        board,
        PATIENT
        + """
import prometheus_client as p
asked = []
p.Gauge("pool", "P.", multiprocess_mode="livesum").set_function(lambda: asked.append(1) or 7)
for turn in range(50):
    before = len(asked)
    in_child(lambda: in_child(lambda: None))
    until(lambda: len(asked) > before)
""",
        python,
        options=("-W", "error"),
    )
    assert said == ""


def test_more_may_come_to_be_asked_wherever_python_runs(board):
    run(
        board,
        OFTEN
        + """
import gc
import prometheus_client as p
from tallyboard import _questions
asked, grown = [], {}
for n in range(50):
    p.Gauge(f"pool_{n}", "P.").set_function(lambda: asked.append(1) or 1)
known = _questions._questions
def grow(phase, info):
    # As other threads do that run meanwhile; what comes is asked already.
    if len(grown) < 2000:
        grown[len(grown)] = known[-len(known)] = next(iter(known.values()))
gc.callbacks.append(grow)
gc.set_threshold(1)
until(lambda: len(grown) == 2000)
enough = len(asked) + 200
until(lambda: len(asked) > enough)
""",
    )


def test_what_is_asked_may_fork(board):
    run(
        board,
        OFTEN
        + """
import prometheus_client as p
asked = []
def forks():
    in_child(lambda: None)
    asked.append(1)
    return len(asked)
p.Gauge("forks", "F.", multiprocess_mode="max").set_function(forks)
until(lambda: len(asked) > 20)
in_child(lambda: until(lambda: len(asked) > 40))
""",
    )


def test_a_child_that_executes_another_program_at_once_takes_no_slot(board):
    run(
        board,
        """
import subprocess
import prometheus_client as p
p.Gauge("pool", "P.").set_function(lambda: 7)
p.Counter("c", "C.").inc()
for turn in range(20):
    pid = os.fork()
    if not pid:
        os.execvp("true", ["true"])
    assert os.waitpid(pid, 0)[1] == 0
    subprocess.run(["true"], check=True, preexec_fn=lambda: None)
""",
    )
    assert board.samples()["tallyboard_attaches_total"] == 1


def test_signals_are_the_applications(board):
    run(
        board,
        """
import signal
import prometheus_client as p
p.Gauge("pool", "P.").set_function(lambda: 7)
until(lambda: len(os.listdir("/proc/self/task")) == 2)
for task in os.listdir("/proc/self/task"):
    status = dict(line.split(":\\t", 1) for line in open(f"/proc/self/task/{task}/status"))
    blocks = int(status["SigBlk"], 16) & 1 << signal.SIGTERM - 1
    assert bool(blocks) == (int(task) != os.getpid()), status
""",
    )


FAILING = """
import prometheus_client as p
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
fails = True
class Users:
    multiprocess_mode = "max"
    def collect(self):
        yield CounterMetricFamily("logins", "L.", value=5)
        if fails: raise LookupError("no such table")
        yield GaugeMetricFamily("users", "U.", value=2)
def level():
    if fails: raise SystemExit
    return 3
errors = lambda name: p.REGISTRY.get_sample_value("tallyboard_collector_errors_total", {"collector": name}) or 0
shown = lambda: [line for line in lines("") if line.startswith(("users ", "level ", "logins_total"))]
"""


def test_what_fails_is_said_once_and_counted_and_not_shown(board):
    said = run(
        board,
        OFTEN
        + FAILING
        + """
fails = False
p.REGISTRY.register(Users())
p.Gauge("level", "L.", multiprocess_mode="max").set_function(level)
until(lambda: len(shown()) == 3)
for turn in range(2):
    fails = True
    until(lambda: errors("__main__.Users") > 3 * turn + 2 and errors("level") > 3 * turn + 2)
    # What was counted stays.
    assert shown() == ["logins_total 5"], shown()
    fails = False
    until(lambda: len(shown()) == 3)
in_child(lambda: time.sleep(0))
""",
    )
    assert said.count("LookupError: no such table\n") == said.count("SystemExit\n") == 1, said
    assert "__main__.Users" in said and len(said.splitlines()) == 2, said


def test_so_many_failing_collectors_are_told_apart_and_no_more(board):
    run(
        board,
        OFTEN
        + """
import logging
import prometheus_client as p
logging.getLogger("tallyboard").setLevel(logging.CRITICAL)
for n in range(150):
    p.Gauge(f"level_{n}", "L.").set_function(lambda: 1 / 0)
name = "tallyboard_collector_errors_total{"
until(lambda: name + 'collector="other"}' in "".join(lines(name)))
until(lambda: all(float(line.split()[-1]) > 1 for line in lines(name)))
assert len(lines(name)) == 101
""",
    )


SHOWN = """
import prometheus_client as p
g = p.Gauge("g", "G.", multiprocess_mode="max")
l = p.Gauge("l", "L.", ["l"], multiprocess_mode="max")
page = lambda: sorted(line.removesuffix(".0") for line in lines(("g ", "l{")))
said = []
def note(act):
    act()
    said.append(page())
note(lambda: g.set(3))
note(lambda: g.set_function(lambda: 5))
note(lambda: g.inc())
note(lambda: g.set(9))
note(lambda: g.dec(4))
note(lambda: g.set_function(lambda: 6))
note(lambda: l.labels("a").set_function(lambda: 1))
note(lambda: l.labels("a").inc())
note(lambda: l.labels("b").inc(2))
with l.labels("a").track_inprogress():
    note(lambda: None)
note(lambda: l.remove("a"))
note(lambda: l.labels("a").inc(4))
note(lambda: l.clear())
note(lambda: l.labels("b").set(2))
print(said)
"""


def test_a_gauge_with_a_callback_shows_that_and_nothing_else_as_in_one_process(board):
    plain = run(board, SHOWN, TALLYBOARD="")
    assert run(board, SHOWN) == plain
    assert "['g 6', 'l{l=\"a\"} 1', 'l{l=\"b\"} 2']" in plain


def test_a_page_of_ones_own_asks_in_its_own_thread_first(board):
    # As prometheus_client does: what is asked may work there alone.
    run(
        board,
        """
import sqlite3
import prometheus_client as p
database = sqlite3.connect(":memory:")
p.Gauge("one", "O.", multiprocess_mode="max").set_function(
    lambda: database.execute("select 1").fetchone()[0]
)
class Nested:
    def collect(self):
        p.generate_latest()
        yield p.Metric("nested", "N.", "gauge")
p.REGISTRY.register(Nested())
assert lines("one") == ["one 1"]
""",
    )


def test_a_lock_of_the_caller_is_no_trap(board):
    run(
        board,
        """
import threading
import prometheus_client as p
lock = threading.Lock()
def level():
    with lock:
        return 7
g = p.Gauge("level", "L.")
with lock:
    g.set_function(level)
until(lambda: lines("level")[-1:] and lines("level")[-1].endswith(" 7"))
""",
    )


def test_a_collector_that_leaves_takes_all_along_that_it_has_said(board):
    run(
        board,
        COLLECTOR
        + OFTEN
        + """
class Pool:
    multiprocess_mode = "sum"
    def collect(self):
        yield GaugeMetricFamily("connections", "C.", value=4)
        yield CounterMetricFamily("uses", "U.", value=4)
pool = Pool()
p.REGISTRY.register(pool)
until(lambda: lines(("connections ", "uses_total")) == ["connections 4", "uses_total 4"])
p.REGISTRY.unregister(pool)
assert lines(("connections ", "uses_total")) == []
""",
    )


MODES = "all liveall sum livesum max livemax min livemin mostrecent livemostrecent".split()

PRELOADED = """
import prometheus_client as p
from prometheus_client import multiprocess
gauges = {mode: p.Gauge("g_" + mode, "G.", multiprocess_mode=mode) for mode in MODES}
registry = p.CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
say = lambda gauge: gauge.set_function(lambda: 7) if HOW == "asks" else gauge.set(7)
for gauge in gauges.values():
    say(gauge)
ready, done = os.pipe(), os.pipe()
children = []
for turn in range(2):
    pid = os.fork()
    if not pid:
        os.close(done[1])
        for gauge in gauges.values():
            say(gauge) if HOW == "sets" else None
        os.write(ready[1], b"x")
        os.read(done[0], 1)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.read(ready[0], 1)
who = {str(pid): name for pid, name in zip([os.getpid(), *children], ("master", "one", "two"))}
def page():
    found = [line.removesuffix(".0") for line in lines("g_", p.generate_latest(registry))]
    for pid, name in who.items():
        found = [line.replace(f'pid="{pid}"', f'pid="{name}"') for line in found]
    return sorted(found)
until(lambda: "g_livesum 21" in page() and 'g_all{pid="two"} 7' in page())
print(page())
os.close(done[1])
for pid in children:
    os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("how", ["sets", "asks"])
def test_a_preloading_master_counts_beside_its_workers_as_in_files(board, tmp_path, how):
    program = f"HOW, MODES = {how!r}, {MODES!r}\n" + PRELOADED
    files = run(
        board,
        f"HOW, MODES = 'sets', {MODES!r}\n" + PRELOADED,
        TALLYBOARD="",
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    assert run(board, program) == files
    assert "'g_livesum 21'" in files


GEVENT = """
import gevent, gevent.monkey
from gevent.server import StreamServer
def patch():
    gevent.monkey.patch_all()
"""

EVENTLET = """
import warnings; warnings.simplefilter("ignore")
import eventlet
def patch():
    eventlet.monkey_patch()
"""

#: What is asked waits for an answer of another greenlet, by a lock that no other thread may take.
GREENLETS = """
import threading
import prometheus_client as p
def wait():
    import time
    time.sleep(0.001)
asked = []
def level():
    assert threading.get_ident() != here, "the greenlet of the application"
    with lock:
        wait()
        asked.append(os.getpid())
    return len(asked)
def work(turns):
    for turn in range(turns):
        with lock:
            wait()
def check():
    global lock, here
    lock, here = threading.RLock(), threading.get_ident()
    del asked[:]
    threads = [threading.Thread(target=work, args=(100,)) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    enough = len(asked) + 3
    until(lambda: len(asked) > enough)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread is left"
"""


@pytest.mark.parametrize(
    "library",
    [
        pytest.param(GEVENT, marks=needs("gevent"), id="gevent"),
        pytest.param(EVENTLET, marks=needs("eventlet"), id="eventlet"),
    ],
)
@pytest.mark.parametrize("when", ["before", "import", "thread", "child"])
def test_where_threads_are_greenlets_a_greenlet_asks(board, library, when):
    begin = 'p.Gauge("level", "L.", multiprocess_mode="max").set_function(level)\n'
    patch = {"before": library + "patch()\n", "import": library}.get(when, "")
    then = {
        # The module is imported later than what is asked, and patches later still.
        "before": "check()\n",
        "import": "until(lambda: lines('level'))\npatch()\ncheck()\n",
        "thread": library + "patch()\ncheck()\n",
        "child": f"def act():\n{library.strip()}\npatch()\ncheck()\n".replace("\n", "\n    ")
        + "\nin_child(act)\n",
    }
    program = patch + OFTEN + GREENLETS + "lock, here = threading.RLock(), None\n" + begin
    said = run(board, program + then[when])
    assert "Traceback" not in said and "raised" not in said, said


@needs("gevent")
def test_greenlets_fork(board):
    run(
        board,
        GEVENT
        + "patch()\n"
        + OFTEN
        + GREENLETS
        + """
lock, here = threading.RLock(), None
p.Gauge("level", "L.", multiprocess_mode="livemax").set_function(level)
until(lambda: asked)
for turn in range(20):
    in_child(check)
check()
""",
    )


@each()
def test_no_process_waits_for_a_supervisor_that_does_not_answer(board, python):
    # Nobody listens there, and what is asked is asked all the same; the thread that looks for one
    # leaves before a fork too.
    said = run(
        board,
        PATIENT
        + """
import prometheus_client as p
asked = []
p.Gauge("level", "L.").set_function(lambda: asked.append(1) or 1)
until(lambda: len(asked) > 3)
for turn in range(20):
    in_child(lambda: in_child(lambda: None))
before = len(asked)
in_child(lambda: until(lambda: len(asked) > before))
""",
        python,
        options=("-W", "error"),
        TALLYBOARD="unix:@tallyboard/nobody",
    )
    assert said.count("counts privately") == len(said.splitlines()) > 0, said


@each()
@pytest.mark.parametrize(
    "what", ["p.generate_latest()", "c._value.get()", 'c.inc(exemplar={"trace": "x"})']
)
def test_threads_of_the_application_are_left_where_they_are_at_an_exit(board, python, what):
    program = f"""
import threading
import prometheus_client as p
c, begun = p.Counter("c", "C."), threading.Event()
def work():
    while True:
        {what}
        begun.set()
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
"""
    for _ in range(4):
        assert run(board, program, python) == ""
