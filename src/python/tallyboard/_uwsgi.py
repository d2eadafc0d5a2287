"""uWSGI, which forks without telling Python, and may have no threads: then its workers are asked
between their requests, by the thread that serves them."""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Callable
from typing import Any

from . import _questions
from ._threads import World

#: What uWSGI calls, by the names under which it looks for it in its module.
_hooks: dict[str, Callable[[], None]] = {}


def module() -> Any:
    """uWSGI's own module, which is there in its processes alone."""
    found: Any = sys.modules.get("uwsgi")
    return found if hasattr(found, "masterpid") else None


def has_begun() -> bool:
    """Whether this process has been forked, as far as uWSGI does: its master, and what becomes one
    of its workers, is asked nothing. A thread of a process that forks without Python's knowledge may
    hold the interpreter's lock, which is never free in the child then."""
    uwsgi = module()
    is_worker = uwsgi.worker_id() > 0 or uwsgi.mule_id() > 0 or uwsgi.i_am_the_spooler()
    return bool(is_worker) and uwsgi.masterpid() != os.getpid()


def has_threads() -> bool:
    """Whether threads run while uWSGI waits for requests."""
    return bool(module().has_threads)


def hook(forked: Callable[[], None], requested: Callable[[], None]) -> None:
    """Has functions called in each process that uWSGI forks, and after each request, beside what the
    application wants called there, whichever is set first."""
    uwsgi = module()
    if uwsgi is None or _hooks:
        return
    _hooks.update(post_fork_hook=forked, after_req_hook=requested)
    for name in _hooks:
        vars(uwsgi)[name] = _chained(name, vars(uwsgi).get(name))
    uwsgi.__class__ = _Module


class _Module(types.ModuleType):
    """uWSGI's module, with what is called here beside what is set there."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _chained(name, value) if name in _hooks else value)


def _chained(name: str, theirs: Any) -> Any:
    ours = _hooks[name]
    if theirs is None:
        return ours

    def both(*arguments: Any) -> Any:
        try:
            return theirs(*arguments)
        finally:
            ours()

    return both


class Requests(World):
    """A worker without threads."""

    kind = "requests"

    def __init__(self) -> None:
        self._due = 0.0

    def ring(self) -> None:
        self._due = 0.0

    def requested(self) -> None:
        """Asks what is due, after a request."""
        if time.monotonic() >= self._due:
            # What it asks may ask for more.
            self._due = float("inf")
            pause = _questions.turn(lambda: False)
            self._due = min(self._due, time.monotonic() + pause)
