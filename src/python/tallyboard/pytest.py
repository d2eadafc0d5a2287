"""A plugin of pytest, with which each test begins with nothing counted::

    pytest -p tallyboard.pytest

The process that runs tests has a supervisor of its own, also where ``TALLYBOARD`` names another one, so
that tests which run beside it (pytest-xdist) count elsewhere. Before each test every metric begins anew:
what it has counted, here and in children that were forked, is gone, and so are the label sets that the
application does not hold. Values of metrics are 0 then, as they are when a program starts.

An application that a test starts as a program has an arena of the test's with the fixture
``tallyboard_arena``::

    def test_a_worker_counts(tallyboard_arena):
        subprocess.run(["worker", "--once"], check=True)
        assert b"jobs_total 1\\n" in tallyboard_arena.exposition()[1]
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from . import _arena, _collect, _install, _moves, _native, _replaced
from ._replaced import wrap
from ._supervisor import Supervisor

#: The supervisor of this process.
_running: list[Supervisor] = []

#: All metrics that tests may have counted with, wherever they are registered.
_metrics: weakref.WeakSet[Any] = weakref.WeakSet()


def pytest_configure(config: pytest.Config) -> None:
    """Checks that everything is replaced; it was begun as this file was read."""
    if _missed:
        raise pytest.UsageError(f"tallyboard: {'; '.join(_missed)}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the supervisor."""
    while _running:
        _running.pop().end()


@pytest.fixture(autouse=True)
def _tallyboard_begins_anew() -> None:
    if _running:
        metrics = [metric for metric in _metrics if not _arena.counts_alone(metric)]
        counted = _label_sets(metrics)
        for metric in metrics:
            known = counted.get(metric._name, ())
            _arena.quietly(metric._name, functools.partial(_clear, metric, known))
        # Asked once, the supervisor knows what is gone, and of whom.
        _arena.exposition("", ["tallyboard_build_info"])
        for metric in list(_metrics):
            _arena.quietly(metric._name, functools.partial(_begin_anew, metric))


class Arena:
    """An arena of a test: of what the test starts while it runs."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._registry = _native.Registry(address)

    def exposition(self, accept: str = "", names: list[str] | None = None) -> tuple[str, bytes]:
        """Its metrics, as :func:`tallyboard.exposition` gives those of a process."""
        return self._registry.exposition(accept, names or [])


@pytest.fixture
def tallyboard_arena(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    """An arena for programs that a test starts: its address is in their environment."""
    supervisor = Supervisor(f"pytest-{os.getpid()}-arena")
    monkeypatch.setenv("TALLYBOARD", supervisor.address)
    try:
        yield Arena(supervisor.address)
    finally:
        supervisor.end()
        os.close(supervisor.held)


def _begin() -> list[str]:
    if _replaced.is_disabled():
        return []
    try:
        supervisor = Supervisor(f"pytest-{os.getpid()}")
    except OSError as error:
        return [str(error)]
    _running.append(supervisor)
    missed = _install.install(supervisor.address)
    module: Any = importlib.import_module("prometheus_client.metrics")
    known = _install._instances(module.MetricWrapperBase)
    _metrics.update(each for each in known if not getattr(each, "_labelvalues", True))

    def construct(original: Any, self: Any, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        if not self._labelvalues:
            _metrics.add(self)

    wrap(module.MetricWrapperBase, "__init__", construct)
    return missed


def _label_sets(metrics: list[Any]) -> dict[str, set[tuple[str, ...]]]:
    """The label sets of metrics that anybody has counted, by the name of the metric."""
    labels = {metric._name: metric._labelnames for metric in metrics if metric._labelnames}
    found: dict[str, set[tuple[str, ...]]] = {}
    for family in _collect.metrics(list(labels)) if labels else ():
        names = labels.get(family.name, ())
        for sample in family.samples:
            values = tuple(sample.labels.get(name, "") for name in names)
            found.setdefault(family.name, set()).add(values)
    return found


def _clear(metric: Any, counted: Iterable[tuple[str, ...]]) -> None:
    """Takes all series of a metric out of the arena, whoever has begun them."""
    family = _arena.family_of(metric)
    for values in counted:
        # What a process removes it must have.
        if metric._type in ("info", "stateset"):
            family.show_first(list(values))
        else:
            family.value(list(values), _PARTS.get(metric._type, ""))
    family.clear()


#: A number that each series of a type has.
_PARTS = {"summary": "_count", "histogram": "_sum"}


def _begin_anew(metric: Any) -> None:
    """Has a metric be as it is when it is made, and those of its children that somebody holds."""
    children = vars(metric).get("_metrics", {})
    for values, is_held in zip(list(children), _are_held(children), strict=True):
        if is_held:
            _moves.begin_anew(children[values])
        else:
            del children[values]
    if metric._is_observable():
        _moves.begin_anew(metric)


def _are_held(children: dict[Any, Any]) -> list[bool]:
    """Of each child whether anybody has it but its metric."""
    nobodys = _references({None: object()})[0]
    return [references > nobodys for references in _references(children)]


def _references(children: dict[Any, Any]) -> list[int]:
    return [sys.getrefcount(child) for child in children.values()]


_missed = _begin()
