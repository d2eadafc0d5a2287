"""Replaces parts of ``prometheus_client`` as it is imported, in whatever order.

A finder in front of all others asks the others, and has the module that they found patched once it
has run. A patch that fails leaves its module as it is; when it is one that counting needs, those
that were patched before do as they always did from then on. Either is said once, and raises
nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ._replaced import ESSENTIAL, EXPORTER, MODULES, PACKAGE, give_up, has_failed, is_disabled

_log = logging.getLogger("tallyboard")

#: Modules that make greenlets of threads, which is noticed if something has to be asked.
_GREENLETS = ("gevent.monkey", "eventlet.patcher")


def patch(module: ModuleType) -> None:
    """Patches a module that has just run."""
    if has_failed():
        return
    try:
        if module.__name__ == PACKAGE:
            _resolve()
        patches: Any = importlib.import_module("tallyboard._patches")
        patches.PATCHES[module.__name__](module)
        vars(module)["_tallyboard"] = True
    except Exception as error:
        give_up(module.__name__)
        _say_why("prometheus_client" if has_failed() else module.__name__, error)


def _say_why(name: str, error: Exception) -> None:
    if isinstance(error, ImportError) and "subinterpreters" in str(error):
        _log.warning(
            "%s counts for itself in this interpreter, and nothing of it in the service: it has a "
            "lock of its own (InterpreterPoolExecutor, concurrent.interpreters), with which no native "
            "module of this kind can be imported; count in a thread or in a process instead",
            name,
        )
        return
    _log.error(
        "%s is not replaced, and counts as it always did; see whether this version of "
        "prometheus_client is one of 0.5 to 0.26",
        name,
        exc_info=error,
    )


def _resolve() -> None:
    """Imports what the package has imported lazily (PEP 810), which is patched as it runs."""
    for name in MODULES:
        if name in ESSENTIAL - {PACKAGE}:
            # Older versions have fewer of them; whether enough is there the patches say.
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(name)


class _Loader:
    """Runs a module as its own loader does, then patches it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Who asks the module for its loader later gets its own.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._patch(module)

    def _patch(self, module: ModuleType) -> None:
        patch(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Watched(_Loader):
    """Runs a module as its own loader does, then has it watched."""

    def _patch(self, module: ModuleType) -> None:
        asker: Any = sys.modules.get("tallyboard._asker")
        if asker is not None:
            asker.watch(module)


class _Exporter:
    """Makes the module of the Postmates fork where ``prometheus_client`` has none."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        postmates: Any = importlib.import_module("tallyboard._postmates")
        postmates.make_exporter(module)


class _Finder:
    """Finds the modules that are patched, through all other finders."""

    def __init__(self) -> None:
        self._looking = threading.local()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in MODULES + _GREENLETS or getattr(self._looking, "now", False):
            return None
        self._looking.now = True
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._looking.now = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            loader = _Watched if name in _GREENLETS else _Loader
            spec.loader = loader(spec.loader)  # type: ignore[assignment]
        if spec is None and name == EXPORTER and not has_failed():
            return ModuleSpec(name, _Exporter())  # type: ignore[arg-type]
        return spec

    def _ask_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            ask = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = (
                None if finder is self or ask is None else ask(name, path, target)
            )
            if spec is not None:
                return spec
        return None


#: There is one: it does not ask itself, so that threads which begin at once may both insert it.
_FINDER = _Finder()


def begin() -> None:
    """Has what is imported from now on patched."""
    if not is_disabled() and not any(finder is _FINDER for finder in sys.meta_path):
        sys.meta_path.insert(0, _FINDER)


# What the line in `tallyboard.pth` imports this for.
if os.environ.get("TALLYBOARD"):
    begin()
