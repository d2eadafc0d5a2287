"""The arena as ``Metric`` objects, and the collectors of the default registry as series of it."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from . import _arena, _native

#: In which order the samples of a histogram stand in what ``MultiProcessCollector`` collects.
_ORDER = {"_sum": 0, "_bucket": 1, "_count": 2}


def metrics(names: Sequence[str] = ()) -> Iterator[Any]:
    """The metrics of the whole service."""
    parser = importlib.import_module("prometheus_client.parser")
    page = _arena.exposition("text/plain;version=0.0.4", names)[1].decode()
    for metric in parser.text_string_to_metric_families(page):
        if metric.type == "histogram":
            metric.samples = list(_reordered(metric))
        yield metric


def _reordered(metric: Any) -> Iterator[Any]:
    def series(sample: Any) -> list[tuple[str, str]]:
        return sorted(pair for pair in sample.labels.items() if pair[0] != "le")

    def place(sample: Any) -> int:
        return _ORDER.get(sample.name[len(metric.name) :], len(_ORDER))

    for _, samples in groupby(metric.samples, key=series):
        yield from sorted(samples, key=place)


def is_arena(registry: Any) -> bool:
    """Whether all that a registry exposes is the arena: the default one, and one that holds a
    ``MultiProcessCollector`` and nothing else."""
    module = importlib.import_module("prometheus_client.registry")
    if registry is module.REGISTRY:
        return not _arena.is_local()
    collectors = list(getattr(registry, "_collector_to_names", ()))
    has_more = len(collectors) != 1 or getattr(registry, "_target_info", None)
    return not has_more and getattr(collectors[0], "_is_arena", False)


class _Bridged:
    """A collector of the default registry, for as long as it is registered."""

    def __init__(self, registry: Any, collector: Any) -> None:
        self._registry = registry
        self._collector = collector

    def collect(self) -> Iterable[Any]:
        is_registered = self._collector in self._registry._collector_to_names
        collected: Iterable[Any] = self._collector.collect() if is_registered else ()
        return collected


def bridge(registry: Any, collector: Any) -> None:
    """Has what a collector of the default registry says counted in the arena."""
    if hasattr(collector, "_tallyboard_private") or getattr(collector, "_is_arena", False):
        return
    kind = type(collector).__name__
    # The supervisor looks after the processes that it knows, all of them at once.
    if kind == "ProcessCollector" and getattr(collector, "_prefix", "") == "process_":
        return
    # Neither needs a thread that asks, in a process that may go on to fork.
    if kind == "PlatformCollector":
        _arena.quietly(kind, lambda: _set_once(collector))
    elif kind == "GCCollector":
        _arena.quietly(kind, lambda: _count_collections(collector))
    else:
        mode = getattr(collector, "multiprocess_mode", "all")
        bridged = _Bridged(registry, collector)
        _arena.quietly(kind, lambda: _arena.registry().register_collector(bridged, mode))


def unbridge(collector: Any) -> None:
    """Ends what was begun for a collector that is registered no more."""
    for family in _bridged.pop(id(collector), ()):
        family.clear()


#: The families that stand for a collector.
_bridged: dict[int, list[_native.Family]] = {}


def _set_once(collector: Any) -> None:
    """What does not change, and is the same in all processes."""
    families = _bridged.setdefault(id(collector), [])
    for metric in collector.collect():
        for sample in metric.samples:
            family = _arena.registry().family(
                "gauge", metric.name, metric.documentation, labels=list(sample.labels), mode="max"
            )
            families.append(family)
            family.value([str(value) for value in sample.labels.values()]).set(sample.value)


def _count_collections(collector: Any) -> None:
    """The collections of this process from now on, as the interpreter tells of them."""
    families = [
        _arena.registry().family(
            "counter", metric.name, metric.documentation, labels=["generation"]
        )
        for metric in collector.collect()
    ]
    numbers = [[family.value([str(at)]) for family in families] for at in range(3)]
    _bridged[id(collector)] = families

    def count(phase: str, info: dict[str, int]) -> None:
        # A process that counts nothing else does not begin with this.
        is_wanted = phase == "stop" and id(collector) in _bridged
        if is_wanted and _arena.registry().attachment() is not None:
            found = (info["collected"], info["uncollectable"], 1)
            for value, amount in zip(numbers[info["generation"]], found, strict=False):
                value.inc(amount)

    gc.callbacks.append(count)
