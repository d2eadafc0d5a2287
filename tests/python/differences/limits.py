"""What an arena has no room for."""

LIMITS = {
    "Label sets of a metric": (
        'c = p.Counter("app_c", "C.", ["l"])\nfor label in range(10_001): c.labels(label).inc()\n'
        "say(len(service()))",
        10_001,
        10_000,
    ),
    "Series of all metrics": (
        """
c = p.Counter("app_c", "C.", ["l"])
for label in range(9_000):
    c.labels(label).inc()
dropped = sum(int(line.split()[-1]) for line in service("tallyboard_dropped") if '"full"' in line)
say((len(service()) == 9_000, len(service()) + dropped))
""",
        (True, 9_000),
        (False, 9_000),
    ),
    "Processes that count at once": (
        """
c = p.Counter("app_c", "C.", registry=None)
import signal
def fork():
    begun = os.pipe()
    pid = os.fork()
    if pid == 0:
        c.inc()
        os.write(begun[1], b"x")
        # Nobody is left if the test fails.
        signal.alarm(60)
        signal.pause()
    os.read(begun[0], 1)
    return pid
def end(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
children = [fork() for _ in range(12)]
say(service())
# Those end first that have no place, all but one.
end(*children[8:])
end(children[0])
wait(lambda: service() == ["app_c_total 8"])
end(*children[1:8])
say(service())
""",
        [["app_c_total 12"], ["app_c_total 12"]],
        # The process that asks has a place too.
        [["app_c_total 7"], ["app_c_total 8"]],
    ),
    "Names of more than 256 bytes, help texts and label values of more than 4,096": (
        """
c = p.Counter("app_c", "C.", ["l"])
for size in (4096, 4097):
    c.labels("x" * size).inc()
    p.Counter(f"app_h{size}", "h" * size).inc()
for size in (256, 257):
    p.Counter("app_n".ljust(size, "n"), "D.").inc()
say([len(service("app_" + name)) for name in "chn"])
""",
        [2, 2, 2],
        [1, 1, 1],
    ),
    "More than 64 labels of a metric, or 512 bounds": (
        """
for size in (64, 65):
    p.Counter(f"app_l{size}", "L.", [f"l{number}" for number in range(size)]).labels(*range(size)).inc()
for size in (512, 513):
    p.Histogram(f"app_h{size}", "H.", buckets=range(size)).observe(1)
say([len(service("app_l")), len(service("app_h"))])
""",
        [2, 512 + 3 + 513 + 3],
        [1, 512 + 3],
    ),
    "Label values that are not UTF-8 (lone surrogates)": (
        r"""
c = p.Counter("app_c", "C.", ["l"])
c.labels("x").inc()
c.labels("\udc80").inc()
try:
    say(service())
except UnicodeEncodeError:
    say("no page")
""",
        "no page",
        ['app_c_total{l="x"} 1'],
    ),
    "Two names that are one with underscores (`a.b`, `a_b`)": (
        'p.Counter("app.c", "C.").inc()\np.Counter("app_c", "C.").inc(2)\nsay(service("app_c"))',
        ["app_c_total 1", "app_c_total 2"],
        ["app_c_total 3"],
    ),
    "Names with a colon, in OpenMetrics": (
        r"""
p.Counter("app_x:y", "C.").inc()
say([line for line in lines("app_x", page_of(openmetrics)) if "_created" not in line])
""",
        ["app_x_y_total 1"],
        ["app_x:y_total 1"],
    ),
    "Names with a NUL, and names that begin with `tallyboard_`": (
        r"""
p.Counter("tallyboard_c", "C.").inc()
p.Counter("app_c\0", "C.").inc()
say([service("tallyboard_c_"), service("app_c")])
""",
        [["tallyboard_c_total 1"], ["app_c__total 1"]],
        [[], []],
    ),
}
