"""What applications are asked to do, and when their workers are killed."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from serving import environment, until
from sides import APPLICATIONS

THREADS = 4


class Unanswered(Exception):
    """A request that a server which runs has not answered."""


def spread(counts):
    """Each key as often as its count says, as evenly as can be, and always in the same order."""
    places = [((at + 0.5) / count, key) for key, count in counts.items() for at in range(count)]
    return [key for _, key in sorted(places)]


def cut(plan, parts):
    """A plan in so many parts of about one length."""
    length = -(-len(plan) // parts)
    return [plan[at : at + length] for at in range(0, len(plan), length)]


@dataclass(frozen=True)
class Requests:
    """HTTP requests from several threads. After each part of them a worker is killed, from outside
    or by a request during which it dies, and the others go on."""

    #: How often each path is asked for; a path that begins with POST has a body.
    paths: dict = field(default_factory=lambda: {"/quick": 60, "/slow": 20})
    #: "outside", or the path during which a worker dies.
    kills: tuple = ("outside", "/die", "outside")
    #: Whether a worker may die while others are busy: each answers one request at a time.
    is_amid: bool = False
    body: str = "b" * 64
    #: How many processes answer.
    workers: int = 2
    #: Whether an answer that says that another process has died is counted too.
    counts_errors: bool = False

    def run(self, side):
        parts = cut(spread(self.paths), len(self.kills) + 1)
        for part, kill in zip(parts, (*self.kills, ""), strict=True):
            kill = kill if side.is_killed else ""
            at = len(part) // 2
            dies = [kill] if self.is_amid and kill.startswith("/") else []
            answered = self._send(side, [*part[:at], *dies, *part[at:]])
            side.expected += len(part)
            side.until_counted()
            if kill == "outside":
                side.kill(next(pid for pid in reversed(answered) if pid in side.workers()))
            elif kill.startswith("/") and not dies:
                self._send(side, [kill])

    def settle(self, side):
        """Waits until the replaced workers answer as well: one that still starts would miss the
        signal to stop."""
        found, wanted = set(), self.workers if side.is_killed else 1
        until(
            lambda: (
                found.update(self._send(side, list(self.paths)[:1] * 8)) or len(found) >= wanted
            ),
            f"an answer of {wanted} workers",
        )

    def _send(self, side, part):
        """Sends them; gives the pids that have answered."""

        def send(path):
            method, path = path.split() if " " in path else ("GET", path)
            body = self.body if method == "POST" else None
            status, text = side.ask(method, path, body)
            if path.endswith("die"):
                assert status != 200, text
                side.killed += 1
                side.expected += bool(status) and self.counts_errors
            else:
                if not status:
                    raise Unanswered(f"{method} {path}: {text}")
                assert status == (404 if path.endswith("missing") else 200), (path, status, text)
            return int(text) if text.isdigit() else None

        with ThreadPoolExecutor(THREADS) as pool:
            answered = [pid for pid in pool.map(send, part) if pid is not None]
        return answered or side.workers()


@dataclass(frozen=True)
class Messages:
    """Messages through a broker, some of which kill who works on them."""

    #: A program that sends what it is told, by the function `send`.
    program: str
    plan: tuple = (("quick", 40), ("die", 1), ("quick", 40), ("die", 1), ("quick", 40))
    #: What is counted before any message, and what once more for each process that is killed.
    counted: int = 0
    counted_of_dead: int = 0
    #: How many processes say that they are ready, where all are started again after a death.
    started: int = 0

    def run(self, side):
        side.expected += self.counted
        self._until_started(side)
        program = f"{self.program}\n{SENDER}"
        sender = subprocess.Popen(
            [side.library.environment / "bin/python", "-c", program],
            cwd=APPLICATIONS,
            env=environment(PYTHONPATH=str(APPLICATIONS), BROKER=side.broker),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with sender:
            for name, count in self.plan:
                is_deadly, before = name == "die", set(side.workers())
                print(name, count, file=sender.stdin, flush=True)
                assert sender.stdout.readline() == "sent\n"
                if is_deadly:
                    # What is sent earlier could be waiting in the process that dies.
                    until(lambda alive=before: alive - set(side.workers()), "the end of a worker")
                side.killed += count if is_deadly else 0
                self._until_started(side)
                side.expected += count * (self.counted_of_dead if is_deadly else 1)
                side.until_counted()
        assert sender.returncode == 0

    def _until_started(self, side):
        """Waits for those that are started again: what the last ones hold as they end is lost for
        a minute."""
        said, wanted = side.library.is_ready, self.started * (side.killed + 1)
        until(lambda: not wanted or side.said.count(said) == wanted, side)

    def settle(self, side):
        """Nothing is left to wait for."""


SENDER = """
import sys
for line in sys.stdin:
    name, count = line.split()
    for _ in range(int(count)):
        send(name)
    print("sent", flush=True)
"""
