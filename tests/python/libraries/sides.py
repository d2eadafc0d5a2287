"""An application under a real server, on either side: plain prometheus_client, or one word before
the same command."""

import http.client
import os
import signal
import socket
import struct
import time
from pathlib import Path

import pages
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from serving import PATIENCE_S, Process, free_port, get, session, until

APPLICATIONS = Path(__file__).parent / "applications"
#: What is answered has been counted long before; what collectors say is asked for every 5 seconds.
COUNTED_S = 60
#: A library counts an answer in several metrics, some of them after the answer has been sent.
SETTLED_S = 0.2
COUNTS = "(?!tallyboard_|process_|python_).*_(total|count)"
#: Some import for half a minute.
START_S = 240


class Side(Process):
    """The application of a library, started as its documentation says."""

    #: Whether its workers are killed.
    is_killed = True

    def __init__(self, library, folder, broker, **variables):
        self.library, self.folder, self.broker = library, folder, broker
        folder.mkdir(exist_ok=True)
        self.ports = {name: free_port() for name in ("port", "metrics", "web")}
        self.stop_signal = library.stop_signal
        #: How many requests or messages the library has counted, if none is lost or counted twice.
        self.expected = 0
        self.killed = 0
        programs = library.environment / "bin"
        command = self.command().format(python=programs / "python", **self.ports)
        given = {name: value.format(**self.ports) for name, value in library.variables.items()}
        given |= {
            "BROKER": broker,
            "HOME": str(folder),
            "METRICS_PORT": str(self.ports["metrics"]),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PORT": str(self.ports["port"]),
            "PYTHONPATH": str(APPLICATIONS),
            "TMPDIR": str(folder),
        }
        super().__init__("sh", "-c", f"exec {command}", cwd=APPLICATIONS, **given, **variables)

    def command(self):
        return self.library.command

    def __enter__(self):
        until(self._listens, self, START_S)
        return self

    @property
    def tail(self):
        """What the program has said last."""
        return "".join(self.output[-20:])

    def _listens(self):
        assert self.child.poll() is None, self.tail
        if self.library.is_ready:
            return self.library.is_ready in self.said
        return is_listening(self.ports["port"])

    def ask(self, method, path, body=None):
        """Status and text of an answer; where there is none the status is 0, and the text says why."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["port"], timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, dict(self.library.headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            connection.close()

    def until_counted(self):
        """Waits until all is counted that was answered, and whatever a library counts after that;
        no more than that is ever counted."""
        deadline = time.monotonic() + COUNTED_S
        counted = all_counts = before = None
        while counted != self.expected or all_counts != before:
            assert time.monotonic() < deadline, (
                f"{self.library.counted}: expected {self.expected}, found {counted}\n{self.tail}"
            )
            if counted == self.expected:
                time.sleep(SETTLED_S)
            try:
                page = pages.lines(self.service())
            except (OSError, struct.error):
                # A file that is being made, or was removed as it was to be read.
                continue
            counted = pages.total(page, self.library.counted)
            before, all_counts = all_counts, pages.total(page, COUNTS)

    def kill(self, pid):
        """Ends a worker on the spot, wherever it is."""
        os.kill(pid, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{pid}"), f"the end of {pid}")
        self.killed += 1

    def workers(self):
        """Processes that have no children, of this program."""
        found = {pid: _status(pid) for pid in session(self.child.pid)}
        parents = {status.get("PPid") for status in found.values()}
        return [
            pid
            for pid, status in found.items()
            if str(pid) not in parents and status.get("Name") != "tallyboard"
        ]

    def page(self):
        """The page as the library itself gives it."""
        port, path = self.library.page.split("/", 1)
        until(lambda: is_listening(self.ports[port]), self)
        status, page = get(self.ports[port], f"/{path}", **self.library.headers)
        assert status == 200, page
        return page


class WithFiles(Side):
    """Plain prometheus_client in its multiprocess mode."""

    def __init__(self, library, folder, broker):
        self._directory = folder / "files"
        self._directory.mkdir(parents=True)
        variables = {} if library.chooses_directory else _variables(self._directory)
        super().__init__(library, folder, broker, **variables)

    def command(self):
        return self.library.with_files or self.library.command

    def service(self):
        """What all files together say."""
        for file in self.folder.glob("**/*.db"):
            self._directory = file.parent
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._directory))
        return generate_latest(registry).decode()

    def page(self):
        return super().page() if self.library.has_page_with_files else self.service()


class Alone(Side):
    """One process of plain prometheus_client, which nobody kills: what files leave out, it has."""

    is_killed = False

    def command(self):
        return self.library.command.replace(" -w 2 ", " -w 1 ")

    def service(self):
        """What that one process says."""
        return self.page()


class UnderTallyboard(Side):
    """The same, with one word before the command."""

    def __init__(self, library, folder, broker):
        #: What the user has set before, and forgotten.
        self.directory = folder / "files"
        self.directory.mkdir(parents=True)
        variables = _variables(self.directory) if library.keeps_variable else {}
        super().__init__(library, folder, broker, **variables)

    def command(self):
        return "tallyboard exec --web.listen-address 127.0.0.1:{web} -- " + self.library.command

    def service(self):
        """What the supervisor says."""
        status, page = get(self.ports["web"], "/metrics")
        assert status == 200, page
        return page


def _variables(directory):
    return {"PROMETHEUS_MULTIPROC_DIR": str(directory)}


def is_listening(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _status(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    except OSError:
        return {}
