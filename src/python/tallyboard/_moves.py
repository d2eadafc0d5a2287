"""Metrics that begin to count in the arena, or end to, with what they have counted."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

from . import _arena, _native


def make_private(metric: Any) -> None:
    """Has a metric count in this process alone, and all children that it has and will have."""
    metric._tallyboard_private = True
    metric.labels = types.MethodType(_private_labels, metric)
    for child in vars(metric).get("_metrics", {}).values():
        child._tallyboard_private = True


def _private_labels(self: Any, *values: object, **named: object) -> Any:
    # The children of a private metric do not know its registry.
    before = getattr(_arena.making, "private", False)
    _arena.making.private = True
    try:
        return type(self).labels(self, *values, **named)
    finally:
        _arena.making.private = before


def share(metric: Any) -> Iterator[str]:
    """Gives a metric and its children values in the arena. Says what could not be moved."""
    vars(metric).pop("labels", None)
    for each in [metric, *_children(metric)]:
        each._tallyboard_private = False
        try:
            if each._is_observable():
                _share_one(each)
        except Exception as error:
            yield f"{each._name}: {error}"


def part(metric: Any) -> None:
    """Gives a metric and its children values of this process, and takes its series out of the
    arena."""
    make_private(metric)
    for each in [metric, *_children(metric)]:
        if each._is_observable() and each._type not in ("info", "stateset"):
            _renew(each)
    _arena.family_of(metric).clear()
    # The supervisor takes notice when it is asked. If the metric were registered again before that,
    # nobody would have taken it away, and what it brings back would count twice.
    with contextlib.suppress(_native.Unavailable):
        _arena.exposition("", [metric._name])


def _children(metric: Any) -> list[Any]:
    return list(vars(metric).get("_metrics", {}).values())


def _share_one(metric: Any) -> None:
    if metric._type in ("info", "stateset"):
        _say(metric, _arena.family_of(metric), list(metric._labelvalues))
        return
    function = _function_of(vars(metric).get("_child_samples"))
    _renew(metric)
    if function is not None:
        _arena.family_of(metric).set_function(list(metric._labelvalues), function)


def _say(metric: Any, family: _native.Family, labels: list[str]) -> None:
    # What is as it began may not have been said by anybody.
    if not metric._value:
        family.show_first(labels)
    elif metric._type == "info":
        family.info(labels, [(str(name), str(value)) for name, value in metric._value.items()])
    else:
        family.state(labels, metric._states[metric._value])


def _renew(metric: Any) -> None:
    """Makes the values of a metric anew, where it counts now."""
    before = dict(vars(metric))
    outer = getattr(_arena.making, "metric", None)
    _arena.making.metric = metric
    try:
        metric._metric_init()
    finally:
        _arena.making.metric = outer
    if "_created" in before:
        metric._created = before["_created"]
    for name in ("_value", "_count", "_sum"):
        if name in before:
            _carry(metric, before[name], getattr(metric, name))
    for old, new in zip(before.get("_buckets", ()), vars(metric).get("_buckets", ())):
        _carry(metric, old, new)


def _carry(metric: Any, old: Any, new: Any) -> None:
    amount = old.get()
    if amount and metric._type == "gauge":
        new.set(amount)
    elif amount:
        new.inc(amount)
    exemplar = old.get_exemplar() if hasattr(old, "get_exemplar") else None
    if exemplar is not None:
        new.set_exemplar(exemplar)


def _function_of(samples: Any) -> Any:
    """What a gauge with a callback asks: the closure that `set_function` made has it."""
    function = getattr(samples, "__func__", None)
    if function is None:
        return None
    named = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    cell = named.get("f")
    return None if cell is None else cell.cell_contents
