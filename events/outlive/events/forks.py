"""What a process that was forked off inherits and must not touch.

A child made by `fork` has a copy of all objects, but none of the threads that serve them, and
what they have mapped or open it shares with its parent. So whoever holds such a thing remembers
the process in which it was made, and refuses in any other.

An LMDB environment must not even be freed there: that writes into the table of readers which
the processes share, and takes the parent's places out of it. From then on the parent cannot
read, and an owner would write over what it is reading. So the child keeps them all to its end.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import Final

import lmdb

from outlive.events.errors import LogClosed

_forks = 0  # between this process and the first one; asking the kernel costs more
_environments: Final[weakref.WeakSet[lmdb.Environment]] = weakref.WeakSet()
_inherited: Final[set[str]] = set()


class Birthplace:
    """The process in which something was made."""

    __slots__ = ("_forks", "pid")

    def __init__(self) -> None:
        self.pid: Final = os.getpid()
        self._forks: Final = _forks

    @property
    def left(self) -> bool:
        """Whether this process was forked off that one."""
        return _forks != self._forks

    def check(self, what: str) -> None:
        """Raise LogClosed in a process that was forked off that one. `what` was opened there."""
        if _forks != self._forks:
            raise LogClosed(
                f"{what} was opened by process {self.pid}, and this one was forked off it: start "
                "processes that use the log by spawn or forkserver, or open it after the fork alone"
            )


def kept_in_children(env: lmdb.Environment) -> lmdb.Environment:
    """Return an environment that is never freed in a process that is forked off this one."""
    _environments.add(env)
    return env


def inherited(folder: str | os.PathLike[str]) -> bool:
    """Whether a parent process had the environment in this folder open when it forked."""
    return os.fspath(folder) in _inherited


def _after_fork() -> None:
    global _forks  # noqa: PLW0603  # there is one of it in a process
    _forks += 1
    environments = _open_ones()
    if environments:
        from ctypes import py_object, pythonapi  # noqa: PLC0415  # in such a child only

        for env, path in environments.items():
            pythonapi.Py_IncRef(py_object(env))  # Also past the interpreter's own clearing up.
            _inherited.add(path)
    _environments.clear()


def _open_ones() -> dict[lmdb.Environment, str]:
    found: dict[lmdb.Environment, str] = {}
    for env in list(_environments):
        with suppress(lmdb.Error):  # It is closed: there is nothing left to be freed.
            found[env] = env.path()
    return found


os.register_at_fork(after_in_child=_after_fork)
