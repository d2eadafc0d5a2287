"""Replacing what is imported already, and moving the metrics that exist."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

from . import _collect, _hook, _moves


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
    if _hook.has_failed():
        yield "everything: prometheus_client could not be replaced; the log says why"
        return
    for module in fresh:
        _rebind(before[module.__name__], vars(module))
    for metric in metrics:
        yield from _moves.share(metric)
    registry: Any = sys.modules.get("prometheus_client.registry")
    if registry in fresh:
        for collector in list(registry.REGISTRY._collector_to_names):
            if not hasattr(collector, "_tallyboard_private"):
                _collect.bridge(registry.REGISTRY, collector)
        if getattr(registry.REGISTRY, "_target_info", None):
            _collect.set_target(registry.REGISTRY._target_info)
        yield from _stale_collectors()


def _rebind(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Gives what was imported from a module by name its replacement, in all other modules. A
    function of old that is held elsewhere exposes the arena too, through its registry."""
    for name, old in before.items():
        new = after.get(name)
        if new is None or new is old or not callable(old):
            continue
        # What the module still has under a name of its own is that, unless it is called the same.
        is_other = any(value is old for value in after.values())
        for bound in _namespaces(after):
            for key in [key for key, value in bound.items() if value is old]:
                if key == name or not is_other:
                    bound[key] = new


def _namespaces(but: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for module in list(sys.modules.values()):
        bound = getattr(module, "__dict__", None)
        if isinstance(bound, dict) and bound is not but:
            yield bound


def _metrics() -> Iterator[Any]:
    """The metrics of the default registry, and of none."""
    module: Any = sys.modules.get("prometheus_client.metrics")
    if module is None:
        return
    base, default = module.MetricWrapperBase, module.REGISTRY
    objects = gc.get_objects()
    # Not `isinstance`, which asks proxies of all sorts who they are.
    registries = [each for each in objects if issubclass(type(each), type(default))]
    private = {id(metric) for each in registries for metric in each._collector_to_names}
    private -= {id(metric) for metric in default._collector_to_names}
    for metric in objects:
        is_metric = issubclass(type(metric), base) and hasattr(metric, "_labelvalues")
        if is_metric and not metric._labelvalues:
            if id(metric) in private:
                _moves.make_private(metric)
            else:
                metric._tallyboard_private = False
                yield metric


def _stale_collectors() -> Iterator[str]:
    """Registries that hold a collector of files, which the arena does not reach."""
    module: Any = sys.modules["prometheus_client.registry"]
    for registry in gc.get_objects():
        if type(registry) is module.CollectorRegistry:
            for collector in registry._collector_to_names:
                kind = type(collector).__name__
                is_files = kind in ("MultiProcessCollector", "InMemoryCollector")
                if is_files and not _collect.collects_arena(collector):
                    path = getattr(collector, "_path", "what its archiver has read")
                    yield f"a {kind} that reads {path}: make it after install()"
