"""The thread that renews an owner's lease, and finds out that somebody else owns the log.

It does nothing else, so that nothing keeps it from it: as long as this process runs at all, the
lease is renewed, however busy its loop or its writer are.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Final

from outlive.events.errors import LogFailed, OutliveError
from outlive.events.lmdb_store.folder import Folder
from outlive.events.lmdb_store.owner_lock import OwnerLock
from outlive.events.lmdb_store.write_lock import writer_stuck
from outlive.events.logger import get_logger

_log = get_logger()
_RENEWALS: Final = 5  # in the time of one lease
_STUCK_AFTER: Final = 2  # looks at which the writer still waits for the same transaction


class Keeper:
    """Keeps an owner's lease from `start` to `stop`.

    `lost` is called once, when the lock is no longer the one in the folder: with None when
    another one has taken its place, with an error when the folder is gone, or when nobody is
    left in this process who acts on the log (`wanted`). `waiting` tells which transaction the
    writer waits to begin, if it does. All on the keeper's thread.
    """

    def __init__(
        self,
        lock: OwnerLock,
        folder: Folder,
        epoch: int,
        lease_s: float,
        *,
        lost: Callable[[OutliveError | None], None],
        waiting: Callable[[], int | None],
        wanted: Callable[[], bool],
    ) -> None:
        self._lock = lock
        self._folder = folder
        self._epoch = epoch
        self._lease_s = lease_s
        self._lost = lost
        self._waiting = waiting
        self._wanted = wanted
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outlive-lease", daemon=True)
        self.stuck: OutliveError | None = None  # why nobody can write now

    def start(self) -> None:
        """Begin, with a first renewal."""
        self._lock.renew(self._epoch, self._lease_s)
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Twice is once."""
        self._stopped.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        before, looks = None, 0
        while not self._stopped.wait(self._lease_s / _RENEWALS):
            try:
                if not self._lock.in_place:
                    self._lost(None)
                    return
                if not self._wanted():
                    self._lost(LogFailed("nobody is left in this process who acts on the log"))
                    return
                self._lock.renew(self._epoch, self._lease_s)
            except OSError as error:
                if self._stopped.is_set():
                    return
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    continue  # The next renewal may succeed: the folder is there.
                path = str(self._folder.path)
                self._lost(LogFailed(f"the folder of the log, {path!r}, is gone: {error}"))
                return
            now = self._waiting()
            looks = looks + 1 if now is not None and now == before else 0
            before = now
            if looks < _STUCK_AFTER:
                self.stuck = None
            elif self.stuck is None:
                self.stuck = writer_stuck(self._folder)
                _log.error("writer_stuck", reason=str(self.stuck))
