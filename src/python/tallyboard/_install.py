"""Replacing what is imported already, and moving the metrics that exist, while threads count."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from . import _arena, _collect, _hook, _moved, _native

#: Who comes second finds everything replaced.
_installing = threading.Lock()


def _forked() -> None:
    # The thread that held it is not in the child.
    global _installing
    _installing = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def install(address: str | None = None) -> list[str]:
    """See :func:`tallyboard.install`."""
    if _hook.is_disabled():
        return ["everything: TALLYBOARD_DISABLE is set"]
    if address is not None:
        os.environ["TALLYBOARD"] = address
    if not os.environ.get("TALLYBOARD"):
        return ["everything: TALLYBOARD is not set; give the address of a supervisor"]
    with _installing:
        _hook.begin()
        return list(_replace())


def _replace() -> Iterator[str]:
    fresh = [sys.modules[name] for name in _hook.MODULES if name in sys.modules]
    fresh = [module for module in fresh if not hasattr(module, "_tallyboard")]
    before = {module.__name__: dict(vars(module)) for module in fresh}
    for module in fresh:
        _hook.patch(module)
    for module in fresh:
        _rebind(before[module.__name__], vars(module))
    # What is made from here on is made in the arena.
    for metric in _metrics() if fresh else ():
        yield from _move(metric)
    registry: Any = sys.modules.get("prometheus_client.registry")
    if registry in fresh:
        for collector in _collectors(registry.REGISTRY):
            _collect.bridge(registry.REGISTRY, collector)
        yield from _stale_collectors()


def _rebind(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Gives what was imported from a module by name its replacement, in all other modules."""
    replaced = {
        id(old): (old, after[name])
        for name, old in before.items()
        if name in after and after[name] is not old and (callable(old) or isinstance(old, type))
    }
    for module in list(sys.modules.values()):
        bound = getattr(module, "__dict__", None)
        if not isinstance(bound, dict) or bound is after:
            continue
        for name, value in list(bound.items()):
            old, new = replaced.get(id(value), (None, None))
            if old is not None and old is value:
                bound[name] = new


def _instances(base: type) -> list[Any]:
    """The objects of a class and of those below it. Only what refers to these classes is looked at:
    a tuple that a thread is still making fails when it has a second owner."""
    kinds = [base]
    for kind in kinds:
        kinds += type.__subclasses__(kind)
    return [each for each in gc.get_referrers(*kinds) if issubclass(type(each), base)]


def _collectors(registry: Any) -> list[Any]:
    return list(getattr(registry, "_collector_to_names", ()))


def _metrics() -> Iterator[Any]:
    """The metrics of the default registry, and of none."""
    module: Any = sys.modules.get("prometheus_client.metrics")
    if module is None:
        return
    default = module.REGISTRY
    registries = [each for each in _instances(type(default)) if each is not default]
    private = {id(metric) for each in registries for metric in _collectors(each)}
    for metric in _instances(module.MetricWrapperBase):
        if hasattr(metric, "_labelvalues") and not metric._labelvalues:
            metric._tallyboard_private = id(metric) in private
            if not metric._tallyboard_private:
                yield metric


def _move(metric: Any) -> Iterator[str]:
    """Gives a metric and its children values in the arena, with what they have counted."""
    for child in _children(metric):
        child._tallyboard_private = False
        try:
            _move_values(child)
        except Exception as error:
            yield f"{child._name}: {error}"


def _children(metric: Any) -> list[Any]:
    if not metric._is_parent():
        return [metric]
    # A child that another thread has begun to make is among them when that is done.
    with metric._lock:
        return list(metric._metrics.values())


def _move_values(metric: Any) -> None:
    if metric._type in ("info", "stateset"):
        labels = list(metric._labelvalues)
        family = _arena.family_of(metric)
        if metric._type == "info" and metric._value:
            family.info(labels, [(str(name), str(value)) for name, value in metric._value.items()])
        elif metric._type == "stateset" and metric._value:
            family.state(labels, metric._states[metric._value])
        return
    function = _function_of(vars(metric).get("_child_samples"))
    fresh = _fresh(metric)
    for name in ("_value", "_count", "_sum"):
        if name in vars(metric):
            setattr(metric, name, _carry(metric, getattr(metric, name), getattr(fresh, name)))
    if "_buckets" in vars(metric):
        pairs = zip(metric._buckets, fresh._buckets)
        metric._buckets = [_carry(metric, old, new) for old, new in pairs]
    if function is not None:
        metric.set_function(function)


def _fresh(metric: Any) -> Any:
    """The same metric with values of the arena. The one that threads count in has all its values at
    any time."""
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
    """Moves what one value has counted to another one, which it gives."""
    values: Any = sys.modules["prometheus_client.values"]
    if isinstance(old, _native.Value):
        # Made after the values were replaced.
        return old
    if type(old) is values.MutexValue:
        _moved.forward(old, new, is_set=metric._type == "gauge")
    # One in a file: what a thread adds at this very moment stays there.
    elif amount := old.get():
        (new.set if metric._type == "gauge" else new.inc)(amount)
    return new


def _function_of(samples: Any) -> Any:
    """What a gauge with a callback asks: the closure that `set_function` made has it."""
    function = getattr(samples, "__func__", None)
    if function is None:
        return None
    named = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    cell = named.get("f")
    return None if cell is None else cell.cell_contents


def _stale_collectors() -> Iterator[str]:
    """Registries that hold a collector of files, which the arena does not reach."""
    module: Any = sys.modules["prometheus_client.registry"]
    for registry in _instances(module.CollectorRegistry):
        for collector in _collectors(registry):
            is_files = type(collector).__name__ == "MultiProcessCollector"
            if is_files and not getattr(collector, "_is_arena", False):
                path = getattr(collector, "_path", "")
                yield f"a MultiProcessCollector that reads {path}: make it after install()"
