"""Reading and following a log from a process that does not own it."""

from __future__ import annotations

import os
import threading
from contextlib import nullcontext
from pathlib import Path

from outlive.events.codec import CODEC, Codec
from outlive.events.errors import LogClosed, LogFailed, LogNotFound, OutliveError
from outlive.events.feed import READ_LIMIT
from outlive.events.ids import Position
from outlive.events.lmdb_store.folder import Folder
from outlive.events.lmdb_store.layout import (
    open_environment,
    open_tables,
)
from outlive.events.lmdb_store.opened import LmdbReads, Opened, checked
from outlive.events.lmdb_store.opening import check_formats
from outlive.events.lmdb_store.owner_lock import Unowned
from outlive.events.lmdb_store.wake import Bell


class LmdbReader(LmdbReads):
    """A `LogReader` of a folder, while its owner writes, or when no owner is left.

    Writes nothing but LMDB's table of readers, and a socket while it is followed. On a
    read-only mount it does without both, and reads only while the log has no owner. Not for
    use in a process forked off after opening.

    All followers of one reader, on whatever event loop, are fed by one thread that reads what
    is new once. It runs while there is a follower.

    Raises:
        LogNotFound: there is no log in the folder. Nothing is made there.
        LogInUse: this process has it open already; its owner can read as well.
        CorruptLog: what is there is not what was written.
        NewerFormat: a later release wrote it.
        LogFailed: the files cannot be read.
        LogNotWritable: LMDB's table of readers cannot be written, and there is an owner. Reads
            raise it too, if one comes later.
    """

    def __init__(self, path: str | os.PathLike[str], *, codec: Codec = CODEC) -> None:
        folder = Folder(path)
        marker = folder.marker()
        if marker is None:
            raise LogNotFound(str(folder.path))
        locked = _may_lock(folder.environment)
        unowned = nullcontext if locked else Unowned(folder.owner_lock).held
        env = open_environment(folder.environment, readonly=True, lock=locked)
        with checked(env, folder, unowned):
            tables = open_tables(env)
            with env.begin() as txn:
                check_formats(txn, tables, folder, marker)
        super().__init__(Opened(folder, env, tables, codec, marker.log_id, unowned=unowned))
        self._opened.feed.on_follow = self._keep_polling
        self._polling = threading.Lock()
        self._closed = False
        self._bell: Bell | None = None
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """End the followers and let go of the log. Twice is once."""
        if self._reading.in_fork:
            return
        with self._polling:
            self._closed = True
            bell, thread = self._bell, self._thread
        if bell is not None:
            bell.stop()
        if thread is not None:
            thread.join()
        self._opened.feed.end(LogClosed("the log is closed"))
        self._reading.close()

    def _keep_polling(self) -> None:
        """See to it that somebody looks for what comes after the present head."""
        with self._polling:
            if self._bell is not None or self._closed:
                return
            commit = self._reading.last_commit()
            head = self._reading.head()
            bell = Bell(self._opened.folder.wake)
            self._bell = bell
            self._thread = threading.Thread(
                target=self._poll, args=(bell, commit, head), name="outlive-reader", daemon=True
            )
            self._thread.start()

    def _poll(self, bell: Bell, commit: int, position: Position) -> None:
        try:
            while bell.wait():
                with self._polling:
                    # Under the lock: who comes now finds this thread, or starts another one.
                    if not self._opened.feed.followed:
                        self._bell = None
                        return
                now = self._reading.last_commit()
                if now == commit:
                    continue
                commit = now
                while records := self._reading.read_all(position, READ_LIMIT):
                    position = records[-1].position
                    self._opened.feed.publish(records)
        except OutliveError as error:
            self._opened.feed.end(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody may wait for ever
            failed = LogFailed(f"the log cannot be followed: {error}")
            failed.__cause__ = error
            self._opened.feed.end(failed)
        finally:
            bell.close()


def _may_lock(environment: Path) -> bool:
    """Whether LMDB can enter this process into its table of readers."""
    lock_file = environment / "lock.mdb"
    target = lock_file if lock_file.exists() else environment
    return os.access(
        target, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids
    )
