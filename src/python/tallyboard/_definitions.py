"""What metrics mean by a name, and which of them may have it in a process.

The arena has one definition of a name from each process. Another one may take its place when nobody
counts by the first any more: its metrics are unregistered, or gone with their registries. A metric of
the default registry takes the place of those of other registries in any case, which count alone from
then on.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, MutableMapping
from typing import Any, NamedTuple

from . import _native


class Key(NamedTuple):
    """All that makes a definition."""

    kind: str
    name: str
    labels: tuple[str, ...]
    mode: str
    bounds: tuple[float, ...]
    states: tuple[str, ...]


#: What the samples of a type are called behind the name.
_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "info": ("", "_info"),
}

#: The metrics of each definition that count by it.
_users: dict[Key, set[weakref.ref[Any]]] = {}


def key_of(metric: Any) -> Key:
    """What a metric or one of its children means."""
    bounds = [float(bound) for bound in getattr(metric, "_upper_bounds", ())]
    return Key(
        metric._type,
        metric._name,
        tuple(metric._labelnames),
        getattr(metric, "_multiprocess_mode", "all"),
        # A bucket that stands twice is empty the second time.
        tuple(dict.fromkeys(bound for bound in bounds if math.isfinite(bound))),
        tuple(getattr(metric, "_states", None) or ()),
    )


def use(metric: Any) -> None:
    """Remembers that a metric counts by its definition, as long as it lives."""
    users = _users.setdefault(key_of(metric), set())
    users.add(weakref.ref(metric, users.discard))


def leave(metric: Any) -> None:
    """A metric counts by its definition no more."""
    _users.get(key_of(metric), set()).discard(weakref.ref(metric))


def has_others(metric: Any) -> bool:
    """Whether another metric counts by the same definition."""
    return any(user is not metric for user in _living(key_of(metric)))


def make_room(metric: Any, families: MutableMapping[Key, _native.Family]) -> bool:
    """Gives up the definitions that a metric contradicts, if it may take their place."""
    key = key_of(metric)
    rivals = _rivals(key, families)
    if any(rival.name != key.name for rival in rivals):
        # The supervisor has several definitions of a name, but a sample of one name alone.
        return False
    is_of_default = not getattr(metric, "_tallyboard_by_itself", False)
    for rival in rivals:
        users = list(_living(rival))
        if users and not (is_of_default and all(_is_by_itself(user) for user in users)):
            return False
    for rival in rivals:
        family = families.pop(rival, None)
        if family is not None:
            family.retire()
    return bool(rivals)


def contradicted(metric: Any) -> list[Any]:
    """The metrics that count by a definition which that of a metric contradicts."""
    key = key_of(metric)
    rivals = [other for other in list(_users) if other != key and _contradict(other, key)]
    return [user for rival in rivals for user in _living(rival)]


def _rivals(key: Key, families: MutableMapping[Key, _native.Family]) -> list[Key]:
    return [other for other in list(families) if other != key and _contradict(other, key)]


def _contradict(one: Key, other: Key) -> bool:
    return not _samples(one).isdisjoint(_samples(other))


def _samples(key: Key) -> set[str]:
    return {key.name + suffix for suffix in _SUFFIXES.get(key.kind, ("",))}


def _living(key: Key) -> Iterator[Any]:
    for user in _users.get(key, set()).copy():
        metric = user()
        if metric is not None:
            yield metric


def _is_by_itself(metric: Any) -> bool:
    return bool(getattr(metric, "_tallyboard_by_itself", False))
