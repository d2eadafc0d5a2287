"""The interpreters that this machine has, each with the packages of these tests."""

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

#: Those that the wheel of these tests is for.
MINORS = range(10, 16)


@functools.cache
def _found(minor):
    """The program of a version, if there is one here that is no free-threaded one."""
    here = sys.version_info[:2] == (3, minor)
    roots = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = sorted(roots.glob(f"3.{minor}.*/bin/python3"))
    named = [sys.executable] if here else [shutil.which(f"python3.{minor}"), *kept]
    ask = "import sys, sysconfig; print(*sys.version_info[:2], sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    for program in filter(None, named):
        said = subprocess.run([program, "-c", ask], capture_output=True, text=True)
        if said.stdout.split()[:2] == ["3", str(minor)] and (here or said.stdout.endswith("0\n")):
            return str(program)
    return None


def each(since=10):
    """A parameter for each of them; those that are not here are said not to be run."""
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    # The wheel of a free-threaded interpreter is for that one alone.
    minors = [sys.version_info[1]] if free_threaded else MINORS
    for minor in minors:
        program = _found(minor)
        absent = pytest.mark.skip(reason=f"CPython 3.{minor}: none is here")
        if minor >= since:
            yield pytest.param(program, marks=() if program else absent, id=f"3.{minor}")


def begin():
    """What a program says first to have the packages of these tests under another interpreter."""
    return f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
