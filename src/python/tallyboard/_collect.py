"""The arena as ``Metric`` objects and as pages, and the collectors of the default registry as
series of it."""

from __future__ import annotations

import gc
import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from . import _arena, _asker, _native, _replaced

#: In which order the samples of a histogram stand in what ``MultiProcessCollector`` collects.
_ORDER = {"_sum": 0, "_bucket": 1, "_count": 2, "_created": 3}

#: The types whose series have a created time.
_COUNTING = ("counter", "summary", "histogram")

_OPENMETRICS = "application/openmetrics-text"


#: The default registry; a program that imports ``prometheus_client`` anew has another one then.
defaults: list[Any] = []

#: What the family of `target_info` is called, by workers and by the supervisor.
TARGET_NAMES = ("target", "target_info")


def metrics(names: Sequence[str] = ()) -> Iterator[Any]:
    """The metrics of the whole service."""
    core = importlib.import_module("prometheus_client.core")
    has_created = _has_created()
    _asker.ask_new()
    for name, kind, unit, help_text, samples in _arena.families(names):
        # What a unit is not the end of, it is put behind.
        metric = core.Metric(name, help_text, kind, unit if name.endswith(f"_{unit}") else "")
        for sample, labels, value, moment, exemplar in samples:
            if has_created or kind not in _COUNTING or sample != f"{name}_created":
                example = exemplar and core.Exemplar(
                    dict(exemplar[0]), exemplar[1], _timestamp(core, exemplar[2])
                )
                timestamp = _timestamp(core, moment)
                metric.add_sample(sample, dict(labels), value, timestamp, example)
        if metric.type == "histogram":
            metric.samples = list(_reordered(metric))
        yield metric


def _timestamp(core: Any, moment: tuple[int, int] | None) -> Any:
    return moment and core.Timestamp(*moment)


def _reordered(metric: Any) -> Iterator[Any]:
    def series(sample: Any) -> list[tuple[str, str]]:
        return sorted(pair for pair in sample.labels.items() if pair[0] != "le")

    def place(sample: Any) -> int:
        return _ORDER.get(sample.name[len(metric.name) :], len(_ORDER))

    for _, samples in groupby(metric.samples, key=series):
        yield from sorted(samples, key=place)


def without_created(collected: Iterable[Any]) -> Iterator[Any]:
    """Metrics without the created times of their series."""
    for metric in collected:
        if metric.type in _COUNTING:
            created = f"{metric.name}_created"
            metric.samples = [sample for sample in metric.samples if sample.name != created]
        yield metric


def exposition(
    accept: str, names: Sequence[str] = (), looks_like_its_own: bool = False
) -> tuple[str, bytes]:
    """The page of the whole service in the format that fits a header ``Accept``, as the supervisor
    writes it; or as ``prometheus_client`` does, where it is to look like its own."""
    _asker.ask_new()
    content_type, found = _arena.exposition(accept, names, looks_like_its_own)
    if content_type.startswith(_OPENMETRICS) and not _has_created():
        found = b"".join(_lines_without_created(found))
    return content_type, found


def _has_created() -> bool:
    """Whether series have created times, which a variable and a function of ``prometheus_client`` turn
    off. Versions before 0.15 know neither."""
    metrics: Any = sys.modules.get("prometheus_client.metrics")
    variable = os.environ.get("PROMETHEUS_DISABLE_CREATED_SERIES", "").lower()
    return bool(getattr(metrics, "_use_created", variable not in ("true", "1", "t")))


def _lines_without_created(found: bytes) -> Iterator[bytes]:
    """The lines of an OpenMetrics page but those of created times."""
    created: tuple[bytes, ...] = ()
    # Not `splitlines`: a name and a value may have what ends a line elsewhere.
    for line in found.split(b"\n")[:-1]:
        if typed := _TYPE.fullmatch(line):
            name, kind = typed.groups()
            is_counting = kind.decode() in _COUNTING
            created = _created(name) if is_counting else ()
        if not (created and line.startswith(created)):
            yield line + b"\n"


#: A line that begins a family: its name, in quotes where it needs them, and its type.
_TYPE = re.compile(rb'# TYPE ("(?:[^"\\]|\\.)*"|\S+) (\w+)', re.DOTALL)


def _created(name: bytes) -> tuple[bytes, ...]:
    """What the lines begin with that say when series of a family were created."""
    if name.startswith(b'"'):
        quoted = b"{" + name[:-1] + b'_created"'
        return quoted + b"}", quoted + b","
    return name + b"_created ", name + b"_created{"


def shows_arena() -> bool:
    """Whether the default registry is the arena."""
    return not _arena.is_local() and not _replaced.has_failed()


def collects_arena(collector: Any) -> bool:
    """Whether a collector is one of the arena."""
    # Not whatever else a mock says.
    return getattr(collector, "_is_arena", False) is True


def set_target(labels: dict[str, str] | None) -> None:
    """Says what is measured, in ``target_info``; an info without labels says that nobody does."""
    pairs = [(str(name), str(value)) for name, value in (labels or {}).items()]
    if not _replaced.has_failed():
        _arena.quietly("target_info", lambda: _target().info([], pairs))


def _target() -> _native.Family:
    return _arena.registry().family("info", "target", "Target metadata")


def bridge(collector: Any) -> None:
    """Has what a collector of the default registry says counted in the arena."""
    if collects_arena(collector) or _replaced.has_failed():
        return
    kind = type(collector).__name__
    # The supervisor looks after the processes that it knows, all of them at once.
    if kind == "ProcessCollector" and getattr(collector, "_prefix", "") == "process_":
        return
    # Neither has to be asked.
    if kind == "PlatformCollector":
        _arena.quietly(kind, lambda: _set_once(collector))
    elif kind == "GCCollector":
        _arena.quietly(kind, lambda: _count_collections(collector))
    else:
        mode = getattr(collector, "multiprocess_mode", "all")
        _arena.quietly(kind, lambda: _asker.add(collector, mode))


def unbridge(collector: Any) -> None:
    """Ends what was begun for a collector that is registered no more."""
    _asker.remove(collector)
    for family in _bridged.pop(id(collector), ()):
        family.clear()


#: The families that stand for a collector, by its identity.
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
