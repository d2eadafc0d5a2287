"""A thread that asks, and can be left alone at a fork and at an exit.

It waits in Python. A fork tells it to end, waits until it has, but not for long, and has it begin
again on both sides; so does an exit, after which nothing begins. No lock that it holds is asked for by
anybody else.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

from . import _native, _questions

_log = logging.getLogger("tallyboard")

#: How long a fork, or an exit, waits for what is asked just now.
FORK_WAIT_S = 0.05

#: How often it looks whether a thread has gone that has nothing left to do.
_LOOK_S = 0.0001


#: As it is where threads are not greenlets.
_sleep = time.sleep


def wait_for_end(thread: int, end: float) -> None:
    """Waits until a thread has gone that has nothing left to do, or until a time: the kernel knows it a
    little longer than Python does, and counts threads at a fork."""
    while os.path.exists(f"/proc/self/task/{thread}") and time.monotonic() < end:
        _sleep(_LOOK_S)


class World:
    """What asks in a process."""

    #: What there is one of in a process.
    kind: object = None

    def begin(self) -> None:
        """Begins to ask."""

    def ring(self) -> None:
        """Has what is new asked soon."""

    def leave(self) -> None:
        """Asks nothing more, but for what is asked just now."""

    def before_fork(self) -> None:
        """Asks nothing while the process forks, if that can be waited for."""

    def after_fork(self) -> bool:
        """Goes on in the parent; says whether another one has to begin instead."""
        return False

    def after_fork_in_child(self) -> None:
        """Does nothing in the child that is the parent's."""


class _Notice:
    """Tells a thread to end. Either it does, or who told it finds it busy and has it go on."""

    def __init__(self) -> None:
        self._claims: dict[str, object] = {}

    def claim(self) -> bool:
        """Decides which; says whether this was first to do so."""
        mine = object()
        return self._claims.setdefault("first", mine) is mine


class Thread(World):
    """A thread that ``threading`` does not know: nothing joins it, and nothing patches it."""

    kind = "thread"

    #: As they were when this was imported: where they are patched later, another world begins.
    _start, _ident = staticmethod(_thread.start_new_thread), staticmethod(_thread.get_ident)

    def __init__(self, is_current: Callable[[World], bool]) -> None:
        self._is_current = is_current
        self._bell, self._done = _thread.allocate_lock(), _thread.allocate_lock()
        self._bell.acquire()
        self._done.acquire()
        self._notice: _Notice | None = None
        #: Those of forks that are under way, by the threads that fork.
        self._notices: dict[int, _Notice] = {}
        self._its_ident: int | None = None
        self._number = 0

    def begin(self) -> None:
        # No signal of the application's is delivered to it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._start(self._run, ())
        except RuntimeError as error:
            self._done.release()
            # One that ends makes no threads any more.
            if "shutdown" not in str(error):
                _log.warning(
                    "no thread to ask callbacks and collectors: %s; see whether the limit of threads "
                    "is reached",
                    error,
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def ring(self) -> None:
        # It may ring already.
        with contextlib.suppress(RuntimeError):
            self._bell.release()

    def leave(self) -> None:
        self._tell(_Notice())

    def before_fork(self) -> None:
        self._notices[self._ident()] = notice = _Notice()
        self._tell(notice)

    def after_fork(self) -> bool:
        notice = self._notices.pop(self._ident(), None)
        if notice is None:
            return False
        if notice.claim():
            # It is busy, and goes on.
            if self._notice is notice:
                self._notice = None
            return False
        return True

    def _tell(self, notice: _Notice) -> None:
        # What is asked may fork itself, or end the process.
        if self._ident() == self._its_ident:
            return
        self._notice = notice
        self.ring()
        end = time.monotonic() + FORK_WAIT_S
        if not self._done.acquire(True, FORK_WAIT_S):
            return
        self._done.release()
        wait_for_end(self._number, end)

    def _run(self) -> None:
        self._its_ident = self._ident()
        self._number = _native.thread_id()
        try:
            while self._is_current(self):
                pause = _questions.turn(self._is_told, ends=())
                notice = self._notice
                if notice is None:
                    self._bell.acquire(True, pause)
                elif notice.claim():
                    return
        finally:
            self._done.release()

    def _is_told(self) -> bool:
        return self._notice is not None
