"""A greenlet that asks, where threads are greenlets: gevent, eventlet.

Modules are patched at any time, by the thread whose greenlets run from then on: ``watch`` says when.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from . import _questions
from ._threads import FORK_WAIT_S, World

#: How often a fork looks whether what is asked just now is done.
_LOOK_S = 0.001


class _Gevent:
    """gevent, once it has patched ``threading``."""

    MODULE = "gevent.monkey"

    def is_patched(self) -> bool:
        monkey: Any = sys.modules.get(self.MODULE)
        is_patched = getattr(monkey, "is_module_patched", None)
        return is_patched is not None and bool(is_patched("threading"))

    def watch(self, monkey: Any, patched: Callable[[], None]) -> None:
        events: Any = importlib.import_module("gevent.events")
        under_way: list[object] = []

        def noticed(event: object) -> None:
            kind = type(event).__name__
            if kind == "GeventWillPatchAllEvent":
                under_way.append(event)
            elif kind == "GeventDidPatchAllEvent":
                under_way.clear()
                patched()
            elif kind == "GeventDidPatchModuleEvent" and not under_way:
                patched()

        events.subscribers.append(noticed)

    def spawn(self, function: Callable[[], None]) -> Any:
        gevent: Any = importlib.import_module("gevent")
        return gevent.spawn(function)

    def sleep(self, seconds: float) -> None:
        gevent: Any = importlib.import_module("gevent")
        gevent.sleep(seconds)

    def current(self) -> Any:
        gevent: Any = importlib.import_module("gevent")
        return gevent.getcurrent()

    def is_hub(self, greenlet: Any) -> bool:
        hub: Any = importlib.import_module("gevent.hub")
        return isinstance(greenlet, hub.Hub)

    def kill(self, greenlet: Any) -> None:
        greenlet.kill(block=False)


class _Eventlet:
    """eventlet, once it has patched ``threading``."""

    MODULE = "eventlet.patcher"

    def is_patched(self) -> bool:
        patcher: Any = sys.modules.get(self.MODULE)
        is_patched = getattr(patcher, "is_monkey_patched", None)
        return is_patched is not None and bool(is_patched("thread"))

    def watch(self, patcher: Any, patched: Callable[[], None]) -> None:
        original = patcher.monkey_patch

        def monkey_patch(*arguments: Any, **keywords: Any) -> Any:
            found = original(*arguments, **keywords)
            patched()
            return found

        # The package has it under the same name, once it is imported.
        for module in (patcher, sys.modules.get("eventlet")):
            if getattr(module, "monkey_patch", None) is original:
                vars(module)["monkey_patch"] = monkey_patch

    def spawn(self, function: Callable[[], None]) -> Any:
        eventlet: Any = importlib.import_module("eventlet")
        return eventlet.spawn(function)

    def sleep(self, seconds: float) -> None:
        eventlet: Any = importlib.import_module("eventlet")
        eventlet.sleep(seconds)

    def current(self) -> Any:
        eventlet: Any = importlib.import_module("eventlet")
        return eventlet.getcurrent()

    def is_hub(self, greenlet: Any) -> bool:
        hubs: Any = importlib.import_module("eventlet.hubs")
        return greenlet is hubs.get_hub().greenlet

    def kill(self, greenlet: Any) -> None:
        """Nothing: it would run at once. The copy ends with what it asks."""


Library = _Gevent | _Eventlet

LIBRARIES: tuple[Library, ...] = (_Gevent(), _Eventlet())


def patched() -> Library | None:
    """The library that has patched ``threading`` in this process."""
    return next((library for library in LIBRARIES if library.is_patched()), None)


class Greenlet(World):
    """A greenlet of the thread that begins it."""

    def __init__(self, library: Library, is_current: Callable[[World], bool]) -> None:
        self.kind = self._library = library
        self._is_current = is_current
        self._living: list[Any] = []
        #: The newest greenlet asks; one before it that is busy ends with what it asks.
        self._newest: object = None
        self._is_rung = False
        self._busy = 0
        self._forks = 0

    def begin(self) -> None:
        self.ring()

    def ring(self) -> None:
        if not self._is_rung:
            self._is_rung = True
            self._living.append(self._library.spawn(self._run))

    def leave(self) -> None:
        self._newest = None

    def before_fork(self) -> None:
        self._forks += 1
        current = self._library.current()
        if current in self._living or self._library.is_hub(current):
            return
        end = time.monotonic() + FORK_WAIT_S
        while self._busy and time.monotonic() < end:
            self._library.sleep(_LOOK_S)

    def after_fork(self) -> bool:
        self._forks -= 1
        return False

    def after_fork_in_child(self) -> None:
        # A fork copies greenlets too, and one of them may be waiting for an answer to its parent.
        for greenlet in self._living:
            if greenlet is not self._library.current():
                self._library.kill(greenlet)

    def _run(self) -> None:
        self._is_rung = False
        self._newest = mine = object()
        try:
            while self._is_newest(mine):
                pause = _LOOK_S
                if not self._forks:
                    self._busy += 1
                    try:
                        pause = _questions.turn(lambda: self._forks > 0 or not self._is_newest(mine))
                    finally:
                        self._busy -= 1
                if self._is_newest(mine):
                    self._library.sleep(pause)
        finally:
            self._living = [each for each in self._living if each is not self._library.current()]

    def _is_newest(self, mine: object) -> bool:
        return self._newest is mine and self._is_current(self)
