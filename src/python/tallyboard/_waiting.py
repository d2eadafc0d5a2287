"""How long whoever asked for a page waits for it.

A scraper says so in a header; what makes the page finds it here, whichever thread or task it is in.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterator

from . import _native

#: Where Prometheus says how long it waits, in seconds with decimals.
HEADER = "X-Prometheus-Scrape-Timeout-Seconds"

#: How long the supervisor is waited for where nobody says.
_OTHERWISE_S = _native.EXPOSITION_SECONDS

#: Longest time that a scraper may ask for; a longer one is none, as for the supervisor itself.
_LONGEST_S = 24 * 3600.0

_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("deadline")


@contextlib.contextmanager
def until_scraper_leaves(header: str | None) -> Iterator[None]:
    """Has pages come before a scraper leaves that has sent this header."""
    seconds = _seconds(header)
    if seconds is None:
        yield
        return
    # What went wrong is said while it still listens.
    token = _deadline.set(time.monotonic() + seconds - min(0.5, seconds / 10))
    try:
        yield
    finally:
        # A task that is thrown away may end in another context, which has none.
        with contextlib.suppress(ValueError):
            _deadline.reset(token)


def left() -> float:
    """How many seconds are left."""
    deadline = _deadline.get(None)
    return _OTHERWISE_S if deadline is None else max(deadline - time.monotonic(), 0.0)


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if 0 < seconds <= _LONGEST_S else None
