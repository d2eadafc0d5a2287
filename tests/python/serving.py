"""Real servers under a supervisor, requests to them, and what the supervisor says of both."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: Nothing here takes as long; what does hangs.
PATIENCE_S = 60


def needs(package):
    """A test of what some interpreters have no package of; it is said when it is not run."""
    is_missing = package in os.environ.get("TALLYBOARD_TEST_WITHOUT", "").split()
    version = sys.version.partition(" (")[0]
    reason = f"{package}: its package does not install under {version}"
    return pytest.mark.skipif(is_missing, reason=reason)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment(**variables):
    clean = {name: value for name, value in os.environ.items() if "TALLYBOARD" not in name}
    return clean | {"PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"} | variables


def until(condition, what, patience=PATIENCE_S):
    """Asks until it holds; fails when it does not for as long as nothing takes. `what` may be a
    process, which has said why."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        said = getattr(what, "said", what)
        assert time.monotonic() < deadline, f"{said} did not come about"
        time.sleep(0.01)
    return found


def session(leader):
    """The processes that are left of what a session leader began."""
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.getsid(int(entry)) == leader and int(entry) != leader:
                yield int(entry)
        except ProcessLookupError:
            pass


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def samples(page):
    """The samples of a text page by name with labels. No two are the same series."""
    found = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, f"{name} stands twice"
            found[name] = float(value)
    return found


class Process:
    """A program in a session of its own, ended with everything that it started."""

    stop_signal = signal.SIGTERM

    def __init__(self, *command, cwd=None, **variables):
        self.output = []
        self.child = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.output.append(line)

    @property
    def said(self):
        return "".join(self.output)

    def wait(self):
        status = self.child.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.send_signal(self.stop_signal)
        try:
            self.child.wait(PATIENCE_S)
        finally:
            for pid in session(self.child.pid):
                os.kill(pid, signal.SIGKILL)


class Board(Process):
    """`tallyboard serve`, with its address and its page."""

    def __init__(self, *options):
        name = f"python-{os.getpid()}-{os.urandom(4).hex()}"
        self.address = f"unix:@tallyboard/{name}"
        self.object = f"/dev/shm/tallyboard-{os.geteuid()}-{name}"
        self.port = free_port()
        listen = f"127.0.0.1:{self.port}"
        super().__init__(
            "tallyboard",
            "serve",
            "--name",
            name,
            "--control",
            self.address,
            "--web.listen-address",
            listen,
            *options,
        )
        until(lambda: "is ready" in self.said, "a supervisor")

    def __exit__(self, *exception):
        super().__exit__(*exception)
        # While a worker lives it is kept for the next supervisor of its name, which never comes.
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.object)

    def samples(self):
        status, page = get(self.port, "/metrics")
        assert status == 200, page
        return samples(page)

    def run(self, program, **variables):
        """Runs a program of Python in a process of its own, and gives what it said."""
        command = [sys.executable, "-c", program]
        variables = {"TALLYBOARD": self.address} | variables
        with Process(*command, **variables) as process:
            status = process.wait()
            assert status == 0, process.said
            return process.said


class Gunicorn(Process):
    """gunicorn with the application of these tests, under `tallyboard exec`."""

    def __init__(self, *options, under=("tallyboard", "exec"), app="app:app", **variables):
        self.port, self.web = free_port(), free_port()
        listen = ("--web.listen-address", f"127.0.0.1:{self.web}", "--") if under else ()
        bind = f"127.0.0.1:{self.port}"
        super().__init__(*under, *listen, "gunicorn", "-b", bind, *options, app, **variables)
        until(self._answers, self)

    def _answers(self):
        try:
            return get(self.port, "/ready")[0] == 200
        except OSError:
            assert self.child.poll() is None, self.said
            return False

    def samples(self):
        return samples(get(self.web, "/metrics")[1])

    def worker(self):
        """The pid of some worker, as it says itself."""
        return int(get(self.port, "/pid")[1])

    def master(self):
        return int(get(self.port, "/master")[1])

    def load(self, requests, threads=4, path="/"):
        """Sends requests from a few threads, each once; gives how many were answered."""
        answered = [0] * threads

        def send(thread):
            for _ in range(requests // threads):
                try:
                    answered[thread] += get(self.port, path)[0] == 200
                except (OSError, http.client.HTTPException):
                    # Its worker was killed: nobody knows whether it was counted before.
                    pass

        senders = [threading.Thread(target=send, args=(thread,)) for thread in range(threads)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        return sum(answered)


class Watch(threading.Thread):
    """Scrapes all the time, and remembers what went down."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.fallen, self.scrapes = server, [], 0
        self._end = threading.Event()

    def run(self):
        before = {}
        while not self._end.is_set():
            now = {
                name: value
                for name, value in self.server.samples().items()
                if name.startswith("app_requests")
            }
            self.fallen += [name for name, value in before.items() if now.get(name, -1) < value]
            before, self.scrapes = now, self.scrapes + 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self.join(PATIENCE_S)
        assert self.scrapes and not self.fallen, (self.scrapes, self.fallen)
