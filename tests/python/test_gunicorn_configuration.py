"""gunicorn with the configuration `tallyboard.gunicorn`, which runs a supervisor beside it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Gunicorn, Process, environment, free_port, get, until

COUNTED = 'app_requests_total{route="/"}'
MODULE = ("-c", "python:tallyboard.gunicorn")
PRELOAD = pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each", "preload"])


class Configured(Gunicorn):
    """gunicorn with a configuration, and what its arena is."""

    def __init__(self, *options, configuration=MODULE, **variables):
        super().__init__(*configuration, "-w", "2", *options, under=(), **variables)
        self.first = self.master()
        self.arena = arena(self.first)
        assert self.arena, self.said

    def supervises(self):
        return not is_gone(self.arena["keeper_pid"]) or not is_gone(self.arena["supervisor_pid"])

    def page(self):
        return get(self.port, "/metrics")[1]

    def __exit__(self, *failure):
        super().__exit__(*failure)
        # Whoever it was that ended, and in whatever order.
        until(lambda: not self.supervises(), "the end of the supervisor")
        assert arena(self.first) is None
        assert not [name for name in os.listdir("/dev/shm") if f"gunicorn-{self.first}" in name]


def arena(master):
    """What `tallyboard ls` says of the arena of a master."""
    said = subprocess.run(
        ["tallyboard", "ls", "--json"], check=True, capture_output=True, env=environment()
    )
    arenas = [a for a in json.loads(said.stdout) if a["name"] == f"gunicorn-{master}"]
    assert len(arenas) < 2, arenas
    return arenas[0] if arenas else None


def is_gone(pid):
    """Whether a process has ended; who started it may not have asked yet."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def links(pid):
    """What the descriptors of a process are of."""
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except FileNotFoundError:
            pass


def ports(pid):
    """The TCP ports that a process listens on."""
    inodes = {link[8:-1] for link in links(pid) if link.startswith("socket:[")}
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}") as file:
            for fields in map(str.split, list(file)[1:]):
                if fields[3] == "0A" and fields[9] in inodes:
                    yield int(fields[1].rpartition(":")[2], 16)


def replace_master(server, old, ends):
    """Has a master replaced on USR2, and one of the two ended; gives the other one."""
    masters = server.said.count("Listening at")
    os.kill(old, signal.SIGUSR2)
    until(lambda: server.said.count("Listening at") == masters + 1, server)
    new = int(server.said.rpartition("Listening at")[2].partition("(")[2].partition(")")[0])
    until(lambda: {server.master() for _ in range(20)} == {old, new}, "workers of both")
    if ends == "old":
        promoted = server.said.count("promoted")
        os.kill(old, signal.SIGQUIT)
        # Until then it ignores a further USR2.
        until(lambda: server.said.count("promoted") == promoted + 1, server)
        return new
    os.kill(new, signal.SIGQUIT)
    until(lambda: not os.path.exists(f"/proc/{new}"), "the end of a master")
    return old


@PRELOAD
def test_it_is_all_that_gunicorn_needs(preload):
    with Configured(*preload) as server:
        assert server.load(200) == 200
        os.kill(server.worker(), signal.SIGKILL)
        assert f"{COUNTED} 200.0\n" in server.page()
        old = server.worker()
        os.kill(server.first, signal.SIGHUP)
        until(lambda: is_gone(old), "the end of a worker")
        assert server.load(200) == 200
        assert f"{COUNTED} 400.0\n" in server.page()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first", "last"])
@PRELOAD
def test_the_order_of_imports_in_a_configuration_does_not_matter(tmp_path, order, preload):
    imports = ("from tallyboard.gunicorn import *", "from prometheus_client import multiprocess")
    configuration = tmp_path / "gunicorn.conf.py"
    lines = [imports[at] for at in order]
    lines += ["def child_exit(server, worker):", "    multiprocess.mark_process_dead(worker.pid)"]
    configuration.write_text("\n".join(lines))
    with Configured(*preload, configuration=("-c", configuration)) as server:
        assert server.load(60) == 60
        assert {f"{COUNTED} 60.0\n" in server.page() for _ in range(6)} == {True}


@pytest.mark.parametrize(
    "name, preload",
    [
        ("SIGTERM", ()),
        ("SIGTERM", ("--preload",)),
        ("SIGINT", ("--preload",)),
        ("SIGQUIT", ()),
        ("SIGKILL", ("--preload",)),
    ],
)
def test_it_leaves_nothing(name, preload):
    with Configured(*preload) as server:
        assert server.load(20) == 20
        keeper = server.arena["keeper_pid"]
        assert server.arena["backing"] == "memfd"
        assert not [link for link in links(keeper) if link.startswith("/dev/shm")]
        os.kill(server.first, getattr(signal, name))
        server.wait()


