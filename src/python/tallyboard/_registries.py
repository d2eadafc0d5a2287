"""Registries that show the service: the default one, and those that hold a collector of the arena
beside metrics and collectors of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from . import _arena, _collect, _replaced


def shows_arena(registry: Any) -> bool:
    """Whether a registry shows the arena, maybe with more beside it."""
    return is_default(registry) or any(map(_collect.collects_arena, _collectors(registry)))


def is_default(registry: Any) -> bool:
    """Whether it is the default registry, and that shows the arena."""
    is_one = any(registry is default for default in _collect.defaults)
    return is_one and _collect.shows_arena()


def is_arena(registry: Any) -> bool:
    """Whether all that a registry exposes is the arena: the default one, and one that holds a
    ``MultiProcessCollector`` and metrics that the arena has."""
    if is_default(registry):
        return True
    if getattr(registry, "_target_info", None):
        return False
    collectors = _collectors(registry)
    has_it = [_is_whole(collector) or _is_in_arena(collector) for collector in collectors]
    return all(has_it) and any(map(_is_whole, collectors))


def collect(registry: Any) -> Iterator[Any]:
    """What a registry exposes that shows the arena."""
    return _collect.metrics() if is_default(registry) else _beside_arena(registry)


def restricted(registry: Any, names: Collection[str]) -> Iterator[Any]:
    """The samples with these names of a registry that shows the arena."""
    is_whole = is_default(registry)
    found = _collect.metrics(sorted(names)) if is_whole else _beside_arena(registry)
    for metric in found:
        metric.samples = [sample for sample in metric.samples if sample.name in names]
        if metric.samples:
            yield metric


def _beside_arena(registry: Any) -> Iterator[Any]:
    """What is in a registry that holds a collector of the arena. A metric that the arena has too is
    shown once, as the service has it, and so is a sample of a collector of its own."""
    taken: tuple[str, ...] = ()
    if getattr(registry, "_target_info", None):
        taken = _collect.TARGET_NAMES
        yield registry._target_info_metric()
    collectors = _collectors(registry)
    whole = [collector for collector in collectors if _is_whole(collector)]
    said: dict[int, list[Any]] = {}
    for collector in collectors:
        # A second one that says all would say all again.
        if _collect.collects_arena(collector) and collector not in whole[1:]:
            said[id(collector)] = [
                metric for metric in collector.collect() if metric.name not in taken
            ]
    shown = {metric.name: metric for found in said.values() for metric in found}
    for collector in collectors:
        if not _collect.collects_arena(collector):
            said[id(collector)] = list(_others(collector, shown, bool(whole)))
    for collector in collectors:
        yield from said.get(id(collector), [])


def _others(collector: Any, shown: dict[str, Any], is_whole: bool) -> Iterator[Any]:
    """What a collector adds to the families that the arena shows."""
    is_metric = _arena.is_metric(collector)
    if is_whole and is_metric and _is_in_arena(collector):
        return
    for metric in collector.collect():
        known = shown.get(metric.name)
        if known is None:
            yield metric
        elif not is_metric:
            _join(known, metric)


def _join(known: Any, metric: Any) -> None:
    """Adds the samples of a family to one of the same name, which has another series for each."""
    here = {(sample.name, tuple(sorted(sample.labels.items()))) for sample in known.samples}
    for sample in metric.samples:
        if (sample.name, tuple(sorted(sample.labels.items()))) not in here:
            known.samples.append(sample)


def _collectors(registry: Any) -> list[Any]:
    return list(getattr(registry, "_collector_to_names", ()))


def _is_whole(collector: Any) -> bool:
    """Whether a collector says all that the arena has: one that is derived from it may say less."""
    return _collect.collects_arena(collector) and collector.says_all()


def _is_in_arena(collector: Any) -> bool:
    """Whether a collector is a metric that counts in the arena."""
    is_metric = _arena.is_metric(collector)
    if not is_metric or _arena.counts_alone(collector) or _replaced.has_failed():
        return False
    try:
        _arena.family_of(collector)
    except Exception:
        return False
    return True
