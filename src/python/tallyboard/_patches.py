"""What is replaced in each module of ``prometheus_client``.

The replacements keep names, signatures and what they give. Metrics of the default registry, and
those of none, count in the arena; those of a private ``CollectorRegistry`` stay in this process.
"""

from __future__ import annotations

import functools
import math
import os
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from . import _arena, _collect, _native

#: Named by PROMETHEUS_MULTIPROC_DIR where nobody else has set it: a directory that stays as it is.
NO_FILES = str(Path(__file__).parent / "no_files")

#: Position of `registry` behind `self` in the constructors of metrics.
_REGISTRY_ARGUMENT = 6


def patch_values(values: Any) -> None:
    """``ValueClass``, ``MultiProcessValue`` and ``get_value_class``."""
    private = values.MutexValue

    class _Values(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _native.Value)

    class SharedValue(metaclass=_Values):
        """A number of a series in the arena; in a private registry, one of this process."""

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
            if not _arena.is_private(metric):
                try:
                    if metric is None or (typ, metric_name) != (metric._type, metric._name):
                        raise ValueError(f"expected the value of a metric, found one of {name!r}")
                    return _shared_value(metric, name[len(metric_name) :], tuple(labelvalues))
                except Exception as error:
                    _arena.warn_once(metric_name, error)
            return private(typ, metric_name, name, labelnames, labelvalues, *arguments, **keywords)

    def multi_process_value(process_identifier: Callable[[], Any] = os.getpid) -> type:
        """The class of values that count in the arena, where the kernel says who a process is."""
        return SharedValue

    def get_value_class() -> type:
        return SharedValue

    values.MultiProcessValue = multi_process_value
    values.get_value_class = get_value_class
    values.ValueClass = SharedValue


def _shared_value(metric: Any, part: str, values: tuple[str, ...]) -> _native.Value:
    bound = math.inf
    if part == "_bucket":
        bound, values = float(values[-1]), values[:-1]
    return _arena.family_of(metric).value(list(values), part, bound)


def patch_metrics(metrics: Any) -> None:
    """What metrics do beside their values: which registry they are of, removal, infos, enums,
    callbacks."""
    base = metrics.MetricWrapperBase
    # One that a thread is still making as the values are replaced is a metric too.
    base._tallyboard_private = False
    metrics.warnings = _Warnings()
    _patch_construction(base, metrics.REGISTRY)
    _patch_removal(base)

    def info(original: Any, self: Any, val: dict[str, str]) -> None:
        original(self, val)
        pairs = [(str(name), str(value)) for name, value in val.items()]
        _shared(self, lambda family: family.info(list(self._labelvalues), pairs))

    def state(original: Any, self: Any, state: str) -> None:
        original(self, state)
        _shared(self, lambda family: family.state(list(self._labelvalues), state))

    def set_function(original: Any, self: Any, f: Callable[[], float]) -> None:
        original(self, f)
        _shared(self, lambda family: family.set_function(list(self._labelvalues), f))

    wrap(metrics.Info, "info", info)
    wrap(metrics.Enum, "state", state)
    wrap(metrics.Gauge, "set_function", set_function)


