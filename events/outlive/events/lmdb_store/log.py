"""The log of an owner. How a crash leaves it is told in `writer.py`, its folder in `folder.py`.

Opening, in this order, and what a crash between two steps leaves:

1. Read the marker. A log of a later release is refused here, before anything is touched.
2. Take the owner's lock. The kernel takes it back when the process dies.
3. Open the environment, see that the data file has all its pages, read formats and the last
   record. Refusals up to here change nothing.
4. One transaction: make the tables if this is a new log, raise the epoch, take the clean mark
   away. From here on an owner before, if it should still run, is fenced; and if this process
   dies, the next owner sees that it did.
5. Write the marker, if there was none. After a crash before that, a new log is begun anew or
   gets its marker now; it holds no events.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import lmdb
from msgspec import UNSET, UnsetType

from outlive.events.clock import Clock, SystemClock
from outlive.events.codec import CODEC, Codec
from outlive.events.commit import Commit, Deliver, OpenEntry
from outlive.events.errors import LogClosed
from outlive.events.event import Event
from outlive.events.ids import Position, StreamId, Version
from outlive.events.lmdb_store.folder import Folder, Marker
from outlive.events.lmdb_store.layout import (
    CLEAN,
    EPOCH,
    FORMAT,
    LOG_ID,
    STORE_FORMAT,
    Tables,
    open_environment,
    open_tables,
)
from outlive.events.lmdb_store.opened import LmdbReads, Opened, checked
from outlive.events.lmdb_store.opening import check_formats
from outlive.events.lmdb_store.owner_lock import OwnerLock
from outlive.events.lmdb_store.turn import Turn
from outlive.events.lmdb_store.wake import Wakers
from outlive.events.lmdb_store.writer import Writer
from outlive.events.store import admit
from outlive.events.values import digest


class LmdbLog(LmdbReads):
    """An `EventLog` in a folder. Acknowledged = survives SIGKILL and power loss.

    Opening takes the folder for this process; a folder without a log gets one. Not for use in
    a process forked off after that.

    Args:
        path: the folder; made if it is not there.
        clock: tells when commits were recorded.
        codec: knows the event types.
        log_id: the id of a log that is made here; a digest of path, process and time if left
            out.

    Raises:
        LogInUse: another process owns it, or this one has it open already.
        LogNotWritable: the folder cannot be made or written.
        CorruptLog: what is there is not what was written.
        NewerFormat: a later release wrote it. Nothing was touched.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        codec: Codec = CODEC,
        log_id: str | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        folder = Folder(path)
        folder.marker()
        with ExitStack() as begun:
            folder.make()
            self._lock = OwnerLock(folder.owner_lock)
            begun.callback(self._lock.release)
            marker = folder.marker()  # Now that nobody else can make one.
            if marker is None:
                folder.clear_stillborn()
            env = open_environment(folder.environment, readonly=False)
            with checked(env, folder):
                env.reader_check()
                tables, id = self._begin(env, folder, marker, log_id)
                if marker is None:
                    folder.write_marker(id)
            super().__init__(Opened(folder, env, tables, codec, id))
            begun.callback(self._reading.close)
            self._wakers = Wakers(folder.wake)
            begun.callback(self._wakers.close)
            self._writer = Writer(
                env,
                tables,
                epoch=self._epoch,
                schema=codec.schema,
                feed=self._opened.feed,
                wakers=self._wakers,
            )
            self._turn = Turn(self._writer)
            self._writer.start()
            begun.pop_all()

    def _begin(
        self, env: lmdb.Environment, folder: Folder, marker: Marker | None, log_id: str | None
    ) -> tuple[Tables, str]:
        """Check what is there, then take it over, in one transaction.

        Returns the tables and the log's id.
        """
        new = marker is None and not env.stat()["entries"]
        with env.begin(write=True) as txn:
            tables = open_tables(env, txn, create=new)
            if new:
                id = log_id or digest(
                    str(folder.path).encode(), b"%d" % os.getpid(), b"%d" % self._clock.now_ns()
                )
                self._epoch, self._clean = 1, True
                txn.put(FORMAT, STORE_FORMAT.to_bytes(4, "big"), db=tables.meta)
                txn.put(LOG_ID, id.encode(), db=tables.meta)
            else:
                check_formats(txn, tables, folder, marker)
                meta = {key: txn.get(key, b"", db=tables.meta) for key in (LOG_ID, EPOCH, CLEAN)}
                id = meta[LOG_ID].decode()
                self._epoch = int.from_bytes(meta[EPOCH], "big") + 1
                self._clean = meta[CLEAN] == b"\1"
            txn.put(EPOCH, self._epoch.to_bytes(8, "big"), db=tables.meta)
            txn.put(CLEAN, b"\0", db=tables.meta)
        return tables, id

    @property
    def path(self) -> Path:
        """The log's folder."""
        return self._opened.folder.path

    @property
    def epoch(self) -> int:
        """This owner's number."""
        return self._epoch

    @property
    def clean(self) -> bool:
        """Whether the owner before closed in good order."""
        return self._clean

    @property
    def head(self) -> Position:
        """The position of the last durable record."""
        return self._writer.head

    def deliver_on(self, deliver: Deliver) -> None:
        """Run the callbacks of commits through `deliver` from now on."""
        self._writer.deliver = deliver

    def append(
        self,
        stream: StreamId,
        events: Sequence[Event],
        *,
        expected_version: Version,
        commit_id: bytes | None = None,
        cause: Position | str | None = None,
        correlation_id: str | None = None,
        command_id: str | None = None,
        reply: bytes | None = None,
        snapshot: bytes | None = None,
        entry: OpenEntry | UnsetType | None = UNSET,
    ) -> Commit:
        """Append events as one record, from any thread. See `EventLog.append`."""
        self._reading.check_process()
        admitted = admit(
            self._opened.codec,
            stream,
            events,
            expected_version=expected_version,
            recorded_at_ns=self._clock.now_ns(),
            commit_id=commit_id,
            cause=cause,
            correlation_id=correlation_id,
            command_id=command_id,
            reply=reply,
            snapshot=snapshot,
            entry=entry,
        )
        self._writer.put(admitted)
        self._turn.appended()
        return admitted[0]

    def close(self) -> None:
        """Wait for what was appended, mark a clean end, end the followers. Twice is once.

        Not from a callback that runs on the writer's own thread.
        """
        if self._reading.in_fork:
            return  # All of it is the parent's.
        self._writer.stop()
        self._opened.feed.end(LogClosed("the log is closed"))
        self._wakers.close()
        self._reading.close()
        self._lock.release()
