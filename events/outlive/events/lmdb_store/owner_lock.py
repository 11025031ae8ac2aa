"""The file lock that an owner holds: one process at a time, set free by its death."""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from outlive.events.errors import LogInUse, LogNotWritable

_TRIES: Final = 500
_PAUSE_S: Final = 0.002


class OwnerLock:
    """An exclusive `flock` on a file that names its holder's process id.

    The kernel lets go of it when the last descriptor is closed. A child made by `fork` has
    one too, and would keep a dead owner's lock, so it is closed in the child.

    Raises:
        LogInUse: another process holds it, or this one does already.
        LogNotWritable: the file cannot be written or locked.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise LogNotWritable(str(path.parent), error.strerror or str(error)) from error
        try:
            self._lock()
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            self.release()
            mine = ", this process" if holder == str(os.getpid()) else ""
            raise LogInUse(str(path.parent), f"process {holder or 'unknown'}{mine}") from None
        except OSError as error:
            self.release()
            raise LogNotWritable(str(path.parent), error.strerror or str(error)) from error
        _held.add(self)

    def _lock(self) -> None:
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # By an owner, then this raises; or by one that reads, and will be done soon.
                fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                threading.Event().wait(_PAUSE_S)
            else:
                return
        raise BlockingIOError

    def release(self) -> None:
        """Let go. Twice is once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Unowned:
    """For reading without an entry in LMDB's table of readers: only while nobody owns the log.

    Without that entry an owner writes over the pages that are being read, and what reads them
    is stopped by LMDB, with its process. An owner that comes meanwhile waits for the read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep owners away. Raises LogNotWritable if there is one."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LogNotWritable(
                str(self._path.parent),
                "while the log has an owner, who reads it has to write log/lock.mdb",
            ) from None
        finally:
            os.close(descriptor)


_held: Final[weakref.WeakSet[OwnerLock]] = weakref.WeakSet()


def _release_in_child() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
