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
import sys
from typing import Any

from . import _install, _replaced
from ._replaced import wrap
from ._supervisor import Supervisor

__all__: list[str] = []

_log = logging.getLogger("tallyboard")

#: Where a master says which descriptor holds the supervisor to the one that replaces it.
_HELD = "TALLYBOARD_GUNICORN_HOLDS"

#: Which uid the supervisor has, for workers that become another user.
_UID = "TALLYBOARD_SUPERVISOR_UID"


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


def _spawn(arbiter: Any) -> None:
    try:
        supervisor = Supervisor(f"gunicorn-{os.getpid()}")
    except OSError as error:
        print(f"tallyboard: {error}", file=sys.stderr)
        return
    os.environ["TALLYBOARD"] = supervisor.address
    os.environ[_UID] = str(os.geteuid())
    _pass_on(arbiter, supervisor.held)
    atexit.register(_end, supervisor, os.getpid())


def _end(supervisor: Supervisor, master: int) -> None:
    """Ends the supervisor with this master, unless another one goes on with it."""
    # Workers are forked from the master, and run what it has registered.
    if os.getpid() == master and not _handed_on:
        supervisor.end()


#: The masters that were started to replace this one.
_handed_on: list[int] = []


def _pass_on(arbiter: Any, held: int) -> None:
    """Has a master that replaces this one on USR2 find the supervisor, and hold it."""

    def reexec(original: Any, self: Any) -> None:
        # The environment that the other one gets is that of before this file was read.
        passed = {name: os.environ[name] for name in ("TALLYBOARD", _UID) if name in os.environ}
        self.cfg.env_orig.update({**passed, _HELD: str(held)})
        os.set_inheritable(held, True)
        try:
            original(self)
        finally:
            os.set_inheritable(held, False)
        if self.reexec_pid:
            _handed_on.append(self.reexec_pid)

    wrap(arbiter, "reexec", reexec)


if not _replaced.is_disabled():
    _begin()
