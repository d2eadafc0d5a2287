"""The names by which the Postmates fork has an archiver read the files of many processes. Under
upstream these names are here too, so that an application that was written for the fork runs on
either."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from . import _collect, _multiprocess

#: How often the fork's archiver would look for the dead.
CLEANUP_INTERVAL = 5.0


def patch_multiprocess(multiprocess: Any) -> None:
    """Collectors of files, and what is said of dead processes."""
    _multiprocess.patch(multiprocess)
    multiprocess.InMemoryCollector = InMemoryCollector
    multiprocess.mark_process_dead = mark_process_dead
    multiprocess.cleanup_process = cleanup_process
    multiprocess.archive_metrics = archive_metrics


class InMemoryCollector:
    """Collects the arena, as the collector of the fork does what its archiver has cached."""

    _is_arena = True

    def __init__(self, registry: Any) -> None:
        if registry:
            registry.register(self)

    def describe(self) -> Iterable[Any]:
        """Nothing: the names of the arena are those of the metrics that a registry has itself."""
        return []

    def says_all(self) -> bool:
        """Whether it says what the arena has, which one that is derived from it may not."""
        return type(self).collect is InMemoryCollector.collect

    def collect(self, blocking: bool = True) -> Iterable[Any]:
        return _multiprocess.found()


def mark_process_dead(pid: int, path: str | None = None) -> None:
    """Nothing: the kernel says when a process is dead, and what it leaves is kept or not as the
    modes of its gauges say."""


def cleanup_process(pid: int, prom_dir: str | None = None) -> None:
    """Nothing: the supervisor adds what a process leaves to its archive."""


def archive_metrics(
    root: str | None = None, blocking: bool = True, aggregate_only: bool = False
) -> None:
    """Nothing: the supervisor has archived the dead when this could be called."""


def archive_thread() -> None:
    """Nothing: there is nothing left for the archiver to do."""


def start_archiver_thread() -> None:
    """Nothing, and no thread: see :func:`archive_metrics`."""


def patch_exporter(exporter: Any) -> None:
    """``prometheus_client.multiprocess_exporter`` of the fork."""
    exporter.archive_metrics = archive_metrics
    exporter.archive_thread = archive_thread
    exporter.start_archiver_thread = start_archiver_thread
    # One that was imported before `install` has collectors of files.
    registry: Any = getattr(exporter, "registry", None)
    stale = [
        c for c in getattr(registry, "_collector_to_names", ()) if not _collect.collects_arena(c)
    ]
    if stale:
        for collector in stale:
            registry.unregister(collector)
        InMemoryCollector(registry)


def make_exporter(module: ModuleType) -> None:
    """Fills a module with what the one of the fork has."""
    package: Any = importlib.import_module("prometheus_client")
    registry = package.CollectorRegistry()
    InMemoryCollector(registry)

    def on_starting(server: object) -> None:
        """gunicorn's hook, which the module is a configuration with."""
        vars(module)["start_archiver_thread"]()

    vars(module).update(
        __doc__="Exposes the service; see the Postmates fork of prometheus_client.",
        CLEANUP_INTERVAL=CLEANUP_INTERVAL,
        registry=registry,
        app=package.make_wsgi_app(registry),
        archive_metrics=archive_metrics,
        archive_thread=archive_thread,
        start_archiver_thread=start_archiver_thread,
        on_starting=on_starting,
        _tallyboard=True,
    )
