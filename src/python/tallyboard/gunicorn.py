"""A configuration of gunicorn that runs a supervisor beside it::

    gunicorn -c python:tallyboard.gunicorn -w 4 app:app

The supervisor starts with the master and ends with it, and its control address is in the
environment of all workers. Another configuration file uses it with
``from tallyboard.gunicorn import *``. Where ``TALLYBOARD`` is set already, there is a supervisor,
and this does nothing: under ``tallyboard exec``, beside a sidecar, and in the master that replaces
another on USR2, which goes on counting where the first one did.

It begins as the file is read, because a preloaded application is imported before the first of
gunicorn's hooks is called.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import sysconfig

from . import _hook

__all__: list[str] = []

#: prctl(2): the signal that the supervisor gets when the master ends, however it does.
_PR_SET_PDEATHSIG = 1


def _program() -> str:
    """The program of this package, wherever the interpreter's scripts are."""
    beside = os.path.join(sysconfig.get_path("scripts"), "tallyboard")
    found = beside if os.access(beside, os.X_OK) else shutil.which("tallyboard")
    return found or "tallyboard"


def _spawn() -> None:
    name = f"gunicorn-{os.getpid()}"
    address = f"unix:@tallyboard/{name}-{os.urandom(8).hex()}"
    listen = os.environ.get("TALLYBOARD_WEB_LISTEN_ADDRESS")
    command = [_program(), "serve", "--name", name, "--control", address, "--log.level", "warn"]
    if listen:
        command += ["--web.listen-address", listen]
    libc = ctypes.CDLL(None, use_errno=True)
    master = os.getpid()

    def follow_master() -> None:
        # A group of its own: what a terminal sends is for gunicorn, which ends this one last.
        os.setpgid(0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != master:
            os._exit(1)

    try:
        serve = subprocess.Popen(command, preexec_fn=follow_master)
    except OSError as error:
        print(
            f"tallyboard: no supervisor: {error}; see whether {command[0]} is installed",
            file=sys.stderr,
        )
        return
    os.environ["TALLYBOARD"] = address

    def end() -> None:
        # Workers are forked from the master, and run what it has registered.
        if os.getpid() == master:
            serve.terminate()
            serve.wait()

    atexit.register(end)
    _hook.begin()


if not os.environ.get("TALLYBOARD") and not _hook.is_disabled():
    _spawn()
