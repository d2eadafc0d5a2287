"""A command of root's whose processes become another user, as servers do that bind a port first."""

import os
import sys

import pytest
from serving import Process, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other users: only root can become one")

EXEC = ("tallyboard", "exec", "--web.listen-address", "none", "--log.level", "error")
PROGRAM = """
import os, sys
import prometheus_client as p

c = p.Counter("app_c", "C.", ["who"])

def as_another(act):
    pid = os.fork()
    if pid == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            act()
        except BaseException as error:
            print("failed:", error, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)

def count():
    c.labels("another").inc(2)
    page = p.generate_latest().decode()
    assert 'app_c_total{who="another"} 2.0\\n' in page, page
    print("counted", flush=True)
"""


def run(*command, **variables):
    with Process(*command, **variables) as process:
        assert process.wait() == 0, process.said
        return process.said


def test_what_a_command_of_root_has_started_counts_whoever_it_becomes():
    program = f"""{PROGRAM}
c.labels("root").inc()
as_another(count)
as_another(lambda: as_another(lambda: c.labels("another").inc()))
page = p.generate_latest().decode()
assert 'app_c_total{{who="another"}} 3.0\\n' in page and 'app_c_total{{who="root"}} 1.0\\n' in page, page
"""
    assert run(*EXEC, "--", sys.executable, "-c", program) == "counted\n"


def test_a_stranger_is_refused_where_the_users_of_a_command_are_not():
    waits = f"""{PROGRAM}
import signal
as_another(count)
print(os.environ["TALLYBOARD"], flush=True)
signal.pause()
"""
    stranger = f"{PROGRAM}\nas_another(count)"
    with Process(*EXEC, "--", sys.executable, "-c", waits) as process:
        until(lambda: "unix:" in process.said, process)
        assert process.said.startswith("counted\n"), process.said
        said = run(sys.executable, "-c", stranger, TALLYBOARD=process.said.split()[-1])
        assert "counted" not in said and "--worker-uid 65534" in said, said


def test_who_is_named_is_admitted_and_nobody_else():
    program = f"{PROGRAM}\nas_another(count)"
    for uid, expect in [("65534", "counted\n"), ("65533", "--worker-uid 65534")]:
        said = run(*EXEC, "--worker-uid", uid, "--", sys.executable, "-c", program)
        assert expect in said, said
