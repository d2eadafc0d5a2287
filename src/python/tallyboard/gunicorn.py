"""A configuration of gunicorn that runs a supervisor beside it::

    gunicorn -c python:tallyboard.gunicorn -w 4 app:app

The supervisor starts with the master, and its control address is in the environment of all workers.
Another configuration file uses it with ``from tallyboard.gunicorn import *``, before or after what it
imports of ``prometheus_client``. Where ``TALLYBOARD`` is set already there is a supervisor, and none is
started: under ``tallyboard exec``, beside a sidecar, and in the master that replaces another on USR2,
which goes on counting where the first one did.

The arena is in anonymous memory, as nobody can go on with it. Metrics are served by the application's
own route; by the supervisor too, where ``TALLYBOARD_WEB_LISTEN_ADDRESS`` names an address. Other
variables of the flags of ``tallyboard serve`` count as well.

The supervisor is started when gunicorn has read all of its configuration and is in the background, if
that is where it goes, and before it imports a preloaded application. It ends when nobody is left who
could count: it reads a pipe that the masters and their workers hold, and that ends with the last of
them, however that one ends.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

from . import _hook, _install
from ._instruments import wrap

__all__: list[str] = []

_log = logging.getLogger("tallyboard")

#: Where a master says which descriptor holds the supervisor to the one that replaces it.
_HELD = "TALLYBOARD_GUNICORN_HOLDS"

#: What a service manager has given to gunicorn, and what makes no sense for an arena of one run.
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


def _begin() -> None:
    try:
        arbiter: Any = importlib.import_module("gunicorn.arbiter").Arbiter
    except ImportError:
        # Somebody else reads this file.
        return
    held = os.environ.pop(_HELD, None)
    if held is not None:
        os.set_inheritable(int(held), False)
        _pass_on(arbiter, int(held))

    def begin(original: Any, self: Any, *arguments: Any, **keywords: Any) -> None:
        if not os.environ.get("TALLYBOARD"):
            _spawn(arbiter)
        if os.environ.get("TALLYBOARD"):
            # What was imported before this file, or by it, is replaced too.
            for missed in _install.install():
                _log.warning("not replaced: %s", missed)
        original(self, *arguments, **keywords)

    wrap(arbiter, "__init__", begin)


def _program() -> str:
    """The program of this package, wherever the interpreter's scripts are."""
    beside = os.path.join(sysconfig.get_path("scripts"), "tallyboard")
    found = beside if os.access(beside, os.X_OK) else shutil.which("tallyboard")
    return found or "tallyboard"


def _spawn(arbiter: Any) -> None:
    address = f"unix:@tallyboard/{os.geteuid()}/{os.urandom(8).hex()}"
    command = [_program(), "serve", "--name", f"gunicorn-{os.getpid()}", "--control", address]
    command += ["--backing", "memfd", "--until-eof", "--web.listen-retry"]
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
    environment.setdefault("TALLYBOARD_WEB_LISTEN_ADDRESS", "none")
    environment.setdefault("TALLYBOARD_LOG_LEVEL", "warn")
    theirs, mine = os.pipe()
    try:
        # A session of its own: what a terminal sends is for gunicorn.
        serve = subprocess.Popen(command, stdin=theirs, env=environment, start_new_session=True)
    except OSError as error:
        os.close(mine)
        print(
            f"tallyboard: no supervisor: {error}; see whether {command[0]} is installed",
            file=sys.stderr,
        )
        return
    finally:
        os.close(theirs)
    os.environ["TALLYBOARD"] = address
    _pass_on(arbiter, mine)
    atexit.register(_end, serve, os.getpid())


def _end(serve: subprocess.Popen[bytes], master: int) -> None:
    """Ends the supervisor with this master, unless another one goes on with it."""
    # Workers are forked from the master, and run what it has registered.
    if os.getpid() == master and not _handed_on:
        serve.terminate()
        serve.wait()


#: The masters that were started to replace this one.
_handed_on: list[int] = []


def _pass_on(arbiter: Any, held: int) -> None:
    """Has a master that replaces this one on USR2 find the supervisor, and hold it."""

    def reexec(original: Any, self: Any) -> None:
        # The environment that the other one gets is that of before this file was read.
        self.cfg.env_orig.update({"TALLYBOARD": os.environ["TALLYBOARD"], _HELD: str(held)})
        os.set_inheritable(held, True)
        try:
            original(self)
        finally:
            os.set_inheritable(held, False)
        if self.reexec_pid:
            _handed_on.append(self.reexec_pid)

    wrap(arbiter, "reexec", reexec)


if not _hook.is_disabled():
    _begin()
