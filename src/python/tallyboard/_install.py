"""Replacing what is imported already, and moving the metrics that exist."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

from . import _arena, _collect, _hook


def install(address: str | None = None) -> list[str]:
    """See :func:`tallyboard.install`."""
    if _hook.is_disabled():
        return ["everything: TALLYBOARD_DISABLE is set"]
    if address is not None:
        os.environ["TALLYBOARD"] = address
    if not os.environ.get("TALLYBOARD"):
        return ["everything: TALLYBOARD is not set; give the address of a supervisor"]
    _hook.begin()
    return list(_replace())


def _replace() -> Iterator[str]:
    fresh = [sys.modules[name] for name in _hook.MODULES if name in sys.modules]
    fresh = [module for module in fresh if not hasattr(module, "_tallyboard")]
    before = {module.__name__: dict(vars(module)) for module in fresh}
    metrics = list(_metrics()) if fresh else []
    for module in fresh:
        _hook.patch(module)
    for module in fresh:
        _rebind(before[module.__name__], vars(module))
    for metric in metrics:
        yield from _move(metric)
    registry: Any = sys.modules.get("prometheus_client.registry")
    if registry in fresh:
        for collector in list(registry.REGISTRY._collector_to_names):
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


def _metrics() -> Iterator[Any]:
    """The metrics of the default registry, and of none."""
    module: Any = sys.modules.get("prometheus_client.metrics")
    if module is None:
        return
    base, default = module.MetricWrapperBase, module.REGISTRY
    objects = gc.get_objects()
    registries = [each for each in objects if type(each) is type(default) and each is not default]
    private = {id(metric) for each in registries for metric in each._collector_to_names}
    for metric in objects:
        if isinstance(metric, base) and hasattr(metric, "_labelvalues") and not metric._labelvalues:
            metric._tallyboard_private = id(metric) in private
            if not metric._tallyboard_private:
                yield metric


def _move(metric: Any) -> Iterator[str]:
    """Gives a metric and its children values in the arena, with what they have counted."""
    children = list(metric._metrics.values()) if metric._is_parent() else [metric]
    for child in children:
        child._tallyboard_private = False
        try:
            _move_values(child)
        except Exception as error:
            yield f"{child._name}: {error}"


def _move_values(metric: Any) -> None:
    before = dict(vars(metric))
    if metric._type in ("info", "stateset"):
        labels = list(metric._labelvalues)
        family = _arena.family_of(metric)
        if metric._type == "info" and metric._value:
            family.info(labels, [(str(name), str(value)) for name, value in metric._value.items()])
        elif metric._type == "stateset" and metric._value:
            family.state(labels, metric._states[metric._value])
        return
    function = _function_of(before.get("_child_samples"))
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
    if function is not None:
        metric.set_function(function)


def _carry(metric: Any, old: Any, new: Any) -> None:
    amount = old.get()
    if amount and metric._type == "gauge":
        new.set(amount)
    elif amount:
        new.inc(amount)


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
    for registry in gc.get_objects():
        if type(registry) is module.CollectorRegistry:
            for collector in registry._collector_to_names:
                is_files = type(collector).__name__ == "MultiProcessCollector"
                if is_files and not getattr(collector, "_is_arena", False):
                    path = getattr(collector, "_path", "")
                    yield f"a MultiProcessCollector that reads {path}: make it after install()"
