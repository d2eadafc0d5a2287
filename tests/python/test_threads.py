"""Threads that do everything at once, under whatever interpreter runs this: with its lock, which
may pass from one thread to another between any two steps, or without one."""

import pytest
from test_zero_code import PRELUDE

#: `at_once` calls a function in so many threads, which begin together, and raises what they raise.
#: `step` is where they wait for each other, to begin the next step together.
THREADS = (
    PRELUDE
    + """
import threading
sys.setswitchinterval(1e-6)
THREADS = 8
step = threading.Barrier(THREADS, timeout=60)
def at_once(act):
    raised = []
    def begin(number):
        try:
            step.wait()
            act(number)
        except BaseException as error:
            raised.append(error)
            step.abort()
    threads = [threading.Thread(target=begin, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in raised:
        raise error
"""
)


def run(board, program, **variables):
    return board.run(THREADS + program, **variables)


def test_the_interpreter_has_its_lock_only_if_it_was_built_with_one(board):
    run(
        board,
        """
import sysconfig
import prometheus_client as p
p.Counter("app_c", "C.").inc()
import tallyboard
assert tallyboard.attachment() is not None
has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
assert has_lock != bool(sysconfig.get_config_var("Py_GIL_DISABLED")), has_lock
""",
    )


def test_what_threads_count_at_once_is_counted(board):
    run(
        board,
        """
import prometheus_client as p
c = p.Counter("app_c", "C.")
l = p.Counter("app_l", "L.", ["l"])
g = p.Gauge("app_g", "G.", multiprocess_mode="sum")
s = p.Summary("app_s", "S.")
h = p.Histogram("app_h", "H.", buckets=(1, 2))
def act(number):
    for turn in range(2000):
        c.inc()
        l.labels(str(turn % 50)).inc(0.5)
        g.inc(2)
        g.dec()
        s.observe(3)
        h.observe(turn % 4)
at_once(act)
""",
    )
    found = board.samples()
    expected = {
        "app_c_total": 16_000,
        "app_g": 16_000,
        "app_s_count": 16_000,
        "app_s_sum": 48_000,
        'app_h_bucket{le="1.0"}': 8_000,
        "app_h_count": 16_000,
        "app_h_sum": 24_000,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert [found[f'app_l_total{{l="{label}"}}'] for label in range(50)] == [160] * 50


def test_what_threads_register_at_once_is_one_family(board):
    run(
        board,
        """
import prometheus_client as p
def act(number):
    for turn in range(200):
        step.wait()
        p.Counter(f"app_c_{turn}", "C.", registry=None).inc()
        p.Histogram(f"app_h_{turn}", "H.", ["l"], registry=None).labels("x").observe(1)
at_once(act)
from tallyboard import _arena
assert len(_arena._families) == 400
""",
    )
    found = board.samples()
    assert [found.get(f"app_c_{turn}_total") for turn in range(200)] == [8] * 200
    assert [found.get(f'app_h_{turn}_count{{l="x"}}') for turn in range(200)] == [8] * 200


def test_what_threads_are_refused_at_once_is_said_once(board):
    said = run(
        board,
        """
import prometheus_client as p
from tallyboard import _arena
first = [p.Counter(f"app_{turn}", "C.", registry=None) for turn in range(200)]
for each in first:
    each.inc()
def act(number):
    for turn in range(200):
        mine = p.Counter(f"app_{turn}", "C.", ["other"], registry=None)
        step.wait()
        mine.labels("x").inc()
        # Faster one after the other than a family is asked for.
        step.wait()
        _arena.warn_once(f"app_twice_{turn}", ValueError("refused"))
at_once(act)
""",
    )
    assert said.count("refused; 'app_twice_") == 200
    assert said.count("counts in this process alone") == 400


@pytest.mark.parametrize("remove", ["c.remove(mine)", 'c.remove_by_labels({"l": mine})'])
def test_a_thread_removes_what_it_is_told_to_remove(board, remove):
    run(
        board,
        f"""
import prometheus_client as p
c = p.Counter("app_c", "C.", ["l"])
def act(number):
    mine = str(number)
    for turn in range(300):
        c.labels(mine).inc()
        {remove}
        c.labels(mine).inc(number)
        # Nobody else has removed it, whatever they have removed meanwhile.
        assert c.labels(mine)._value.get() == number, (number, turn)
at_once(act)
""",
    )
    found = board.samples()
    # Another living process may hold what one removes: a removal alone does not hide what it had.
    assert all(found[f'app_c_total{{l="{number}"}}'] >= number for number in range(8))


def test_scrapes_do_not_fall_while_threads_count_register_and_clear(board):
    run(
        board,
        """
import prometheus_client as p
c = p.Counter("app_c", "C.", ["l"])
counted = [0] * THREADS
ended = threading.Event()
def scrape():
    before = {}
    while not ended.is_set():
        now = {sample.labels["l"]: sample.value for metric in p.REGISTRY.collect()
               for sample in metric.samples if sample.name == "app_c_total"}
        assert all(now.get(label, -1) >= value for label, value in before.items())
        before = now
def clear():
    for turn in range(200):
        gone = p.Gauge(f"app_gone_{turn}", "G.", ["l"], multiprocess_mode="max")
        gone.labels("x").set(1)
        gone.clear()
        gone.labels("y").set(1)
        p.REGISTRY.unregister(gone)
def act(number):
    if number < 2:
        scrape()
    elif number == 2:
        try:
            clear()
        finally:
            ended.set()
    while not ended.is_set():
        for label in range(100):
            c.labels(str(label)).inc()
            counted[number] += 1
at_once(act)
found = p.generate_latest().decode()
assert sum(c.labels(str(label))._value.get() for label in range(100)) == sum(counted)
assert not [line for line in found.splitlines() if line.startswith("app_gone")], found
""",
    )


def test_children_that_are_forked_while_threads_count_count(board):
    run(
        board,
        """
import warnings; warnings.simplefilter("ignore")
import prometheus_client as p
c = p.Counter("app_c", "C.", ["l"])
parents, childrens = c.labels("parent"), c.labels("child")
counted = [0] * THREADS
ended = threading.Event()
def fork():
    for _ in range(20):
        in_child(lambda: [childrens.inc() for _ in range(100)])
def act(number):
    if number == 0:
        try:
            fork()
        finally:
            ended.set()
    while not ended.is_set():
        parents.inc()
        counted[number] += 1
at_once(act)
assert parents._value.get() == sum(counted)
""",
    )
    assert board.samples()['app_c_total{l="child"}'] == 2000


@pytest.mark.parametrize("turn", range(3))
def test_what_threads_count_while_values_are_replaced_is_counted(board, turn):
    run(
        board,
        """
import prometheus_client as p, tallyboard
c = p.Counter("app_c", "C.")
l = p.Counter("app_l", "L.", ["l"])
s = p.Summary("app_s", "S.")
h = p.Histogram("app_h", "H.", buckets=(1, 2, 3, 4, 5))
g = p.Gauge("app_g", "G.", multiprocess_mode="sum")
held = c._value
counted, replaced = [0] * THREADS, [False] * 2
def count(number):
    # In whole tens, so that all labels have the same.
    while not all(replaced) or counted[number] % 10:
        c.inc()
        held.inc(1)
        l.labels(str(counted[number] % 10)).inc()
        s.observe(2)
        h.observe(9)
        g.inc()
        counted[number] += 1
def act(number):
    if number >= 2:
        return count(number)
    try:
        while min(counted[2:]) < 100:
            pass
        assert tallyboard.install(os.environ["ADDRESS"]) == []
        assert isinstance(c._value, p.values.ValueClass)
    finally:
        replaced[number] = True
at_once(act)
total = sum(counted)
found = {sample.name + str(sample.labels.get("l", "")): sample.value
         for metric in p.REGISTRY.collect() for sample in metric.samples}
expected = {"app_c_total": 2 * total, "app_s_count": total, "app_s_sum": 2 * total,
            "app_h_count": total, "app_h_sum": 9 * total, "app_g": total}
expected |= {f"app_l_total{label}": total / 10 for label in range(10)}
assert {name: found.get(name) for name in expected} == expected, (found, expected)
# Who holds a value from before counts on where the others do.
held.inc(1)
held.inc(amount=0.5)
assert c._value.get() == held.get() == 2 * total + 1.5
""",
        TALLYBOARD="",
        ADDRESS=board.address,
    )


def test_metrics_of_other_registries_keep_what_is_theirs_as_they_move_while_threads_count(board):
    run(
        board,
        """
import prometheus_client as p, tallyboard
mine = p.CollectorRegistry()
private = p.Counter("app_p", "P.", ["l"], registry=mine)
shared = p.Counter("app_c", "C.", ["l"])
counted, replaced = [0] * THREADS, []
def act(number):
    if number == 0:
        while min(counted[1:]) < 100:
            pass
        replaced.append(tallyboard.install(os.environ["ADDRESS"]))
    while not replaced or counted[number] % 10:
        # A new child again and again, and no more of them than the arena takes.
        label = f"{number}-{min(counted[number] // 10, 500)}"
        private.labels(label).inc()
        shared.labels("x").inc()
        counted[number] += 1
    private.labels(f"{number}-more").inc()
at_once(act)
assert replaced == [[]]
total = sum(counted)
def of(registry):
    return {sample.labels["l"]: sample.value for metric in registry.collect()
            for sample in metric.samples if sample.name == "app_p_total"}
assert p.REGISTRY.get_sample_value("app_c_total", {"l": "x"}) == total
assert sum(of(mine).values()) == total + THREADS
assert of(p.REGISTRY) == of(mine), set(of(p.REGISTRY).items()) ^ set(of(mine).items())
""",
        TALLYBOARD="",
        ADDRESS=board.address,
    )


def test_a_private_metric_is_registered_with_the_service_while_threads_count(board):
    run(
        board,
        """
import collections
import prometheus_client as p
mine = p.CollectorRegistry()
l = p.Counter("app_l", "L.", ["l"], registry=mine)
h = p.Histogram("app_h", "H.", buckets=(1, 2, 3, 4, 5), registry=mine)
counted, registered = [0] * THREADS, []
def label(number, turn):
    # A new child again and again, and no more of them than the arena takes.
    return f"{number}-{min(turn // 10, 1000)}"
def act(number):
    if number == 0:
        while min(counted[1:]) < 100:
            pass
        for metric in (l, h):
            p.REGISTRY.register(metric)
        registered.append(True)
    while not registered:
        l.labels(label(number, counted[number])).inc()
        l.labels("all").inc()
        h.observe(9, exemplar={"thread": str(number)})
        counted[number] += 1
at_once(act)
total = sum(counted)
value = p.REGISTRY.get_sample_value
assert value("app_h_count") == total and value("app_h_sum") == 9 * total
expected = collections.Counter(
    label(number, turn) for number in range(THREADS) for turn in range(counted[number]))
(metric,) = p.REGISTRY.restricted_registry(["app_l_total"]).collect()
found = {sample.labels["l"]: sample.value for sample in metric.samples}
assert found.pop("all") == total
assert found == expected, set(found.items()) ^ set(expected.items())
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
assert ' # {thread="' in openmetrics(p.REGISTRY).decode()
""",
        TALLYBOARD_PRIVATE_REGISTRIES="1",
    )


def test_a_copy_of_a_metric_moves_with_it(board):
    run(
        board,
        """
import copy
import prometheus_client as p, tallyboard
c = p.Counter("app_c", "C.")
c.inc(2, exemplar={"trace": "x"})
held, copied = c._value, copy.copy(c)
assert tallyboard.install(os.environ["ADDRESS"]) == []
c.inc()
copied.inc()
assert p.REGISTRY.get_sample_value("app_c_total") == 4
assert held.get() == 4 and held.get_exemplar() == c._value.get_exemplar()
""",
        TALLYBOARD="",
        ADDRESS=board.address,
    )