class _Warnings:
    """``warnings`` as the module of metrics sees it: without those of a removal, where the variable
    that they are given for is the hook's own."""

    def warn(self, *arguments: Any, **keywords: Any) -> None:
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not (getattr(_arena.making, "removes", False) and directory == NO_FILES):
            keywords["stacklevel"] = keywords.get("stacklevel", 1) + 1
            warnings.warn(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replaces a function by one that gets it as its first argument."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def replacement(*arguments: Any, **keywords: Any) -> Any:
        return wrapper(original, *arguments, **keywords)

    setattr(owner, name, replacement)


def _shared(metric: Any, act: Callable[[_native.Family], object]) -> None:
    if not _arena.is_private(metric):
        _arena.quietly(metric._name, lambda: act(_arena.family_of(metric)))


def _patch_construction(base: Any, default: Any) -> None:
    labels = base.labels

    def private_labels(self: Any, *values: object, **named: object) -> Any:
        # The children of a private metric do not know its registry.
        before = getattr(_arena.making, "private", False)
        _arena.making.private = True
        try:
            return labels(self, *values, **named)
        finally:
            _arena.making.private = before

    def construct(original: Any, self: Any, *arguments: Any, **keywords: Any) -> None:
        registry = keywords.get("registry", default)
        if len(arguments) > _REGISTRY_ARGUMENT:
            registry = arguments[_REGISTRY_ARGUMENT]
        is_child = bool(keywords.get("_labelvalues"))
        private = getattr(_arena.making, "private", False)
        if not is_child:
            private = registry is not None and registry is not default
        self._tallyboard_private = private
        before = getattr(_arena.making, "metric", None)
        _arena.making.metric = self
        try:
            original(self, *arguments, **keywords)
        finally:
            _arena.making.metric = before
        if private and not is_child:
            self.labels = types.MethodType(private_labels, self)

    wrap(base, "__init__", construct)


def _patch_removal(base: Any) -> None:
    """Removal across processes, without the warning that it is not possible. Each call removes what
    it is told to: what is gone meanwhile was another thread's to remove, and may have begun anew."""

    def remove(original: Any, self: Any, *values: Any) -> None:
        one = tuple(str(value) for value in values)
        meant = [one] if one in _children(self) else []
        _remove(self, lambda: original(self, *values), meant)

    def remove_by_labels(original: Any, self: Any, labels: dict[str, str]) -> None:
        # What is no dictionary is refused by the original.
        pairs = labels.items() if isinstance(labels, dict) else ()
        wanted = {(name, str(value)) for name, value in pairs}
        meant = [
            values
            for values in list(_children(self))
            if wanted and wanted <= set(zip(self._labelnames, values))
        ]
        _remove(self, lambda: original(self, labels), meant)

    def clear(original: Any, self: Any) -> None:
        _remove(self, lambda: original(self), list(_children(self)))

    wrap(base, "remove", remove)
    wrap(base, "clear", clear)
    if hasattr(base, "remove_by_labels"):
        wrap(base, "remove_by_labels", remove_by_labels)


def _children(metric: Any) -> dict[tuple[str, ...], Any]:
    """The children of a metric with labels, by their values."""
    children: dict[tuple[str, ...], Any] = vars(metric).get("_metrics", {})
    return children


def _remove(metric: Any, act: Callable[[], None], meant: Iterable[tuple[str, ...]]) -> None:
    _arena.making.removes = True
    try:
        act()
    finally:
        _arena.making.removes = False
    for values in meant:
        _shared(metric, functools.partial(_remove_series, list(values)))


def _remove_series(values: list[str], family: _native.Family) -> bool:
    return family.remove(values)


def patch_registry(registry: Any) -> None:
    """What the default registry collects, and what is registered there that is no metric."""
    default = registry.REGISTRY

    def collect(original: Any, self: Any) -> Iterable[Any]:
        if self is default and not _arena.is_local():
            return _collect.metrics()
        collected: Iterable[Any] = original(self)
        return collected

    def collect_restricted(original: Any, self: Any) -> Iterator[Any]:
        if self._registry is not default or _arena.is_local():
            yield from original(self)
            return
        for metric in _collect.metrics(sorted(self._name_set)):
            restricted = metric._restricted_metric(self._name_set)
            if restricted:
                yield restricted

    def register(original: Any, self: Any, collector: Any) -> None:
        original(self, collector)
        if self is default:
            _collect.bridge(default, collector)

    def unregister(original: Any, self: Any, collector: Any) -> None:
        original(self, collector)
        if self is default and hasattr(collector, "_tallyboard_private"):
            _shared(collector, lambda family: family.clear())
        elif self is default:
            _collect.unbridge(collector)

    wrap(registry.CollectorRegistry, "collect", collect)
    wrap(registry.CollectorRegistry, "register", register)
    wrap(registry.CollectorRegistry, "unregister", unregister)
    if hasattr(registry, "RestrictedRegistry"):
        wrap(registry.RestrictedRegistry, "collect", collect_restricted)


def patch_openmetrics(openmetrics: Any) -> None:
    """``openmetrics.exposition.generate_latest``."""

    def generate_latest(
        original: Any, registry: Any, escaping: str = "underscores", version: str = "1.0.0"
    ) -> bytes:
        if not _collect.is_arena(registry):
            page: bytes = original(registry, *_known(original, escaping, version))
            return page
        accept = f"application/openmetrics-text;version={version};escaping={escaping}"
        return _arena.exposition(accept)[1]

    wrap(openmetrics, "generate_latest", generate_latest)


def _known(function: Any, *arguments: Any) -> tuple[Any, ...]:
    """As many arguments as an older version has parameters for, behind the registry."""
    return arguments[: function.__code__.co_argcount - 1]


def patch_exposition(exposition: Any) -> None:
    """``generate_latest``, and through `_bake_output` the WSGI and ASGI applications, the HTTP
    server and ``MetricsHandler``."""

    def generate_latest(
        original: Any, registry: Any = exposition.REGISTRY, escaping: str = "underscores"
    ) -> bytes:
        if not _collect.is_arena(registry):
            page: bytes = original(registry, *_known(original, escaping))
            return page
        # The answer to no header is the one format that has no escaping of its own.
        accept = (
            "" if escaping == "underscores" else f"text/plain;version=1.0.0;escaping={escaping}"
        )
        return _arena.exposition(accept)[1]

    def bake_output(
        original: Any,
        registry: Any,
        accept_header: str | None,
        accept_encoding_header: str | None,
        params: dict[str, list[str]],
        disable_compression: bool,
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        if not _collect.is_arena(registry) or "name[]" in params:
            try:
                baked: tuple[str, list[tuple[str, str]], bytes] = original(
                    registry, accept_header, accept_encoding_header, params, disable_compression
                )
                return baked
            except _native.Unavailable as error:
                return _unavailable(error)
        try:
            content_type, output = _arena.exposition(accept_header or "")
        except _native.Unavailable as error:
            return _unavailable(error)
        headers = [("Content-Type", content_type)]
        if not disable_compression and exposition.gzip_accepted(accept_encoding_header):
            # The level that costs least: a scrape is compressed to be sent once.
            output = exposition.gzip.compress(output, 1)
            headers.append(("Content-Encoding", "gzip"))
        return "200 OK", headers, output

    wrap(exposition, "generate_latest", generate_latest)
    wrap(exposition, "_bake_output", bake_output)


def _unavailable(error: Exception) -> tuple[str, list[tuple[str, str]], bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    return "503 Service Unavailable", headers, f"{error}\n".encode()


def patch_multiprocess(multiprocess: Any) -> None:
    """``MultiProcessCollector`` and ``mark_process_dead``."""
    base = multiprocess.MultiProcessCollector

    class MultiProcessCollector(base):  # type: ignore[misc, valid-type]
        """Collects the arena. The directory must be there, and is neither written nor read."""

        _is_arena = True

        def collect(self) -> Iterable[Any]:
            return _collect.metrics()

    def mark_process_dead(pid: int, path: str | None = None) -> None:
        """Nothing: the kernel says when a process is dead, and what it leaves is kept or not as
        the modes of its gauges say."""

    multiprocess.MultiProcessCollector = MultiProcessCollector
    multiprocess.mark_process_dead = mark_process_dead


def patch_package(package: Any) -> None:
    """Tells libraries that look for the variable that many processes are one here."""
    values: Any = package.values if hasattr(package, "values") else None
    is_replaced = values is None or getattr(values.ValueClass, "__name__", "") == "SharedValue"
    names = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
    if is_replaced and not any(name in os.environ for name in names):
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = NO_FILES


PATCHES: dict[str, Callable[[Any], None]] = {
    "prometheus_client.values": patch_values,
    "prometheus_client.registry": patch_registry,
    "prometheus_client.metrics": patch_metrics,
    "prometheus_client.openmetrics.exposition": patch_openmetrics,
    "prometheus_client.exposition": patch_exposition,
    "prometheus_client.multiprocess": patch_multiprocess,
    "prometheus_client": patch_package,
}