@pytest.mark.parametrize("ends, preload", [("old", ()), ("new", ("--preload",))])
def test_counts_go_on_in_the_master_that_replaces_another(ends, preload):
    with Configured(*preload) as server:
        assert server.load(40) == 40
        master = server.first
        for turn in (1, 2):
            master = replace_master(server, master, ends)
            assert server.load(40) == 40
            assert f"{COUNTED} {40 * (turn + 1)}.0\n" in server.page()
            assert arena(master) is None or master == server.first
        os.kill(master, signal.SIGTERM)
        until(lambda: is_gone(master), "the end of the last master")


def test_a_master_in_the_background_has_a_supervisor(tmp_path):
    port, pidfile = free_port(), tmp_path / "pid"
    bind = f"127.0.0.1:{port}"
    command = ["gunicorn", *MODULE, "-b", bind, "--daemon", "--pid", pidfile, "app:app"]
    with Process(*command) as process:
        assert process.wait() == 0, process.said
    until(lambda: pidfile.exists() and pidfile.read_text().strip(), "a pid file")
    master = int(pidfile.read_text())
    try:
        until(lambda: is_answered(port), "a server in the background")
        assert f"{COUNTED} 1.0\n" in get(port, "/metrics")[1]
        assert arena(master)
    finally:
        os.kill(master, signal.SIGTERM)
    until(lambda: is_gone(master), "the end of a master")
    until(lambda: arena(master) is None, "the end of the supervisor")


def is_answered(port):
    try:
        return get(port, "/")[0] == 200
    except OSError:
        return False


def test_it_listens_only_where_it_is_told_to():
    web = free_port()
    for listen, expect in [({}, set()), ({"TALLYBOARD_WEB_LISTEN_ADDRESS": f"127.0.0.1:{web}"}, {web})]:
        with Configured(**listen) as server:
            assert server.load(20) == 20
            processes = (server.arena["keeper_pid"], server.arena["supervisor_pid"])
            assert {port for pid in processes for port in ports(pid)} == expect
            for port in expect:
                assert f"{COUNTED} 20\n" in get(port, "/metrics")[1]


def test_an_address_that_is_taken_is_tried_again():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        web = taken.getsockname()[1]
        with Configured(TALLYBOARD_WEB_LISTEN_ADDRESS=f"127.0.0.1:{web}") as server:
            assert server.load(20) == 20
            assert f"{COUNTED} 20.0\n" in server.page()
            taken.close()
            until(lambda: is_scraped(web), "metrics at an address that was taken")


def is_scraped(port):
    try:
        return f"{COUNTED} 20\n" in get(port, "/metrics")[1]
    except OSError:
        return False


def test_its_arena_is_found_by_name():
    with Configured() as server:
        assert server.load(20) == 20
        name = f"gunicorn-{server.first}"
        for command, expect in [("scrape", f"{COUNTED} 20\n"), ("slots", str(server.worker()))]:
            found = subprocess.run(
                ["tallyboard", command, "--name", name], capture_output=True, env=environment()
            )
            assert expect in found.stdout.decode(), found


def test_what_a_service_manager_gives_is_gunicorns(tmp_path):
    told = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(told)
        # Flags of a supervisor that is gone on with are of no use here, and do no harm.
        with Configured(NOTIFY_SOCKET=told, TALLYBOARD_KEEP_ARENA="1") as server:
            assert manager.recv(4096).startswith(b"READY=1\nSTATUS=Gunicorn")
            assert server.load(20) == 20
            manager.setblocking(False)
            with pytest.raises(BlockingIOError):
                manager.recv(4096)


def test_a_configuration_that_is_only_read_starts_nothing():
    command = ["gunicorn", *MODULE, "--check-config", "app:app"]
    with Process(*command) as process:
        assert process.wait() == 0, process.said
        assert arena(process.child.pid) is None
    program = "import os, tallyboard.gunicorn; assert 'TALLYBOARD' not in os.environ"
    subprocess.run([sys.executable, "-c", program], check=True, env=environment())


def test_without_its_program_the_application_runs_and_it_is_said(tmp_path):
    configuration = tmp_path / "gunicorn.conf.py"
    configuration.write_text(
        "import sysconfig\nsysconfig.get_path = lambda name: '/nowhere'\n"
        "from tallyboard.gunicorn import *\n"
    )
    gunicorn, path = shutil.which("gunicorn"), os.environ["PATH"]
    clean = [folder for folder in path.split(":") if not (Path(folder) / "tallyboard").exists()]
    port = free_port()
    command = [gunicorn, "-c", configuration, "-b", f"127.0.0.1:{port}", "app:app"]
    with Process(*command, PATH=":".join(clean)) as process:
        until(lambda: is_answered(port), process)
        assert "no supervisor" in process.said and "is installed" in process.said
        assert 'app_requests_total{route="/"}' in get(port, "/metrics")[1]
