"""What metrics do beside their values: which registry they are of, removal, infos, enums,
callbacks, and the times of gauges."""

from __future__ import annotations

import functools
import os
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from . import _arena, _callbacks, _definitions, _directory, _native, _replaced
from ._replaced import wrap

#: Positions behind `self` in the constructors of metrics, and in that of gauges.
_REGISTRY, _LABELVALUES, _MODE = 6, 7, 8

#: Those modes of gauges in which the newest value counts.
_ORDERED = frozenset(("latest", "mostrecent", "livemostrecent"))

#: All modes of gauges. `latest` is what the Postmates fork calls `mostrecent`.
_MODES = _ORDERED | {"all", "liveall", "sum", "livesum", "max", "livemax", "min", "livemin"}

#: The modes that the fork has as constants of `Gauge`.
_CONSTANTS = ("latest", "all", "liveall", "livesum", "max", "min")


def patch_metrics(metrics: Any) -> None:
    """What metrics do beside their values."""
    base = metrics.MetricWrapperBase
    # One that a thread is still making as the values are replaced is a metric too.
    base._tallyboard_alone = base._tallyboard_by_itself = False
    if hasattr(metrics, "warnings"):
        metrics.warnings = _Warnings()
    _patch_construction(base, metrics.REGISTRY)
    _patch_removal(base)
    _patch_times(metrics.Gauge)
    _patch_observation(metrics.Summary)

    def info(original: Any, self: Any, val: dict[str, str]) -> None:
        original(self, val)
        pairs = [(str(name), str(value)) for name, value in val.items()]
        _shared(self, lambda family: family.info(list(self._labelvalues), pairs))

    def state(original: Any, self: Any, state: str) -> None:
        original(self, state)
        _shared(self, lambda family: family.state(list(self._labelvalues), state))

    def set_function(original: Any, self: Any, f: Callable[[], float]) -> None:
        original(self, f)
        _shared(self, lambda family: _callbacks.set_function(family, self, f))

    def begin(original: Any, self: Any, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        if self._is_observable():
            _shared(self, lambda family: family.show_first(list(self._labelvalues)))

    def gauge(original: Any, self: Any, *arguments: Any, **keywords: Any) -> None:
        mode = os.environ.get("TALLYBOARD_GAUGE_MODE")
        # What is no mode the client says, once.
        if mode in _MODES and len(arguments) <= _MODE and "multiprocess_mode" not in keywords:
            keywords["multiprocess_mode"] = mode
        original(self, *arguments, **keywords)

    wrap(metrics.Info, "info", info)
    wrap(metrics.Info, "__init__", begin)
    wrap(metrics.Enum, "state", state)
    wrap(metrics.Enum, "__init__", begin)
    wrap(metrics.Gauge, "set_function", set_function)
    wrap(metrics.Gauge, "__init__", gauge)


class _Warnings:
    """``warnings`` as the module of metrics sees it: without those of a removal, where the variable
    that they are given for is the hook's own."""

    def warn(self, *arguments: Any, **keywords: Any) -> None:
        is_own = _directory.is_ours(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        if not (getattr(_arena.making, "removes", False) and is_own):
            keywords["stacklevel"] = keywords.get("stacklevel", 1) + 1
            warnings.warn(*arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)


def _shared(metric: Any, act: Callable[[_native.Family], object]) -> None:
    if not _arena.counts_alone(metric) and not _replaced.has_failed():
        _arena.quietly(metric._name, lambda: act(_arena.family_of(metric)))


def _patch_construction(base: Any, default: Any) -> None:
    def construct(original: Any, self: Any, *arguments: Any, **keywords: Any) -> None:
        def given(at: int, names: tuple[str, ...], otherwise: Any) -> Any:
            named = [keywords[name] for name in names if name in keywords]
            return arguments[at] if len(arguments) > at else (named + [otherwise])[0]

        registry = given(_REGISTRY, ("registry",), default)
        # Before 0.11 the name had no underscore.
        is_child = bool(given(_LABELVALUES, ("_labelvalues", "labelvalues"), None))
        is_own = registry is not None and registry is not default
        alone, by_itself = is_own and _arena.keeps_registries_private(), registry is not default
        if is_child:
            parent = _parent(base)
            alone, by_itself = _arena.counts_alone(parent), _arena.is_by_itself(parent)
        self._tallyboard_alone, self._tallyboard_by_itself = alone, by_itself
        before = getattr(_arena.making, "metric", None)
        _arena.making.metric = self
        try:
            original(self, *arguments, **keywords)
        finally:
            _arena.making.metric = before
        if not is_child and not _arena.counts_alone(self) and not _replaced.has_failed():
            _definitions.use(self)
            _warn_of_own_samples(type(self), base.__module__)

    wrap(base, "__init__", construct)


#: What says the samples of a metric.
_SAMPLES = ("collect", "_samples", "_multi_samples", "_child_samples")


def _warn_of_own_samples(kind: type, module: str) -> None:
    """Says of a class once that it has samples beside what its values count."""
    if kind.__module__ == module or "_tallyboard_said" in vars(kind):
        return
    # Each has the class that defines it.
    owners = {name: _owner(kind, name) for name in _SAMPLES}
    own = [name for name, owner in owners.items() if owner.__module__ != module]
    kind._tallyboard_said = True  # type: ignore[attr-defined]
    if own:
        _arena.say(
            "%s has a %s of its own, which the page of the service does not ask: it shows what the "
            "values of such a metric count; give what else it knows by a collector",
            kind.__qualname__,
            " and a ".join(own),
        )


def _owner(kind: type, name: str) -> type:
    return next((each for each in kind.__mro__ if name in vars(each)), kind)


def _parent(base: Any) -> Any:
    """The metric that makes a child, which does not know its registry and is told of none. A thread
    may have asked for a child before anything was replaced, but makes it in this function still."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        parent = frame.f_locals.get("self") if frame.f_code.co_name == "labels" else None
        if isinstance(parent, base):
            return parent
        frame = frame.f_back
    return None


def _patch_removal(base: Any) -> None:
    """Removal across processes, without the warning that it is not possible. Each call removes what
    it is told to: what else is gone meanwhile another thread removed, and may have begun anew."""

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

    replaced: dict[str, Callable[..., None]] = {
        "remove": remove,
        "remove_by_labels": remove_by_labels,
        "clear": clear,
    }
    for name, replacement in replaced.items():
        # Older versions have fewer of them.
        if hasattr(base, name):
            wrap(base, name, replacement)


def _children(metric: Any) -> dict[tuple[str, ...], Any]:
    """The children of a metric with labels, by their values."""
    # Not `vars`: an object that was asked for its dictionary is slower from then on.
    children: dict[tuple[str, ...], Any] = getattr(metric, "_metrics", {})
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


def _patch_observation(summary: Any) -> None:
    """An observation that is not a number is dropped as a whole: the count of a summary comes before
    its sum, which alone says no. A histogram has its sum first, and then no bucket."""
    observe = summary.observe

    @functools.wraps(observe)
    def observe_number(self: Any, amount: float) -> None:
        total = vars(self).get("_sum") if amount != amount else None
        if isinstance(total, _native.Value):
            total.inc(amount)
        else:
            observe(self, amount)

    summary.observe = observe_number


def _patch_times(gauge: Any) -> None:
    """The mode `latest`, and values that are those of a time that the application gives."""
    set_now, increase, decrease = gauge.set, gauge.inc, gauge.dec
    takes_time = "timestamp" in getattr(getattr(set_now, "__code__", None), "co_varnames", ())

    def set_at(self: Any, value: float, at: float) -> None:
        check = getattr(self, "_raise_if_not_observable", None)
        if check is not None:
            check()
        if isinstance(self._value, _native.Value):
            self._value.set_at(float(value), at)
        elif at >= vars(self).get("_tallyboard_at", 0.0):
            self._tallyboard_at = at
            set_now(self, value, at) if takes_time else set_now(self, value)

    def set_here(self: Any, value: float, at: float) -> None:
        """Sets a gauge that remembers itself when it was set."""
        if isinstance(getattr(self, "_value", None), _native.Value):
            self._value.set(float(value), at)
        else:
            set_at(self, value, at)

    @functools.wraps(set_now)
    def set_value(self: Any, value: float, timestamp: float | None = None) -> None:
        is_ordered = self._multiprocess_mode in _ORDERED
        if timestamp is not None and is_ordered:
            set_at(self, value, float(timestamp))
        elif is_ordered and _arena.is_by_itself(self):
            set_here(self, value, time.time())
        else:
            set_now(self, value)

    @functools.wraps(increase)
    def inc(self: Any, amount: float = 1, timestamp: float | None = None) -> None:
        if timestamp is None or getattr(self, "_is_most_recent", False):
            increase(self, amount)
        else:
            set_value(self, self._value.get() + amount, timestamp)

    @functools.wraps(decrease)
    def dec(self: Any, amount: float = 1, timestamp: float | None = None) -> None:
        if timestamp is None or getattr(self, "_is_most_recent", False):
            decrease(self, amount)
        else:
            set_value(self, self._value.get() - amount, timestamp)

    gauge.set, gauge.inc, gauge.dec = set_value, inc, dec
    gauge._MULTIPROC_MODES = frozenset(gauge._MULTIPROC_MODES) | _MODES
    for mode in _CONSTANTS:
        if not hasattr(gauge, mode.upper()):
            setattr(gauge, mode.upper(), mode)
