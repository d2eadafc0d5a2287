"""The directory that PROMETHEUS_MULTIPROC_DIR names where the user names none: whatever is done with
it harms nothing, and nothing of it is left."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile

import pytest
from serving import Board, Process, until

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PROGRAM = f"""
import os, shutil, signal, subprocess, sys
import prometheus_client as p
from prometheus_client import multiprocess
name = {VARIABLE!r}
"""


class Place:
    """A runtime directory, and programs that have it."""

    def __init__(self, path, board):
        path.mkdir(mode=0o700)
        self.path, self.board = path, board

    def names(self):
        return sorted(os.listdir(self.path))

    def start(self, program, **variables):
        variables = {"TALLYBOARD": self.board.address, "XDG_RUNTIME_DIR": str(self.path)} | variables
        return Process(sys.executable, "-c", PROGRAM + program, **variables)

    def run(self, program, **variables):
        """Runs a program to its end, and gives what it said."""
        with self.start(program, **variables) as process:
            status = process.wait()
            assert status == 0, process.said
            return process.said

    @contextlib.contextmanager
    def waiting(self, program):
        """A program that has done something, and goes on until it is killed."""
        with self.start(f"{program}\nprint('waits', flush=True)\nsignal.pause()") as process:
            until(lambda: "waits\n" in process.output, process)
            yield process


@pytest.fixture(scope="module")
def shared():
    with Board() as board:
        yield board


@pytest.fixture
def place(tmp_path, shared):
    """A directory in which nothing is left."""
    place = Place(tmp_path / "runtime", shared)
    yield place
    assert place.names() == []


def kill(process):
    process.child.send_signal(signal.SIGKILL)
    process.wait()


def test_it_is_made_for_the_user_alone_when_it_is_asked_for(place):
    place.run(
        f"""
p.Counter("app_c", "C.").inc()
assert os.listdir({str(place.path)!r}) == []
path = os.environ[name]
assert path.startswith({str(place.path)!r}) and os.listdir(path) == []
assert os.stat(path).st_mode & 0o7777 == os.stat(os.path.dirname(path)).st_mode & 0o7777 == 0o700
assert os.getenv(name) == os.environ.get(name) == path == os.fsdecode(os.environb[name.encode()])
""",
    )


@pytest.mark.parametrize(
    "wipe",
    [
        "shutil.rmtree(path)",
        "shutil.rmtree(path, ignore_errors=True); os.makedirs(path)",
        "shutil.rmtree(path); os.mkdir(os.environ[name])",
        "os.makedirs(path, exist_ok=True); os.rmdir(path)",
        "open(os.path.join(path, 'counter_1.db'), 'w').close()\n"
        "for found in os.listdir(path): os.remove(os.path.join(path, found))",
        "del os.environ[name]",
    ],
)
def test_it_may_be_wiped(place, wipe):
    counter = f"app_c_{os.urandom(4).hex()}"
    place.run(
        f"""
