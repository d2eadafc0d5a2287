"""gunicorn as a service: on a socket that was passed, and by the units of the book under a systemd
that is the first process of a container."""

import os
import shutil
import signal
import socket
import struct
import sys
from pathlib import Path

import book
import pytest
from podman import Podman
from serving import HERE, Gunicorn, Process, free_port, samples, until

COUNTED = 'app_requests_total{route="/"}'
SHOP = "/srv/shop"
CONTROL = "unix:/run/tallyboard/shop.sock"


class Manager:
    """A service manager as far as a service sees it: a socket, and who says what there."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(path))
        self.socket.settimeout(60)

    def hear(self):
        """The next message, with the pid that sent it."""
        said, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
        return struct.unpack("3i", control[0][2])[0], said.decode()


class Activated(Gunicorn):
    """gunicorn under `exec`, on a socket that was passed."""

    def __init__(self, manager, *options):
        self.port, self.web = free_port(), free_port()
        variables = (f"NOTIFY_SOCKET={manager.path}", "PYTHONPATH", "PYTHONUNBUFFERED")
        Process.__init__(
            self,
            "systemd-socket-activate",
            *(word for variable in variables for word in ("--setenv", variable)),
            *("--listen", f"127.0.0.1:{self.port}"),
            *("tallyboard", "exec", "--web.listen-address", f"127.0.0.1:{self.web}", "--"),
            *("gunicorn", *options, "app:app"),
        )
        until(self._answers, self)


def test_gunicorn_serves_on_the_socket_that_was_passed_to_exec(tmp_path):
    manager = Manager(tmp_path / "notify")
    with Activated(manager, "-w", "2") as server:
        assert manager.hear() == (server.master(), "READY=1\nSTATUS=Gunicorn arbiter booted")
        for _ in range(2):
            assert server.load(100) == 100
            os.kill(server.worker(), signal.SIGKILL)
        assert server.samples()[COUNTED] == 200
        server.child.terminate()
        assert server.wait() == 0, server.said
        # Nobody else has the socket.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))


def test_each_master_of_gunicorn_says_itself_that_it_is_ready(tmp_path):
    manager = Manager(tmp_path / "notify")
    with Gunicorn("-w", "2", NOTIFY_SOCKET=str(manager.path)) as server:
        old = server.master()
        assert manager.hear()[0] == old
        # Told to `exec`, which tells the master.
        server.child.send_signal(signal.SIGUSR2)
        new, said = manager.hear()
        assert new != old and said.startswith("READY=1\n"), (new, old, said)
        os.kill(old, signal.SIGQUIT)
        until(lambda: "goes on as process" in server.said, server)
        assert (server.load(100), server.master()) == (100, new)
        assert server.samples()[COUNTED] == 100
        server.child.terminate()
        assert server.wait() == 0, server.said


class Systemd:
    """A container whose first process is systemd, with the programs of the host."""

    def __init__(self, podman):
        self.podman = podman
        self.root = podman.home / "root"
        own = ("etc/systemd/system", "usr/local/bin", "srv/shop", "tmp", "var/log", "proc", "sys", "dev")
        for directory in own:
            (self.root / directory).mkdir(parents=True)
        shutil.copy(Path(sys.prefix, "bin", "tallyboard"), self.root / "usr/local/bin")
        shutil.copy(HERE / "app.py", self.root / "srv/shop")
        (self.root / "srv/shop/venv").symlink_to(sys.prefix)
        (self.root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\n")
        # A machine that has one is not at its first start, when everything would be enabled.
        (self.root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
        self.unit("default.target", "[Unit]\nRequires=basic.target\nAfter=basic.target\n")

    def unit(self, name, text):
        path = self.root / "etc/systemd/system" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def start(self):
        shared = [sys.base_prefix, os.environ["TALLYBOARD_TEST_HOME"]]
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            host = Path("/", name)
            if host.is_symlink():
                (self.root / name).symlink_to(os.readlink(host))
            elif host.exists():
                shared.append(host)
        shared += [entry for entry in Path("/usr").iterdir() if entry.name != "local"]
        volumes = [f"--volume={path}:{path}:ro" for path in shared if Path(path) != Path("/usr")]
        self.podman(
            *("run", "--detach", "--name", "host", "--network=none", "--systemd=always"),
            *(*volumes, f"--env=PATH={SHOP}/venv/bin:/usr/bin:/bin:/sbin"),
            *("--rootfs", self.root, "/lib/systemd/systemd"),
        )
        until(self.is_up, "systemd")

    def is_up(self):
        try:
            return self.show("default.target", "ActiveState") == "active"
        except AssertionError:
            # It does not answer yet.
            return False

    def control(self, *words):
        return self.podman("exec", "host", "systemctl", *words)

    def show(self, unit, name):
        return self.control("show", "--value", "--property", name, unit).strip()

    @property
    def said(self):
        return self.podman("exec", "host", "journalctl", "--no-pager")

    def signal(self, pid, number):
        self.podman.python("host", f"import os; os.kill({pid}, {int(number)})")

    def answer(self, path):
        """What the application says."""
        return self.podman.get("host", 8000, path)[1]

    def load(self, requests):
        program = (
            "import http.client\n"
            f"for _ in range({requests}):\n"
            "    connection = http.client.HTTPConnection('127.0.0.1', 8000, timeout=60)\n"
            "    connection.request('GET', '/')\n"
            "    assert connection.getresponse().status == 200\n"
        )
        self.podman.python("host", program)

    def samples(self):
        return samples(self.podman.answers("host", 9500, "/metrics"))


@pytest.fixture
def systemd():
    with Podman() as podman:
        yield Systemd(podman)


def test_the_unit_of_the_page_runs_gunicorn_under_exec(systemd):
    service = "shop.service"
    for name in ("shop.socket", service):
        systemd.unit(name, book.shown(f"/etc/systemd/system/{name}"))
    systemd.start()
    systemd.control("start", "shop.socket")
    assert systemd.show(service, "ActiveState") == "inactive"
    systemd.load(50)
    until(lambda: systemd.show(service, "ActiveState") == "active", systemd)
    assert systemd.show(service, "StatusText") == "Gunicorn arbiter booted"
    assert systemd.answer("/master") != systemd.show(service, "MainPID")
    systemd.signal(systemd.answer("/pid"), signal.SIGKILL)
    systemd.control("reload", service)
    until(lambda: "Hang up: Master" in systemd.said, systemd)
    systemd.load(50)
    assert systemd.samples()[COUNTED] == 100
    systemd.control("stop", service)
    assert systemd.show(service, "Result") == "success"
    # The socket is systemd's, and starts the service again.
    systemd.load(50)
    assert systemd.samples()[COUNTED] == 50


def test_the_main_process_of_the_unit_stays_when_gunicorn_is_replaced(systemd):
    # gunicorn does not find passed sockets again on USR2, so it has its own here.
    text = book.shown("/etc/systemd/system/shop.service")
    own = text.replace("[Unit]\nRequires=shop.socket\n", "").replace("-w 4", "-b 127.0.0.1:8000 -w 4")
    assert "socket" not in own and "-b" in own
    systemd.unit("own.service", own)
    systemd.start()
    systemd.control("start", "own.service")
    main, old = systemd.show("own.service", "MainPID"), systemd.answer("/master")
    systemd.load(50)
    systemd.control("kill", "--kill-who=main", "--signal=USR2", "own.service")
    until(lambda: systemd.answer("/master") != old, "another master")
    systemd.signal(old, signal.SIGQUIT)
    until(lambda: "goes on as process" in systemd.said, systemd)
    systemd.load(50)
    assert systemd.samples()[COUNTED] == 100
    assert systemd.show("own.service", "MainPID") == main
    assert systemd.show("own.service", "ActiveState") == "active"
    systemd.control("stop", "own.service")
    assert systemd.show("own.service", "Result") == "success"


COUNTING = """
import prometheus_client, signal
counter = prometheus_client.Counter("app_requests_total", "Requests.", ["route"])
counter.labels("/").inc(1000)
signal.pause()
"""


@pytest.mark.parametrize("backing", ["posix", "memfd"])
def test_the_unit_of_the_page_runs_serve(systemd, backing):
    service = "tallyboard.service"
    systemd.unit(service, book.shown(f"/etc/systemd/system/{service}"))
    # A stopped process does not end by the watchdog's signal, and in a container systemd may not
    # hear that the last process has ended: it goes on after this time.
    faster = "[Service]\nWatchdogSec=1\nTimeoutStopSec=1\nTimeoutAbortSec=1\n"
    systemd.unit(f"{service}.d/faster.conf", faster + f"Environment=TALLYBOARD_BACKING={backing}\n")
    systemd.start()
    # It comes back when the service says that it is ready.
    systemd.control("start", service)
    assert systemd.show(service, "ActiveState") == "active"
    assert systemd.show(service, "NFileDescriptorStore") == str(int(backing == "memfd"))
    variable = f"TALLYBOARD={CONTROL}"
    systemd.podman("exec", "--detach", "--env", variable, "host", "python3", "-c", COUNTING)
    until(lambda: systemd.samples().get(COUNTED) == 1000, "a thousand")

    systemd.control("kill", "--kill-who=all", "--signal=KILL", service)
    restarted(systemd, service, 1)
    assert systemd.samples()[COUNTED] == 1000
    assert systemd.show(service, "NFileDescriptorStore") == str(int(backing == "memfd"))

    # A supervisor that hangs, beside a keeper that does not.
    main = systemd.show(service, "MainPID")
    children = f"/proc/{main}/task/{main}/children"
    systemd.signal(systemd.podman("exec", "host", "cat", children).strip(), signal.SIGSTOP)
    restarted(systemd, service, 2)
    assert "Watchdog timeout" in systemd.said
    assert systemd.samples()[COUNTED] == 1000
    systemd.control("stop", service)
    assert systemd.show(service, "Result") == "success"


def restarted(systemd, service, times):
    def is_restarted():
        restarts, state = (systemd.show(service, name) for name in ("NRestarts", "ActiveState"))
        return (restarts, state) == (str(times), "active")

    until(is_restarted, systemd)
