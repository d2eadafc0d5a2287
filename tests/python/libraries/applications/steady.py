"""A clock that stands still but where an application says that time passes.

What libraries measure is then the same whoever counts it, to the last bit: all amounts are binary
fractions. Imported before the library, which would keep the machine's clock otherwise.
"""

import os
import signal
import time
import timeit
from contextvars import ContextVar

_now = ContextVar("now", default=0.0)


def now():
    return _now.get()


def spend(seconds):
    """Lets time pass for the request that is being answered, and for no other."""
    _now.set(_now.get() + float(seconds))


def answer(kind):
    """What every application here does for a path: says who answers, after some time, or dies."""
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    spend({"quick": 0.0625, "slow": 0.75}[kind])
    # As long whichever process says it: sizes of answers are measured too.
    return f"{os.getpid():08}"


time.perf_counter = timeit.default_timer = now
