"""Reading and following a log from a process that does not own it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress

from outlive.events.codec import CODEC, Codec
from outlive.events.errors import (
    CorruptLog,
    LogClosed,
    LogFailed,
    LogNotFound,
    NewerFormat,
    OutliveError,
    UnknownEvent,
)
from outlive.events.ids import Position
from outlive.events.lmdb_store.durability import Durability
from outlive.events.lmdb_store.folder import Folder
from outlive.events.lmdb_store.layout import open_environment, open_tables
from outlive.events.lmdb_store.opened import LmdbReads, Opened, checked
from outlive.events.lmdb_store.opening import check_formats
from outlive.events.lmdb_store.owner_lock import Unowned, check_namespace
from outlive.events.lmdb_store.seal import look_at, mark_in_use
from outlive.events.lmdb_store.wake import Bell
from outlive.events.lmdb_store.write_lock import first_write
from outlive.events.subscription import READ_LIMIT


class LmdbFollower(LmdbReads):
    """A log that is read and followed while another process writes it.

    All followers of it, on whatever event loop, are fed by one thread that reads what is new
    once. It runs while there is a follower, or somebody who `watch`es.
    """

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        self._polling = threading.Lock()
        self._closed = False
        self._bell: Bell | None = None
        self._thread: threading.Thread | None = None
        self._watchers: list[Callable[[], None]] = []
        opened.feed.on_follow = self._keep_polling

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each commit, from another thread, until `unwatch`."""
        self._watchers.append(callback)
        self._keep_polling()

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Call it no more. Twice is once."""
        with suppress(ValueError):
            self._watchers.remove(callback)

    def close(self) -> None:
        """End the followers and let go of the log. Twice is once."""
        if self._reading.in_fork:
            return
        self._stop_polling()
        self._opened.feed.end(LogClosed("the log is closed"))
        self._reading.close()

    def _stop_polling(self) -> None:
        with self._polling:
            self._closed = True
            bell, thread = self._bell, self._thread
        if bell is not None:
            bell.stop()
        if thread is not None:
            thread.join()

    def _begin_polling_again(self) -> None:
        with self._polling:
            self._closed = False
            self._bell = self._thread = None

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
        feed = self._opened.feed
        try:
            while bell.wait():
                with self._polling:
                    # Under the lock: who comes now finds this thread, or starts another one.
                    if not (feed.followed or self._watchers):
                        self._bell = None
                        return
                now = self._reading.last_commit()
                if now == commit:
                    continue
                commit = now
                position = self._publish(position)
                for callback in tuple(self._watchers):
                    callback()
        except OutliveError as error:
            feed.end(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody may wait for ever
            failed = LogFailed(f"the log cannot be followed: {error}")
            failed.__cause__ = error
            feed.end(failed)
        finally:
            bell.close()

    def _publish(self, position: Position) -> Position:
        """Push what is beyond a position; return how far that was."""
        feed = self._opened.feed
        try:
            while True:
                records, sizes = self._reading.read_sized(position, READ_LIMIT)
                if not records:
                    break
                position = records[-1].position
                feed.publish(records, sizes)
        except (CorruptLog, NewerFormat, UnknownEvent):
            # One stream's trouble is not the others': each follower reads what it follows.
            position = self._reading.head()
            feed.read_again()
        return position


class LmdbReader(LmdbFollower):
    """A `LogReader` of a folder, while its owner writes, or when no owner is left.

    Writes nothing but LMDB's table of readers, and a socket while it is followed. On a
    read-only mount it does without both, and reads only while the log has no owner. Not for
    use in a process forked off after opening.

    Raises:
        LogNotFound: there is no log in the folder. Nothing is made there.
        LogInUse: this process has it open already; its owner can read as well.
        CorruptLog: what is there is not what was written.
        NewerFormat: a later release wrote it.
        LogFailed: the files cannot be read, or the owner is in another PID namespace.
        LogNotWritable: LMDB's table of readers cannot be written, and there is an owner. Reads
            raise it too, if one comes later.
    """

    def __init__(self, path: str | os.PathLike[str], *, codec: Codec = CODEC) -> None:
        super().__init__(open_folder(path, codec, readonly=True))


def open_folder(
    path: str | os.PathLike[str],
    codec: Codec,
    *,
    readonly: bool,
    durability: Durability = "sync",
    looked_at: bool = False,
) -> Opened:
    """Open a log that somebody else may own. See `LmdbReader` for what is raised.

    `looked_at`: the pages of its data file were, a moment ago.
    """
    folder = Folder(path)
    marker = folder.marker()
    if marker is None:
        raise LogNotFound(str(folder.path))
    check_namespace(folder.owner_lock)
    unknown = not looked_at and look_at(folder)
    locked = not readonly or _may_lock(folder.environment)
    unowned = nullcontext if locked else Unowned(folder.owner_lock).held
    env = open_environment(
        folder.environment, readonly=readonly, lock=locked, durability=durability
    )
    with checked(env, folder, unowned) as unfinished:
        if readonly:
            tables = open_tables(env)
        else:  # LMDB opens a table that may be written in a write transaction only.
            tables = first_write(
                env, lambda txn: open_tables(env, txn), folder=folder, unfinished=unfinished
            )
        with env.begin() as txn:
            check_formats(txn, tables, folder, marker)
    if unknown and not readonly:
        mark_in_use(folder.data_file)
    return Opened(folder, env, tables, codec, marker.log_id, unowned=unowned)


def _may_lock(environment: os.PathLike[str]) -> bool:
    """Whether LMDB can enter this process into its table of readers."""
    lock_file = os.path.join(environment, "lock.mdb")
    target = lock_file if os.path.exists(lock_file) else environment
    return os.access(
        target, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids
    )
