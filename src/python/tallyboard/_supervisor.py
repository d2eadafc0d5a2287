"""A supervisor beside a process of Python: `tallyboard serve`, which ends with those that hold a pipe."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
import time

#: What a service manager has given to this process, and what makes no sense for an arena of one run.
_NOT_PASSED = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "TALLYBOARD_KEEP_ARENA",
    "TALLYBOARD_DISCARD_ARENA",
)


#: How long it is waited for; what is counted before it listens is not lost.
_START_S = 5.0


class Supervisor:
    """One that runs, with an arena in anonymous memory, as nobody can go on with it. It opens no port,
    unless ``TALLYBOARD_WEB_LISTEN_ADDRESS`` says so, and ends when nobody has ``held`` open any more;
    a child that is forked has it, a program that is started has not."""

    def __init__(self, name: str) -> None:
        """Starts it, and waits until it listens. Raises ``OSError`` when it cannot be started."""
        self.address = f"unix:@tallyboard/{os.geteuid()}/{os.urandom(8).hex()}"
        command = [_program(), "serve", "--name", name, "--control", self.address]
        command += ["--backing", "memfd", "--until-eof", "--web.listen-retry"]
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
        environment.setdefault("TALLYBOARD_WEB_LISTEN_ADDRESS", "none")
        environment.setdefault("TALLYBOARD_LOG_LEVEL", "warn")
        theirs, self.held = os.pipe()
        try:
            # A session of its own: what a terminal sends is for the application.
            self._process = subprocess.Popen(
                command, stdin=theirs, env=environment, start_new_session=True
            )
        except OSError as error:
            os.close(self.held)
            what = f"{error}; see whether {command[0]} is installed"
            raise OSError(f"no supervisor: {what}") from error
        finally:
            os.close(theirs)
        deadline = time.monotonic() + _START_S
        while not self._listens() and time.monotonic() < deadline:
            status = self._process.poll()
            if status is not None:
                os.close(self.held)
                what = f"`tallyboard serve` has ended with status {status}; see what it said"
                raise OSError(f"no supervisor: {what}")
            time.sleep(0.002)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            return asking.connect_ex(self.address.replace("unix:@", "\0")) == 0

    def end(self) -> None:
        """Ends it, and waits until it has."""
        self._process.terminate()
        self._process.wait()


def _program() -> str:
    """The program of this package, wherever the interpreter's scripts are."""
    beside = os.path.join(sysconfig.get_path("scripts"), "tallyboard")
    found = beside if os.access(beside, os.X_OK) else shutil.which("tallyboard")
    return found or "tallyboard"
