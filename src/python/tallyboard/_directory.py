"""The directory that PROMETHEUS_MULTIPROC_DIR names where nobody else has set the variable.

Libraries ask whether the variable is set, and whether it names a directory; applications wipe that
directory when they start, as the manual of ``prometheus_client`` says. So there is one to ask for and
to wipe, ``tallyboard-UID-PID-START/prometheus``, under the runtime directory of the user or a
temporary one. Nothing here writes or reads what is in it.

Rules. 1: it is made when the variable is first asked for, and never again: who wiped it makes it
himself, or does without. 2: the outer directory has a shared lock by each process that was forked
since, and goes with the last of them. 3: what others have left is swept when one is made, and only
where owner, name, lock and pid say that it is nobody's; `tallyboard exec` and `serve` sweep too. 4: the variable is this process's and that of
its forks: no copy of the environment has it, so no program that is started with one does. 5: an error
of the system is no error of the application, for which the variable is not set then.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from typing import Any

#: The names of the variable; versions before 0.10 know the second alone.
VARIABLES = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")

#: The variable as a key of ``os.environ`` and of ``os.environb``.
_KEYS = frozenset((*VARIABLES, *(name.encode() for name in VARIABLES)))

#: What is ours is called: uid, pid and start of the process that made it.
_OUTER = re.compile(r"tallyboard-(\d+)-(\d+)-(\d+)")
_INNER = "prometheus"

#: The class of ``os.environ``, of which type checkers know the half.
_Environ: Any = os._Environ

#: How often a directory is made anew when another process sweeps it before it has its lock.
_ATTEMPTS = 8

#: Those that this process holds, by effective uid: the inner one, and the descriptor with the lock.
_held: dict[int, tuple[str, int]] = {}


def is_ours(path: object) -> bool:
    """Whether a path is of a directory that is made here, in this process or in another one."""
    outer, inner = os.path.split(os.fsdecode(path)) if isinstance(path, (str, bytes)) else ("", "")
    return inner == _INNER and _OUTER.fullmatch(os.path.basename(outer)) is not None


def begin(names: tuple[str, ...]) -> None:
    """Sets variables for this process and its forks, unless the user has set one."""
    # What another process has passed on is that process's.
    if not all(is_ours(value) for name in VARIABLES if (value := _value(name)) is not None):
        return
    for environ in (os.environ, os.environb):
        if type(environ) is os._Environ:
            environ.__class__ = _Environment
    path: str | None = os.path.join(next(_bases()), _outer_name(), _INNER)
    if not isinstance(os.environ, _Environment):
        # Another library's environment, which says nothing when it is asked.
        path = _made()
    for name in names:
        os.unsetenv(name)
        if path is not None:
            os.environ[name] = path


def _value(name: str) -> object:
    """A variable as it is, without asking for it."""
    raw: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
    return os.environ.get(name) if raw is None else raw.get(os.fsencode(name))


class _Environment(_Environ):  # type: ignore[misc]
    """The environment of a process that asks for a variable, and is what its programs are given."""

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        if key in _KEYS and is_ours(value):
            made = _made()
            if made is None:
                super().__delitem__(key)
                raise KeyError(key)
            value = self.decodevalue(os.fsencode(made))
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        if key in _KEYS and is_ours(value):
            # The C library is not told, which gives its copy to programs.
            self._data[self.encodekey(key)] = self.encodevalue(value)
        else:
            super().__setitem__(key, value)

    def __iter__(self) -> Iterator[Any]:
        for key in super().__iter__():
            if not (key in _KEYS and is_ours(self._data.get(self.encodekey(key)))):
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        super().clear()
        self._data.clear()


def _made() -> str | None:
    """The directory of this process, which is there or was wiped; nothing where none can be made."""
    uid = os.geteuid()
    if uid not in _held:
        for base in _bases():
            with contextlib.suppress(OSError):
                _make(base, uid)
                break
    return _held[uid][0] if uid in _held else None


def _make(base: str, uid: int) -> None:
    _sweep(base)
    outer = os.path.join(base, _outer_name())
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileExistsError):
            os.mkdir(outer, 0o700)
        try:
            lock = _open(outer)
        except FileNotFoundError:
            continue
        try:
            if not _lock(lock, outer, fcntl.LOCK_SH):
                continue
            inner = os.path.join(outer, _INNER)
            with contextlib.suppress(FileExistsError):
                os.mkdir(inner, 0o700)
            # Threads that ask at once have made the same one.
            if _held.setdefault(uid, (inner, lock)) == (inner, lock):
                lock = -1
                if len(_held) == 1:
                    atexit.register(_leave)
            return
        except OSError:
            # A file system without locks, or without room: there may be another one.
            shutil.rmtree(outer, ignore_errors=True)
            raise
        finally:
            if lock >= 0:
                os.close(lock)
    raise OSError(f"expected to lock {outer}, found it swept {_ATTEMPTS} times")


def _bases() -> Iterator[str]:
    """Where it may be made: the runtime directory of the user, else a temporary one."""
    uid = os.geteuid()
    for path in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}"):
        # That of another user may be in the environment, and may even be writable.
        with contextlib.suppress(OSError):
            if os.path.isabs(path) and os.stat(path).st_uid == uid:
                yield path
    for path in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp"):
        if os.path.isabs(path):
            yield path


def _outer_name() -> str:
    pid = os.getpid()
    return f"tallyboard-{os.geteuid()}-{pid}-{_start(pid)}"


def _start(pid: int) -> int:
    """When a process has started, in ticks since the machine has; 0 for one that has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # Behind the name, which may have any character in it.
            fields = file.read().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0


def _open(outer: str) -> int:
    """Opens a directory of this user; raises ``OSError`` for whatever else is there."""
    opened = os.open(outer, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    found = os.fstat(opened)
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700:
        return opened
    os.close(opened)
    raise PermissionError(f"expected {outer} to be this user's alone, found it another's")


def _lock(opened: int, path: str, kind: int) -> bool:
    """Locks a directory; says whether it has the lock, and is still the one at its path."""
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(opened), os.stat(path, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return False


def _sweep(base: str) -> None:
    """Removes what processes have left that could not do it themselves."""
    with contextlib.suppress(OSError), os.scandir(base) as entries:
        for name in [entry.name for entry in entries if entry.name.startswith("tallyboard-")]:
            known = _OUTER.fullmatch(name)
            if known is None or int(known[1]) != os.geteuid():
                continue
            # One that has closed its descriptors has no lock any more, but is there.
            if _start(int(known[2])) != int(known[3]):
                _remove(os.path.join(base, name))


def _remove(outer: str) -> None:
    """Removes a directory that nobody holds."""
    with contextlib.suppress(OSError):
        opened = _open(outer)
        try:
            if _lock(opened, outer, fcntl.LOCK_EX):
                shutil.rmtree(outer, ignore_errors=True)
        finally:
            os.close(opened)


def _leave() -> None:
    """Removes what this process has made, unless one that was forked since goes on."""
    for inner, lock in list(_held.values()):
        outer = os.path.dirname(inner)
        # An application may have closed all descriptors, and have the number for something else.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(lock), os.stat(outer, follow_symlinks=False)):
                os.close(lock)
        _remove(outer)
    _held.clear()
