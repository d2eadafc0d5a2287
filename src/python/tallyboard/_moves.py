"""Metrics that begin to count in the arena, or end to, with what they have counted.

A thread that took a value of ``prometheus_client`` before it was replaced counts in it afterwards,
and one that waits for its lock has begun to. Whatever either adds or sets is passed on, so that a
move into the arena loses nothing and doubles nothing, however many threads count meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from . import _arena, _callbacks, _definitions, _native


def mark(metric: Any, alone: bool, by_itself: bool) -> None:
    """Says of a metric, and of all children that it has and will have, whether it counts in this
    process alone, and whether it also keeps what is counted by it alone."""
    metric._tallyboard_alone, metric._tallyboard_by_itself = alone, by_itself
    for child in _arena.children(metric):
        child._tallyboard_alone, child._tallyboard_by_itself = alone, by_itself


def share(metric: Any, by_itself: bool) -> Iterator[str]:
    """Gives a metric and its children values in the arena. Says what could not be moved."""
    metric._tallyboard_alone, metric._tallyboard_by_itself = False, by_itself
    for each in [metric, *_arena.children(metric)]:
        each._tallyboard_alone, each._tallyboard_by_itself = False, by_itself
        try:
            if each._is_observable():
                _share_one(each)
        except Exception as error:
            yield f"{each._name}: {error}"
    _definitions.use(metric)


def part(metric: Any) -> None:
    """Gives a metric and its children values of this process, and takes its series out of the arena,
    unless others count in them too."""
    if _definitions.has_others(metric):
        return
    _definitions.leave(metric)
    mark(metric, alone=True, by_itself=_arena.is_by_itself(metric))
    for each in [metric, *_arena.children(metric)]:
        if each._is_observable() and each._type not in ("info", "stateset"):
            _renew(each)
    _arena.family_of(metric).clear()
    # The supervisor takes notice when it is asked. If the metric were registered again before that,
    # nobody would have taken it away, and what it brings back would count twice.
    with contextlib.suppress(_native.Unavailable):
        _arena.exposition("", [metric._name])


def begin_anew(metric: Any) -> None:
    """Gives a metric, or a child of one, values that have counted nothing."""
    fresh = vars(_fresh(metric))
    for name in ("_value", "_count", "_sum", "_buckets", "_created"):
        if name in fresh:
            setattr(metric, name, fresh[name])
    vars(metric).pop("_tallyboard_at", None)
    if _arena.counts_alone(metric):
        return
    if metric._type in ("info", "stateset"):
        _say(metric, _arena.family_of(metric), list(metric._labelvalues))
    function = _function_of(getattr(metric, "_child_samples", None))
    if function is not None:
        _callbacks.set_function(_arena.family_of(metric), metric, function)


def _share_one(metric: Any) -> None:
    if metric._type in ("info", "stateset"):
        _say(metric, _arena.family_of(metric), list(metric._labelvalues))
        return
    function = _function_of(vars(metric).get("_child_samples"))
    _renew(metric)
    if function is not None:
        _callbacks.set_function(_arena.family_of(metric), metric, function)


def _say(metric: Any, family: _native.Family, labels: list[str]) -> None:
    # What is as it began may not have been said by anybody.
    if not metric._value:
        family.show_first(labels)
    elif metric._type == "info":
        family.info(labels, [(str(name), str(value)) for name, value in metric._value.items()])
    else:
        family.state(labels, metric._states[metric._value])


def _renew(metric: Any) -> None:
    """Replaces the values of a metric by new ones, where it counts now."""
    fresh = _fresh(metric)
    for name in ("_value", "_count", "_sum"):
        if name in vars(metric):
            setattr(metric, name, _carry(metric, getattr(metric, name), getattr(fresh, name)))
    if "_buckets" in vars(metric):
        pairs = zip(metric._buckets, fresh._buckets)
        metric._buckets = [_carry(metric, old, new) for old, new in pairs]


def _fresh(metric: Any) -> Any:
    """The same metric with new values. The one that threads count in has all its values at any
    time."""
    fresh = object.__new__(type(metric))
    vars(fresh).update(vars(metric))
    outer = getattr(_arena.making, "metric", None)
    _arena.making.metric = fresh
    try:
        fresh._metric_init()
    finally:
        _arena.making.metric = outer
    return fresh


def _carry(metric: Any, old: Any, new: Any) -> Any:
    """Moves what one value has counted to another one, and gives the one that counts from now
    on."""
    if isinstance(old, _Moved):
        # That of a copy of the metric, which moved first.
        old = old._moved_to
    if isinstance(old, _native.Value) and isinstance(new, _native.Value):
        # Made after the values were replaced.
        return old
    is_set = metric._type == "gauge"
    if type(old).__name__ == "MutexValue":
        _forward(old, new, is_set)
    else:
        # One of the arena, or in a file: what a thread adds at this very moment stays there.
        _add(new, old.get(), old.get_exemplar() if hasattr(old, "get_exemplar") else None, is_set)
    return new


def _add(new: Any, amount: float, exemplar: Any, is_set: bool) -> None:
    if amount:
        (new.set if is_set else new.inc)(amount)
    if exemplar is not None:
        new.set_exemplar(exemplar)


def _forward(old: Any, new: Any, is_set: bool) -> None:
    """Moves what a ``MutexValue`` has counted to another value, and has it pass on the rest."""
    with old._lock:
        # Older versions have no exemplars.
        _add(new, old._value, getattr(old, "_exemplar", None), is_set)
        old._moved_to = new
        old.__class__ = _Moved


class _Added(float):
    """What was added to a number that has moved."""


class _Number(float):
    """A number that has moved, as the code of a value sees it: ``self._value += amount``."""

    def __iadd__(self, amount: float) -> _Added:
        return _Added(amount)


class _Moved:
    """Takes the place of the class of a value whose number has moved."""

    _multiprocess = True
    _moved_to: Any

    @property
    def _value(self) -> _Number:
        return _Number(self._moved_to.get())

    @_value.setter
    def _value(self, value: float) -> None:
        (self._moved_to.inc if isinstance(value, _Added) else self._moved_to.set)(value)

    @property
    def _exemplar(self) -> Any:
        return self._moved_to.get_exemplar()

    @_exemplar.setter
    def _exemplar(self, exemplar: Any) -> None:
        self._moved_to.set_exemplar(exemplar)

    def inc(self, amount: float) -> None:
        self._moved_to.inc(amount)

    def set(self, value: float, timestamp: float | None = None) -> None:
        self._moved_to.set(value)

    def get(self) -> float:
        amount: float = self._moved_to.get()
        return amount

    def set_exemplar(self, exemplar: Any) -> None:
        self._moved_to.set_exemplar(exemplar)

    def get_exemplar(self) -> Any:
        return self._moved_to.get_exemplar()


def _function_of(samples: Any) -> Any:
    """What a gauge with a callback asks: the closure that `set_function` made has it."""
    function = getattr(samples, "__func__", None)
    if function is None:
        return None
    named = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    cell = named.get("f")
    return None if cell is None else cell.cell_contents