path = os.environ[name]
{wipe}
c = p.Counter({counter!r}, "C.")
pid = os.fork()
c.inc()
if pid == 0:
    if name in os.environ:
        shutil.rmtree(os.environ[name], ignore_errors=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
registry = p.CollectorRegistry()
if name in os.environ:
    multiprocess.MultiProcessCollector(registry)
else:
    registry = p.REGISTRY
assert b"{counter}_total 2" in p.generate_latest(registry)
multiprocess.mark_process_dead(pid)
"""
    )
    assert place.board.samples()[f"{counter}_total"] == 2


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run(child)",
        "subprocess.run(child, env={**os.environ, 'PURPOSE': 'backup'})",
        "subprocess.run(child, env=os.environ)",
        "subprocess.run(child, env=os.environ.copy() | {'PURPOSE': 'backup'})",
        "subprocess.run(child, env=os.environ | {'PURPOSE': 'backup'})",
        "subprocess.run(child, env=dict(os.environ.items()))",
        "subprocess.run(child, env=dict(os.environb))",
        "os.waitpid(os.posix_spawn(child[0], child, os.environ), 0)",
        "os.spawnve(os.P_WAIT, child[0], child, os.environ)",
        "os.fork() or os.execve(child[0], child, os.environ); os.wait()",
        "os.environ[name] = os.environ[name]; subprocess.run(child)",
    ],
)
def test_no_program_that_is_started_is_told_of_it(place, start):
    said = place.run(
        f"""
path, seen = os.environ[name], dict(os.environ)
assert name not in seen and len(seen) == len(os.environ)
# Not under Tallyboard: what it finds is what it believes.
os.environ["TALLYBOARD_DISABLE"] = "1"
child = [sys.executable, "-c", '''
import os
from prometheus_client import Counter, values
Counter("backups", "Backups.").inc()
print(values.ValueClass.__name__, os.environ.get("{VARIABLE}"))
''']
{start}
assert os.listdir(path) == []
""",
    )
    assert said == "MutexValue None\n"


def test_a_program_that_is_told_of_it_counts_there_and_harms_nobody(place):
    said = place.run(
        """
child = [sys.executable, "-c", '''
import os
from prometheus_client import Counter, values
Counter("backups", "Backups.").inc()
print(values.ValueClass.__name__)
''']
told = {**os.environ, name: os.environ[name]}
subprocess.run(child, env={**told, "TALLYBOARD_DISABLE": "1"}, check=True)
# Under Tallyboard it is known not to be the user's.
child[-1] += "assert os.environ[%r] != %r" % (name, os.environ[name])
subprocess.run(child, env=told, check=True)
""",
    )
    assert said == "MmapedValue\nSharedValue\n"


def test_processes_that_are_forked_have_it_together_and_the_last_removes_it(place):
    place.run(
        """
path = os.environ[name]
gone, ended = os.pipe()
if os.fork() == 0:
    os.close(ended)
    os.read(gone, 1)
    assert os.environ[name] == path and os.listdir(path) == []
""",
    )
    until(lambda: place.names() == [], "the end of a child")


def test_what_a_killed_process_leaves_is_swept_by_the_next(place):
    with place.waiting("os.environ[name]") as process:
        kill(process)
    (left,) = place.names()
    assert left.startswith(f"tallyboard-{os.geteuid()}-{process.child.pid}-")
    place.run(f"os.environ[name]; assert {left!r} not in os.listdir({str(place.path)!r})")


def test_nothing_is_left_of_a_command_whose_processes_are_killed(place):
    program = f"""{PROGRAM}
if os.fork() == 0:
    os.environ[name]
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
print(os.listdir(os.environ["XDG_RUNTIME_DIR"]))
os.environ[name]
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = ["tallyboard", "exec", "--web.listen-address", "none", "--log.level", "error", "--"]
    command += [sys.executable, "-c", program]
    with Process(*command, XDG_RUNTIME_DIR=str(place.path)) as process:
        assert process.wait() == 128 + signal.SIGKILL
        assert process.said.startswith("['tallyboard-"), process.said
    assert place.names() == []


def test_nothing_is_swept_that_is_not_shown_to_be_left(place):
    uid, start = os.geteuid(), 12345
    kept = {
        # Another user's, by its name and by its owner's modes.
        f"tallyboard-{uid + 1}-999999-{start}": lambda path: path.mkdir(mode=0o700),
        f"tallyboard-{uid}-999998-{start}": lambda path: path.mkdir(mode=0o755),
        f"tallyboard-{uid}-999997-{start}": lambda path: path.write_text("a file"),
        f"tallyboard-{uid}-999996-{start}": lambda path: path.symlink_to("/etc"),
        f"tallyboard-{uid}-999995": lambda path: path.mkdir(mode=0o700),
        "tallyboard-shop": lambda path: path.mkdir(mode=0o700),
    }
    for name, make in kept.items():
        make(place.path / name)
    # One whose maker has lost its lock, and one whose maker is dead but not what it has forked.
    alive = "[os.environ[name]]; os.closerange(3, 1000)"
    forked = "os.environ[name]; print(os.getpid(), flush=True)\nif os.fork(): os._exit(0)"
    with place.waiting(alive) as closed, place.waiting(forked) as child:
        maker = int(child.output[0])
        until(lambda: not os.path.exists(f"/proc/{maker}/fd/0"), "the end of a maker")
        before = place.names()
        assert len(before) == len(kept) + 2
        place.run("os.environ[name]")
        assert place.names() == before
        kill(closed)
    for name in kept:
        path = place.path / name
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    place.run("os.environ[name]")


@pytest.mark.skipif(os.geteuid() != 0, reason="other users: only root can become one")
def test_a_process_that_becomes_another_user_has_one_of_its_own(place):
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        os.chmod(temporary, 0o1777)
        place.run(
            f"""
mine = os.environ[name]
pid = os.fork()
if pid == 0:
    os.setgid(65534); os.setuid(65534)
    path = os.environ[name]
    assert path != mine and path.startswith({temporary!r}) and os.stat(path).st_uid == 65534
    shutil.rmtree(path)
    os.mkdir(path)
    p.Counter("app_other", "C.").inc()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert os.listdir(mine) == []
""",
            TMPDIR=temporary,
        )
        assert os.listdir(temporary) == []


def test_where_nothing_can_be_written_the_variable_is_not_set(board):
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    seal = "for place in /tmp /var/tmp /run; do mount --rbind $place $place && mount -o remount,bind,ro $place || exit; done"
    if subprocess.run([*unshare, seal], capture_output=True).returncode:
        pytest.skip("no writable directory: this kernel or container lets nobody mount")
    program = f"""{PROGRAM}
assert name not in os.environ and os.environ.get(name) is None
p.Counter("app_c", "C.").inc()
"""
    command = [*unshare, f'{seal}; exec "$0" -c "$1"', sys.executable, program]
    with Process(*command, TALLYBOARD=board.address, XDG_RUNTIME_DIR="") as process:
        assert process.wait() == 0, process.said
    assert board.samples()["app_c_total"] == 1


def test_the_environment_is_as_it_was(place):
    place.run(
        """
assert not os.listdir(os.environ["XDG_RUNTIME_DIR"])
before = dict(os.environ)
os.environ["SHOP"] = "1"
assert os.environ.pop("SHOP") == "1" and "SHOP" not in os.environ
assert dict(os.environ) == before and list(os.environ) == list(before)
try:
    os.environ["SHOP"]
    raise SystemExit("a variable that is not set")
except KeyError as error:
    assert error.args == ("SHOP",)
try:
    os.environ[1]
    raise SystemExit("a variable without a name")
except TypeError:
    pass
os.environ.clear()
assert not os.environ and name not in os.environ
""",
    )


def test_another_directory_is_the_users_from_then_on(place, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    said = place.run(
        f"""
os.environ[name] = {str(mine)!r}
assert os.environ[name] == {str(mine)!r} == os.environ.copy()[name]
subprocess.run(["printenv", name])
p.Counter("app_c", "C.").inc()
""",
    )
    assert said == f"{mine}\n" and os.listdir(mine) == []
