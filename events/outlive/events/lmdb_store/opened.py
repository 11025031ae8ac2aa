"""A log's environment as this process has it open, whoever owns the log.

A process has it open once, and is a reader of it, a visitor or the owner; a visitor may become
the owner, and an owner a visitor. What is here stays the same meanwhile: what is read and
followed goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress

import lmdb

from outlive.events.codec import Codec
from outlive.events.commit import OpenEntry
from outlive.events.errors import LogFailed
from outlive.events.feed import Feed
from outlive.events.ids import NO_POSITION, NO_VERSION, Position, StreamId, Version
from outlive.events.lmdb_store.folder import Folder
from outlive.events.lmdb_store.inbox import commands
from outlive.events.lmdb_store.layout import Tables, translated
from outlive.events.lmdb_store.offsets import LmdbOffsets
from outlive.events.lmdb_store.opening import check_whole
from outlive.events.lmdb_store.reading import Reading
from outlive.events.named import NamedReads
from outlive.events.recall import Recalled
from outlive.events.record import Record, Recorded
from outlive.events.snapshot import Snapshot
from outlive.events.store import check_offset
from outlive.events.submitted import Submitted
from outlive.events.subscription import Subscription, follow_all, follow_stream


class Opened:
    """The environment, its tables, and those who read and follow it in this process."""

    def __init__(
        self,
        folder: Folder,
        env: lmdb.Environment,
        tables: Tables,
        codec: Codec,
        log_id: str,
        *,
        unowned: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.folder = folder
        self.env = env
        self.tables = tables
        self.codec = codec
        self.log_id = log_id
        self._data_file = folder.data_file.stat()  # As long as it is open, no other is the same.
        self.reading = Reading(env, tables, codec, unowned=unowned)
        self.feed = Feed()
        self.offsets = LmdbOffsets(folder, self.reading.check_process)
        self.reading.on_close = self.offsets.close

    def check_in_place(self) -> None:
        """Return if the log that is open here is the one in the folder. Not once it is closed.

        Raises:
            LogFailed: the folder was moved, deleted or replaced: what would be written now
                nobody would find.
        """
        path = self.folder.data_file
        with suppress(OSError):
            if os.path.samestat(self._data_file, path.stat()):
                return
        raise LogFailed(
            f"the log that is open here is not the one in {str(self.folder.path)!r} any more: "
            "the folder was moved, deleted or replaced"
        )


@contextmanager
def checked(
    env: lmdb.Environment,
    folder: Folder,
    unowned: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Generator[ExitStack, None, None]:
    """See that the data file is whole, and close the environment if the body fails.

    Raises:
        LogError: in the place of LMDB's errors.
    """
    with ExitStack() as opened:
        opened.callback(env.close)
        try:
            with unowned():
                check_whole(env, folder.data_file)
                yield opened
        except lmdb.Error as error:
            raise translated(error, str(folder.path)) from error
        opened.pop_all()


class LmdbReads(NamedReads):
    """The reading half of a log in a folder: `LogReader`, but for `close`."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._reading = opened.reading
        self._offsets = opened.offsets

    @property
    def log_id(self) -> str:
        """The log's name for itself."""
        return self._opened.log_id

    @property
    def head(self) -> Position:
        """The position of the last record, whoever has written it.

        Also where this process owned the log until it stood still, and does not know better yet:
        what it reads then is what the next owner has written.
        """
        return self._reading.head()

    def version(self, stream: StreamId) -> Version:
        """Return the version of the stream's last durable event."""
        return self._reading.version(stream)

    def read(
        self, stream: StreamId, *, after: Version = NO_VERSION, limit: int = 1_000
    ) -> list[Recorded]:
        """Return events of one stream. See `LogReader.read`."""
        return self._reading.read(stream, after, limit)

    def read_all(self, *, after: Position = NO_POSITION, limit: int = 1_000) -> list[Record]:
        """Return records of the log. See `LogReader.read_all`."""
        return self._reading.read_all(after, limit)

    def follow(self, stream: StreamId, *, after: Version = NO_VERSION) -> Subscription[Recorded]:
        """Follow one stream. See `LogReader.follow`."""
        check_offset(after, lambda: self._reading.version(stream))
        return follow_stream(self._opened.feed, stream, after, self._reading.read)

    def follow_all(self, *, after: Position = NO_POSITION) -> Subscription[Record]:
        """Follow the log. See `LogReader.follow_all`."""
        check_offset(after, self._reading.head)
        return follow_all(self._opened.feed, after, self._reading.read_all)

    def open_entry(self, stream: StreamId) -> OpenEntry | None:
        """Return the stream's row of the open table."""
        return self._reading.open_entry(stream)

    def open_entries(self) -> list[tuple[StreamId, OpenEntry]]:
        """Return the open table, in the order in which the streams began."""
        return self._reading.open_entries()

    def submitted(self) -> list[Submitted]:
        """Return the commands in the inbox, at most 10,000, the oldest first."""
        return self._reading.within(lambda txn: commands(txn, self._opened.tables, limit=10_000))

    def snapshot(self, stream: StreamId) -> Snapshot | None:
        """Return the last state that was saved of the stream. See `LogReader.snapshot`."""
        return self._reading.snapshot(stream)

    def recall(self, stream: StreamId, *, limit: int = 1_000) -> Recalled:
        """Return what an entity is brought in from. See `LogReader.recall`."""
        return self._reading.recall(stream, limit)
