"""Asks callbacks and collectors, in the world that the application lives in.

Where threads run, a thread asks (``_threads``). Where they are greenlets, a greenlet does, so that
what is asked may use what the application uses (``_greenlets``). A worker of uWSGI without threads is
asked between its requests (``_uwsgi``). Which of them it is, is decided again at each turn and after
each fork: modules are patched late, in the workers of a master that has preloaded the application.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from . import _arena, _greenlets, _native, _questions, _uwsgi
from ._threads import FORK_WAIT_S, Thread, World, wait_for_end

#: Whether the interpreter ends.
_is_ending = False


def ask(
    name: str, family: _native.Family, values: list[str], f: Callable[[], float]
) -> _questions.Question:
    """Has a gauge show what ``f`` says, and nothing else, until its series is removed."""
    question = _questions.Callback(name, family.ask(values), f)
    _questions.add(question)
    begin()
    return question


def add(collector: Any, mode: str) -> None:
    """Has what a collector says counted in the arena, with gauges of this mode."""
    _questions.add(_questions.Collector(collector, _arena.registry().collected(mode)))
    begin()


def remove(collector: Any) -> None:
    """Asks a collector no more, and shows nothing of its gauges."""
    _questions.remove(collector)


def ask_new() -> None:
    """Asks in this thread what was never asked in this process, as ``prometheus_client`` would for
    each page that is taken in it."""
    if _questions.are_there():
        _questions.ask_new()
        begin()


def begin() -> None:
    """Sees that this process is asked, and where it should be."""
    if _is_ending or not _questions.are_there():
        return
    process, kind = _questions.this_process(), _kind()
    world: World | None = process.world
    if world is not None and world.kind == kind:
        world.ring()
        return
    process.world = _make(kind)
    if world is not None:
        world.leave()
    if process.world is not None:
        process.world.begin()


def _kind() -> object:
    """What should ask in this process; nothing where nothing may, for now."""
    if _uwsgi.module() is not None and not _uwsgi.has_begun():
        return None
    library = _greenlets.patched()
    if library is not None:
        return library
    return _THREAD if _uwsgi.module() is None or _uwsgi.has_threads() else _REQUESTS


_THREAD, _REQUESTS = Thread.kind, _uwsgi.Requests.kind


def _make(kind: object) -> World | None:
    if kind == _THREAD:
        return Thread(_is_current)
    if kind == _REQUESTS:
        return _uwsgi.Requests()
    # Greenlets run in the main thread, which comes here when it exposes something.
    if isinstance(kind, _greenlets.Library) and _native.thread_id() == os.getpid():
        return _greenlets.Greenlet(kind, _is_current)
    return None


def _is_current(world: World) -> bool:
    return not _is_ending and _questions.this_process().world is world and world.kind == _kind()


def watch(module: Any) -> None:
    """Has it noticed that a module makes greenlets of threads, which it does later than it is
    imported."""
    for library in _greenlets.LIBRARIES:
        if module is not None and module.__name__ == library.MODULE:
            library.watch(module, begin)


def _requested() -> None:
    if _questions.this_process().world is None:
        begin()
    world = _questions.this_process().world
    if isinstance(world, _uwsgi.Requests):
        world.requested()


def _before_fork() -> None:
    world = _questions.this_process().world
    if world is not None:
        world.before_fork()
    if _arena.is_used():
        end = time.monotonic() + FORK_WAIT_S
        for thread in _arena.registry().before_fork():
            wait_for_end(thread, end)


def _after_fork_in_parent() -> None:
    if _arena.is_used():
        _arena.registry().after_fork()
    process = _questions.this_process()
    if process.world is not None and process.world.after_fork():
        process.world = None
        begin()


def _after_fork_in_child() -> None:
    world = _questions.forked().world
    if world is not None:
        world.after_fork_in_child()
    begin()


def _end() -> None:
    global _is_ending
    _is_ending = True
    world = _questions.this_process().world
    if world is not None:
        world.leave()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
atexit.register(_end)
_uwsgi.hook(forked=begin, requested=_requested)
for _library in _greenlets.LIBRARIES:
    watch(sys.modules.get(_library.MODULE))
