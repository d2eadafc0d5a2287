"""The arena as the patches see it: families found by what ``prometheus_client`` says of them, and
the exposition of the whole service.

Threads come here at once, with the interpreter's lock or without one, and none waits for another:
a lock that is held while a process forks is never free in the child. What they share are
dictionaries, of which ``setdefault`` says who came first.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from . import _native, _waiting

_log = logging.getLogger("tallyboard")

#: The metric that the running thread is making, and whether it removes one.
making = threading.local()

_families: dict[tuple[object, ...], _native.Family] = {}
#: The metrics that a warning was said of, and what stands for the thread that said it.
_warned: dict[str, object] = {}


@functools.cache
def registry() -> _native.Registry:
    """The registry that ``TALLYBOARD`` configures. There is one, whichever thread asks first."""
    return _native.Registry.shared()


def is_local() -> bool:
    """Whether ``TALLYBOARD_LOCAL`` has the default registry expose this process alone."""
    return os.environ.get("TALLYBOARD_LOCAL", "") not in ("", "0")


def exposition(
    accept: str, names: Sequence[str] = (), looks_like_its_own: bool = False
) -> tuple[str, bytes]:
    """The metrics of the whole service, with numbers as ``prometheus_client`` writes them where they
    are to look like its own."""
    return registry().exposition(accept, list(names), _waiting.left(), looks_like_its_own)


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


def counts_alone(metric: Any) -> bool:
    """Whether a metric counts in this process alone."""
    return bool(getattr(metric, "_tallyboard_alone", False))


def is_by_itself(metric: Any) -> bool:
    """Whether a metric also keeps what is counted by it alone: one of another registry than the
    default one, or of none yet, may be exposed by itself."""
    return bool(getattr(metric, "_tallyboard_by_itself", False))


def refused_value(name: str) -> _native.Value:
    """A number of a metric that the arena does not take: it counts in this process, and the arena
    counts how often it did."""
    family = registry().family(
        "counter",
        "python_refused_operations",
        "Operations of metrics that the arena does not take, by the name of the metric.",
        labels=["metric"],
    )
    return family.refused([name])


def family_of(metric: Any) -> _native.Family:
    """The family that a metric or one of its children counts in."""
    bounds = [float(bound) for bound in getattr(metric, "_upper_bounds", ())]
    # A bucket that stands twice is empty the second time.
    rising = tuple(dict.fromkeys(bound for bound in bounds if math.isfinite(bound)))
    states = tuple(getattr(metric, "_states", None) or ())
    mode = getattr(metric, "_multiprocess_mode", "all")
    labels = tuple(metric._labelnames)
    key = (metric._type, metric._name, labels, mode, rising, states)
    family = _families.get(key)
    if family is None:
        # Threads that register it at once get one family, of which the first object stays.
        registered = registry().family(
            metric._type,
            metric._name,
            metric._documentation,
            unit=metric._unit,
            labels=list(labels),
            mode=mode,
            bounds=list(rising),
            states=list(states),
        )
        family = _families.setdefault(key, registered)
    return family
