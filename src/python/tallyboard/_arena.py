"""The arena as the patches see it: families found by what ``prometheus_client`` says of them, and
the exposition of the whole service.

Threads come here at once, with the interpreter's lock or without one, and none waits for another:
a lock that is held while a process forks is never free in the child. What they share are
dictionaries, of which ``setdefault`` says who came first.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from . import _definitions, _native, _waiting

_log = logging.getLogger("tallyboard")

#: The metric that the running thread is making, and whether it removes one.
making = threading.local()

_families: dict[_definitions.Key, _native.Family] = {}
#: The metrics that a warning was said of, and what stands for the thread that said it.
_warned: dict[str, object] = {}


@functools.cache
def registry() -> _native.Registry:
    """The registry that ``TALLYBOARD`` configures. There is one, whichever thread asks first."""
    return _native.Registry.shared()


def is_used() -> bool:
    """Whether anybody has asked for the registry."""
    return registry.cache_info().currsize > 0


def is_local() -> bool:
    """Whether ``TALLYBOARD_LOCAL`` has the default registry expose this process alone."""
    return os.environ.get("TALLYBOARD_LOCAL", "") not in ("", "0")


def exposition(
    accept: str, names: Sequence[str] = (), looks_like_its_own: bool = False
) -> tuple[str, bytes]:
    """The metrics of the whole service, with numbers as ``prometheus_client`` writes them where they
    are to look like its own."""
    return registry().exposition(accept, list(names), _waiting.left(), looks_like_its_own)


def families(names: Sequence[str] = ()) -> list[Any]:
    """The same as families with their samples, under names that this ``prometheus_client`` takes."""
    escaping = "allow-utf-8" if _takes_any_name() else "underscores"
    found: list[Any] = registry().families(list(names), _waiting.left(), escaping)
    return found


def _takes_any_name() -> bool:
    """Whether ``prometheus_client`` takes any name: versions before 0.22 do not, and later ones where
    ``PROMETHEUS_LEGACY_NAME_VALIDATION`` or a function of theirs has them as strict."""
    validation: Any = sys.modules.get("prometheus_client.validation")
    return validation is not None and not validation.get_legacy_validation()


def say(warning: str, *arguments: object) -> None:
    """Says something that the application must not fail for."""
    _log.warning(warning, *arguments)


def warn_once(name: str, error: Exception) -> None:
    """Says of a metric once that it counts in this process alone."""
    mine = object()
    if _warned.setdefault(name, mine) is mine:
        _log.warning("%s; %r counts in this process alone", error, name)


def quietly(name: str, act: Callable[[], object]) -> None:
    """Does something of a metric that the application must not fail for."""
    try:
        act()
    except Exception as error:
        warn_once(name, error)


def keeps_registries_private() -> bool:
    """Whether ``TALLYBOARD_PRIVATE_REGISTRIES`` has the metrics of registries of the application's
    own count in their process alone."""
    return os.environ.get("TALLYBOARD_PRIVATE_REGISTRIES", "") not in ("", "0")


def is_metric(collector: Any) -> bool:
    """Whether a collector is a metric of ``prometheus_client``."""
    return isinstance(getattr(collector, "_tallyboard_alone", None), bool)


def counts_alone(metric: Any) -> bool:
    """Whether a metric counts in this process alone."""
    return bool(getattr(metric, "_tallyboard_alone", False))


def is_by_itself(metric: Any) -> bool:
    """Whether a metric also keeps what is counted by it alone: one of another registry than the
    default one, or of none yet, may be exposed by itself."""
    return bool(getattr(metric, "_tallyboard_by_itself", False))


def children(metric: Any) -> list[Any]:
    """The children of a metric with labels."""
    # Not `vars`: an object that was asked for its dictionary is slower from then on.
    if getattr(metric, "_metrics", None) is None:
        return []
    # A child that another thread has begun to make is among them when that is done; one that is
    # begun later asks the metric where it counts.
    with metric._lock:
        return list(metric._metrics.values())


def refuse(metric: Any) -> None:
    """Has a metric and its children count alone, as another one has taken their name."""
    for each in [metric, *children(metric)]:
        for name in ("_value", "_count", "_sum"):
            value = getattr(each, name, None)
            if isinstance(value, _native.Value):
                setattr(each, name, refused_value(each._name, value))
        if getattr(each, "_buckets", None):
            each._buckets = [refused_value(each._name, value) for value in each._buckets]
    _definitions.leave(metric)
    reason = "a metric of the default registry has the name with another definition"
    warn_once(metric._name, ValueError(reason))


def refused_value(name: str, before: _native.Value | None = None) -> _native.Value:
    """A number of a metric that the arena does not take: it counts in this process, from where
    another one was, and the arena counts how often it does."""
    family = registry().family(
        "counter",
        "python_refused_operations",
        "Operations of metrics that the arena does not take, by the name of the metric.",
        labels=["metric"],
    )
    value = family.refused([name], before.get() if before else 0.0)
    if before and (exemplar := before.get_exemplar()) is not None:
        value.set_exemplar(exemplar)
    return value


def family_of(metric: Any) -> _native.Family:
    """The family that a metric or one of its children counts in."""
    key = _definitions.key_of(metric)
    family = _families.get(key)
    if family is None:
        try:
            family = _register(metric, key)
        except ValueError:
            if not _definitions.make_room(metric, _families):
                raise
            family = _register(metric, key)
            if not metric._labelvalues:
                # The parent of a child is known.
                _definitions.use(metric)
            for other in _definitions.contradicted(metric):
                refuse(other)
    return family


def _register(metric: Any, key: _definitions.Key) -> _native.Family:
    # Threads that register it at once get one family, of which the first object stays.
    registered = registry().family(
        key.kind,
        key.name,
        metric._documentation,
        # Before 0.14 a counter may have lost its unit with the suffix of its samples.
        unit=metric._unit if metric._name.endswith(f"_{metric._unit}") else "",
        labels=list(key.labels),
        mode=key.mode,
        bounds=list(key.bounds),
        states=list(key.states),
    )
    return _families.setdefault(key, registered)
