"""What is replaced in each module of ``prometheus_client``.

The replacements keep names, signatures and what they give. Metrics count in the arena whatever
their registry is, as in files. Those of a ``CollectorRegistry`` of the application's own also keep
what is counted by them in this process, which is what that registry shows.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from . import _arena, _directory, _instruments, _native, _pages, _postmates, _replaced

#: The names of the variable for files that are set: later versions warn of the second.
_known: tuple[str, ...] = _directory.VARIABLES[:1]


def patch_values(values: Any) -> None:
    """``ValueClass``, ``MultiProcessValue`` and ``get_value_class``."""
    alone = values.MutexValue

    class _Values(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _native.Value)

    class SharedValue(metaclass=_Values):
        """A number of a series in the arena, or one that counts in this process alone."""

        _multiprocess = True

        def __new__(
            cls,
            typ: str,
            metric_name: str,
            name: str,
            labelnames: Iterable[str],
            labelvalues: Iterable[str],
            *arguments: Any,
            **keywords: Any,
        ) -> Any:
            metric = getattr(_arena.making, "metric", None)
            if not _arena.counts_alone(metric) and not _replaced.has_failed():
                try:
                    return _counting_value(metric, typ, metric_name, name, tuple(labelvalues))
                except Exception as error:
                    _arena.warn_once(metric_name, error)
            return alone(typ, metric_name, name, labelnames, labelvalues, *arguments, **keywords)

        @classmethod
        def close_all_files(cls) -> None:
            """Nothing: there are none."""

    def multi_process_value(
        process_identifier: Callable[[], Any] = os.getpid, **named: Callable[[], Any]
    ) -> type:
        """The class of values that count in the arena, where the kernel says who a process is.
        Before 0.8 the argument was called ``_pidFunc``."""
        if named.keys() - {"_pidFunc"}:
            raise TypeError(f"expected process_identifier or _pidFunc, found {sorted(named)}")
        return SharedValue

    def get_value_class() -> type:
        return SharedValue

    code = getattr(values.get_value_class, "__code__", None)
    if _directory.VARIABLES[0] not in getattr(code, "co_consts", _directory.VARIABLES):
        global _known
        _known = _directory.VARIABLES
    values.MultiProcessValue = multi_process_value
    values.get_value_class = get_value_class
    values.ValueClass = SharedValue


def _counting_value(
    metric: Any, typ: str, metric_name: str, name: str, values: tuple[str, ...]
) -> _native.Value:
    """A number that counts in the arena, if only how often it was used."""
    try:
        if metric is None or (typ, metric_name) != (metric._type, metric._name):
            raise ValueError(f"expected the value of a metric, found one of {name!r}")
        is_by_itself = _arena.is_by_itself(metric)
        return _shared_value(metric, name[len(metric_name) :], values, is_by_itself)
    except Exception as error:
        _arena.warn_once(metric_name, error)
        return _arena.refused_value(metric_name)


def _shared_value(
    metric: Any, part: str, values: tuple[str, ...], is_by_itself: bool = False
) -> _native.Value:
    bound = math.inf
    if part == "_bucket":
        bound, values = float(values[-1]), values[:-1]
    return _arena.family_of(metric).value(list(values), part, bound, is_by_itself)


def patch_package(package: Any) -> None:
    """Tells libraries that look for the variable that many processes are one here."""
    values: Any = sys.modules.get("prometheus_client.values")
    if values is None:
        raise ImportError("expected a module prometheus_client.values, found none")
    is_replaced = getattr(values.ValueClass, "__name__", "") == "SharedValue"
    if is_replaced:
        _directory.begin(_known)


PATCHES: dict[str, Callable[[Any], None]] = {
    "prometheus_client.values": patch_values,
    "prometheus_client.registry": _pages.patch_registry,
    "prometheus_client.metrics": _instruments.patch_metrics,
    "prometheus_client.openmetrics.exposition": _pages.patch_openmetrics,
    "prometheus_client.exposition": _pages.patch_exposition,
    "prometheus_client.multiprocess": _postmates.patch_multiprocess,
    "prometheus_client.multiprocess_exporter": _postmates.patch_exporter,
    "prometheus_client": patch_package,
}
