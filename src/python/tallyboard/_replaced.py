"""What of ``prometheus_client`` is replaced, whether it could be, and how a function is.

The hook knows this before ``prometheus_client`` is imported, and so does all that the replacements are
made of: it stands below both, and imports nothing of this package.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

#: The modules that are patched; each has a function of its name in ``_patches``. Where all exist
#: already this is their order: metrics say what they are before a value of them is made anew.
MODULES = (
    "prometheus_client.metrics",
    "prometheus_client.values",
    "prometheus_client.registry",
    "prometheus_client.openmetrics.exposition",
    "prometheus_client.exposition",
    "prometheus_client.multiprocess",
    "prometheus_client.multiprocess_exporter",
    "prometheus_client",
)

#: The package itself, which is patched last.
PACKAGE = "prometheus_client"

#: The module that the Postmates fork has, and upstream has not.
EXPORTER = "prometheus_client.multiprocess_exporter"

#: Without these all others stay as they are: what some of them counted nobody would show.
ESSENTIAL = frozenset(MODULES) - {"prometheus_client.multiprocess", EXPORTER}

#: The modules whose patches failed.
_failed: set[str] = set()


def is_disabled() -> bool:
    """Whether ``TALLYBOARD_DISABLE`` turns everything off."""
    return os.environ.get("TALLYBOARD_DISABLE", "") not in ("", "0")


def has_failed() -> bool:
    """Whether ``prometheus_client`` counts as it always did, because it could not be patched."""
    return not _failed.isdisjoint(ESSENTIAL)


def give_up(name: str) -> None:
    """Remembers that a module could not be patched."""
    _failed.add(name)


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replaces a function by one that gets it as its first argument."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def replacement(*arguments: Any, **keywords: Any) -> Any:
        return wrapper(original, *arguments, **keywords)

    setattr(owner, name, replacement)
