"""``MultiProcessCollector``, and what it is made of: all of it reads the arena instead of files.

The class itself is changed, so that those that were derived from it before, and collectors that exist
already, read the arena too.
"""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from . import _arena, _collect, _directory
from ._replaced import wrap


def patch(multiprocess: Any) -> None:
    """Collectors of files."""
    base = multiprocess.MultiProcessCollector

    def construct(original: Any, self: Any, registry: Any, path: str | None = None) -> None:
        named = path or next(filter(None, map(os.environ.get, _directory.VARIABLES)), None)
        if not _directory.is_ours(named):
            original(self, registry, path)
            return
        # It may have been wiped.
        self._path = named
        if registry:
            registry.register(self)

    def merge(original: Any, files: Sequence[str], accumulate: bool = True) -> Iterable[Any]:
        if _are_gone(files):
            merged: Iterable[Any] = original(files, accumulate)
            return merged
        return found() if accumulate else list(map(_uncumulated, found()))

    def read(original: Any, files: Sequence[str]) -> dict[str, Any]:
        if _are_gone(files):
            metrics: dict[str, Any] = original(files)
            return metrics
        return {metric.name: _raw(metric) for metric in found()}

    def collect(self: Any, blocking: bool = True) -> Iterable[Any]:
        if type(self).merge is base.merge:
            return found()
        merged: Iterable[Any] = self.merge(
            glob.glob(os.path.join(self._path, "*.db")), accumulate=True
        )
        return merged

    def says_all(self: Any) -> bool:
        """Whether it says what the arena has, which one that is derived from it may not."""
        return type(self).collect is base.collect and type(self).merge is base.merge

    wrap(base, "__init__", construct)
    _replace(base, "merge", merge)
    if hasattr(base, "_read_metrics"):
        _replace(base, "_read_metrics", read)
    base.collect, base.says_all, base.describe = collect, says_all, _describe
    base._is_arena = True


def _replace(base: Any, name: str, replacement: Callable[..., Any]) -> None:
    """Replaces a function of a class that needs no instance. Before 0.7 it was given one."""
    original = getattr(base, name)
    if isinstance(vars(base)[name], staticmethod):
        function = functools.wraps(original)(functools.partial(replacement, original))
        setattr(base, name, staticmethod(function))
        return

    @functools.wraps(original)
    def method(self: Any, *given: Any, **named: Any) -> Any:
        return replacement(functools.partial(original, self), *given, **named)

    setattr(base, name, method)


def _describe(self: object) -> Iterable[Any]:
    """Nothing: the names of the arena are those of the metrics that a registry has itself."""
    return []


def found() -> list[Any]:
    """What a collector of the arena collects."""
    # The files that this stands for have no created times either.
    return list(_collect.without_created(_collect.metrics()))


def _raw(metric: Any) -> Any:
    """A metric as it is read of files, before those of all processes become one."""
    if metric.type == "gauge":
        # Whatever the mode was, these are its values.
        metric._multiprocess_mode = "all"
    metric.samples = [
        sample._replace(labels=tuple(sorted(sample.labels.items())))
        for sample in _uncumulated(metric).samples
    ]
    return metric


def _uncumulated(metric: Any) -> Any:
    """A histogram as a file has it: a bucket is what is in it alone, and there is no count."""
    if metric.type == "histogram":
        metric.samples = list(_own_counts(metric))
    return metric


def _own_counts(metric: Any) -> Iterator[Any]:
    below = 0.0
    for sample in metric.samples:
        if sample.name == f"{metric.name}_bucket":
            yield sample._replace(value=sample.value - below)
            below = 0.0 if sample.labels["le"] == "+Inf" else sample.value
        elif sample.name != f"{metric.name}_count":
            yield sample


def _are_gone(files: Sequence[str]) -> bool:
    """Whether files are named and none is there any more: then nobody asks for the arena."""
    there = [file for file in files if os.path.exists(file)]
    for directory in {os.path.dirname(file) for file in there}:
        _say_once(directory)
    return bool(files) and not there


@functools.cache
def _say_once(directory: str) -> None:
    _arena.say(
        "files of metrics in %r are not read: this process counts in the arena; see which program "
        "writes them, and start it with TALLYBOARD and this package",
        directory,
    )
