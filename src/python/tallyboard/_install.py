"""Replacing what is imported already, and moving the metrics that exist, while threads count."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from . import _arena, _collect, _hook, _moves, _replaced

#: Who comes second finds everything replaced.
_installing = threading.Lock()


def _forked() -> None:
    # The thread that held it is not in the child.
    global _installing
    _installing = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def install(address: str | None = None) -> list[str]:
    """See :func:`tallyboard.install`."""
    if _replaced.is_disabled():
        return ["everything: TALLYBOARD_DISABLE is set"]
    if address is not None:
        os.environ["TALLYBOARD"] = address
    if not os.environ.get("TALLYBOARD"):
        return ["everything: TALLYBOARD is not set; give the address of a supervisor"]
    with _installing:
        _hook.begin()
        return list(_replace())


def _replace() -> Iterator[str]:
    fresh = [sys.modules[name] for name in _replaced.MODULES if name in sys.modules]
    fresh = [module for module in fresh if not hasattr(module, "_tallyboard")]
    if not fresh:
        return
    before = {module.__name__: dict(vars(module)) for module in fresh}
    for module in fresh:
        if module.__name__ == "prometheus_client.values":
            # What threads make from here on of a metric counts where the metric does.
            _mark_own()
        _hook.patch(module)
    if _replaced.has_failed():
        yield "everything: prometheus_client could not be replaced; the log says why"
        return
    for module in fresh:
        _rebind(before[module.__name__], vars(module))
    # What is made from here on is made in the arena.
    for metric, by_itself in _mark_own():
        yield from _moves.share(metric, by_itself)
    registry: Any = sys.modules.get("prometheus_client.registry")
    if registry in fresh:
        for collector in _collectors(registry.REGISTRY):
            if not _arena.is_metric(collector):
                _collect.bridge(collector)
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
        is_other = any(value is old for value in list(after.values()))
        for bound in _namespaces(after):
            for key in [key for key in list(bound) if bound.get(key) is old]:
                if key == name or not is_other:
                    bound[key] = new


def _namespaces(but: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for module in list(sys.modules.values()):
        bound = getattr(module, "__dict__", None)
        if isinstance(bound, dict) and bound is not but:
            yield bound


def _instances(base: type) -> list[Any]:
    """The objects of a class and of those below it. Only what refers to these classes is looked at:
    a tuple that a thread is still making fails when it has a second owner."""
    kinds = [base]
    for kind in kinds:
        kinds += type.__subclasses__(kind)
    # Not `isinstance`, which asks proxies of all sorts who they are.
    return [each for each in gc.get_referrers(*kinds) if issubclass(type(each), base)]


def _collectors(registry: Any) -> list[Any]:
    return list(getattr(registry, "_collector_to_names", ()))


def _mark_own() -> list[tuple[Any, bool]]:
    """Says of the metrics of registries of the application's own what they are. Gives the metrics
    that were made before the values were replaced, and are to count in the arena, with whether they
    also keep what is counted by them alone."""
    module: Any = sys.modules.get("prometheus_client.metrics")
    if module is None:
        return []
    default = module.REGISTRY
    registries = [each for each in _instances(type(default)) if each is not default]
    in_default = {id(metric) for metric in _collectors(default)}
    own = {id(metric) for each in registries for metric in _collectors(each)} - in_default
    moving = []
    for metric in _instances(module.MetricWrapperBase):
        if not hasattr(metric, "_labelvalues") or metric._labelvalues:
            continue
        is_known = "_tallyboard_alone" in vars(metric)
        if id(metric) in own and not is_known:
            _moves.mark(metric, _arena.keeps_registries_private(), by_itself=True)
        if not _arena.counts_alone(metric) and (id(metric) in own or not is_known):
            moving.append((metric, id(metric) not in in_default))
    return moving


def _stale_collectors() -> Iterator[str]:
    """Registries that hold a collector of what an archiver has read, which the arena does not
    reach."""
    module: Any = sys.modules["prometheus_client.registry"]
    for registry in _instances(module.CollectorRegistry):
        for collector in _collectors(registry):
            is_cached = type(collector).__name__ == "InMemoryCollector"
            if is_cached and not _collect.collects_arena(collector):
                yield "an InMemoryCollector that reads what its archiver has: make it after install()"
