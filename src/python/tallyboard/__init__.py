"""Metrics of servers that fork, counted in shared memory.

Under ``tallyboard exec -- COMMAND``, or with ``TALLYBOARD`` set to the address of a supervisor, an
unmodified ``prometheus_client`` counts in the arena, and every worker exposes the whole service.
Nothing has to be imported for that; what is here is for those who want to say it themselves.
"""

from __future__ import annotations

# The interpreter imports this package wherever it is installed, so no module for types with it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._native import Unavailable, __version__

__all__ = ["Unavailable", "__version__", "attachment", "exposition", "install"]


def install(address: str | None = None) -> list[str]:
    """Replaces what ``prometheus_client`` counts in, in this process.

    ``address`` is the control address of a supervisor; without it ``TALLYBOARD`` says. Metrics that
    exist already move into the arena with what they have counted. Says what could not be reached.
    """
    from . import _install

    return _install.install(address)


def exposition(accept: str = "", names: list[str] | None = None) -> tuple[str, bytes]:
    """The metrics of the whole service: content type and page, in the format that fits a header
    ``Accept``. Raises :class:`Unavailable` when the supervisor does not answer."""
    from . import _collect

    return _collect.exposition(accept, names or [])


def attachment() -> tuple[int, int, int] | None:
    """Slot, generation and arena that this process counts in; nothing while it counts privately."""
    from . import _arena

    return _arena.registry().attachment()


def __getattr__(name: str) -> object:
    # The hook imports this package in every process; the native module waits until it is needed.
    if name in ("Unavailable", "__version__"):
        from . import _native

        return getattr(_native, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
