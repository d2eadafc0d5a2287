"""Callbacks of gauges that are exposed by themselves: they end with their gauge.

A registry of the application's own may live for one request or one test. What is asked on its behalf
must not keep it alive, and is shown no longer than it lives.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from . import _arena, _asker, _native, _questions


class _Held:
    """A gauge that is asked, and how."""

    def __init__(self, gauge: Any) -> None:
        #: Of one gauge these are one object.
        self.gauge: weakref.ref[Any] = weakref.ref(gauge)
        self.question: _questions.Question | None = None


#: Of each series, the gauge that is asked: the one that was given its callback last.
_asked: dict[tuple[_native.Family, tuple[str, ...]], _Held] = {}


def set_function(family: _native.Family, gauge: Any, function: Callable[[], float]) -> None:
    """Has a gauge ask a callback: one that is exposed by itself for as long as it lives."""
    if not _arena.is_by_itself(gauge):
        _asker.ask(gauge._name, family, list(gauge._labelvalues), function)
        return
    # The gauge keeps it, and nobody else.
    gauge._tallyboard_function = function
    held = _Held(gauge)
    me = held.gauge
    series = (family, tuple(gauge._labelvalues))
    before, _asked[series] = _asked.get(series), held
    if before is None or before.gauge is not me:
        weakref.finalize(gauge, _end, me, series).atexit = False

    def ask() -> float:
        asked = me()
        return 0.0 if asked is None else float(asked._tallyboard_function())

    held.question = _asker.ask(gauge._name, family, list(gauge._labelvalues), ask)
    _end_question(before)


def _end(me: weakref.ref[Any], series: tuple[_native.Family, tuple[str, ...]]) -> None:
    # Another gauge of the same series may have a callback by now.
    held = _asked.get(series)
    if held is not None and held.gauge is me:
        del _asked[series]
        family, values = series
        family.remove(list(values))
        _end_question(held)


def _end_question(held: _Held | None) -> None:
    # What nobody wants to know is not kept until it would be asked again.
    if held is not None and held.question is not None:
        _questions.end(held.question)
