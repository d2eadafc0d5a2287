"""Values of ``prometheus_client`` whose numbers have moved into the arena.

A thread that took such a value before it was replaced counts in it afterwards, and one that waits
for its lock has begun to. Whatever either adds or sets is passed on, so that a move loses nothing
and doubles nothing, however many threads count meanwhile.
"""

from __future__ import annotations

from typing import Any


class _Added(float):
    """What was added to a number that has moved."""


class _Number(float):
    """A number that has moved, as the code of a value sees it: ``self._value += amount``."""

    def __iadd__(self, amount: float) -> _Added:
        return _Added(amount)


class _Moved:
    """Takes the place of the class of a value."""

    _multiprocess = True
    _moved_to: Any

    @property
    def _value(self) -> _Number:
        return _Number(self._moved_to.get())

    @_value.setter
    def _value(self, value: float) -> None:
        (self._moved_to.inc if isinstance(value, _Added) else self._moved_to.set)(value)

    def inc(self, amount: float) -> None:
        self._moved_to.inc(amount)

    def set(self, value: float, timestamp: float | None = None) -> None:
        self._moved_to.set(value)

    def get(self) -> float:
        amount: float = self._moved_to.get()
        return amount

    def set_exemplar(self, exemplar: Any) -> None:
        self._moved_to.set_exemplar(exemplar)

    def get_exemplar(self) -> Any:
        return self._moved_to.get_exemplar()


def forward(old: Any, new: Any, is_set: bool) -> None:
    """Moves what a ``MutexValue`` has counted to another value, and has it pass on the rest."""
    with old._lock:
        if amount := old._value:
            (new.set if is_set else new.inc)(amount)
        old._moved_to = new
        old.__class__ = _Moved
