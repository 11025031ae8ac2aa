"""The port of the event log: what a store must do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, overload

from msgspec import UNSET, UnsetType

from outlive.events.commit import Commit, Deliver, OpenEntry
from outlive.events.compaction import Compacted
from outlive.events.errors import LogError, OutliveError
from outlive.events.event import Event
from outlive.events.ids import NO_POSITION, NO_VERSION, Position, StreamId, Version
from outlive.events.named import NamedSubscription
from outlive.events.offsets import SavedOffset
from outlive.events.recall import Recalled
from outlive.events.record import Record, Recorded
from outlive.events.snapshot import Snapshot
from outlive.events.submitted import Submitted
from outlive.events.subscription import Subscription


class LogReader(Protocol):
    """Reading a log, also while another process writes it."""

    @property
    def log_id(self) -> str:
        """The log's name for itself, drawn when it was made, the same for ever."""
        ...

    @property
    def head(self) -> Position:
        """The position of the last record; 0 when there is none."""
        ...

    def version(self, stream: StreamId) -> Version:
        """Return the version of the stream's last event; 0 when there is no such stream."""
        ...

    def read(
        self, stream: StreamId, *, after: Version = NO_VERSION, limit: int = 1_000
    ) -> list[Recorded]:
        """Return at most `limit` events of `stream`, oldest first, empty at the end.

        Args:
            stream: an unknown stream has no events.
            after: last version already seen; 0 reads from the start.
            limit: 1 to 10,000 events.

        Raises:
            InvalidOffset: `after` is negative or no whole number.
            CorruptLog: a record cannot be read. Nothing is skipped.
            NewerFormat, UnknownEvent: it was written by a later release.
        """
        ...

    def read_all(self, *, after: Position = NO_POSITION, limit: int = 1_000) -> list[Record]:
        """Return at most `limit` records of the log, oldest first, empty at the end.

        More than one come only as far as their events take no more than 8 MiB together: a page
        with fewer than `limit` is not the last one, an empty one is what follows that.

        Args:
            after: last position already seen; 0 reads from the start.
            limit: 1 to 10,000 records.

        Raises:
            InvalidOffset: `after` is negative or no whole number.
            CorruptLog: a record cannot be read. Nothing is skipped.
            NewerFormat, UnknownEvent: it was written by a later release.
        """
        ...

    def follow(self, stream: StreamId, *, after: Version = NO_VERSION) -> Subscription[Recorded]:
        """Return the events of `stream` beyond `after`, then live, in order, once.

        A stream that does not exist yet is waited for.

        Raises:
            InvalidOffset: `after` is no version of the stream, and not 0.
        """
        ...

    def follow_all(self, *, after: Position = NO_POSITION) -> Subscription[Record]:
        """Return the records of the log beyond `after`, then live, in order, once.

        Raises:
            InvalidOffset: `after` is no position of the log, and not 0.
        """
        ...

    @overload
    def subscription(self, name: str) -> NamedSubscription[Record]: ...

    @overload
    def subscription(self, name: str, *, stream: StreamId) -> NamedSubscription[Recorded]: ...

    def subscription(
        self, name: str, *, stream: StreamId | None = None
    ) -> NamedSubscription[Record] | NamedSubscription[Recorded]:
        """Return a reader that begins where `name` has saved last; at the start, the first time.

        It reads the whole log, a record at a time, or one stream, an event at a time. What it
        yields is yielded again after a crash, unless it was saved.

        Args:
            name: 1 to 200 printable characters.
            stream: the same each time; it may not exist yet.

        Raises:
            InvalidId: the name is none.
            NameTaken: it reads another stream, or the whole log.
            InvalidOffset: what was saved lies beyond the head, or is of another log: this log
                was put back to an earlier state. `forget` the name to begin anew.
        """
        ...

    def offsets(self) -> list[SavedOffset]:
        """Return what named subscriptions have saved, by name."""
        ...

    def forget(self, name: str) -> bool:
        """Forget what was saved under a name, durably; return whether there was anything."""
        ...

    def open_entry(self, stream: StreamId) -> OpenEntry | None:
        """Return the stream's row of the open table; None when it has none."""
        ...

    def open_entries(self) -> list[tuple[StreamId, OpenEntry]]:
        """Return the open table, in the order in which the streams began."""
        ...

    def snapshot(self, stream: StreamId) -> Snapshot | None:
        """Return the last state that was saved of the stream; None when there is none.

        One that is damaged, or that is ahead of the stream, is as good as none, and logged.
        """
        ...

    def recall(self, stream: StreamId, *, limit: int = 1_000) -> Recalled:
        """Return what `open_entry`, `snapshot` and `read` do, as of one instant.

        At most `limit` events, beyond the saved state if there is one. Raises what they raise.
        """
        ...

    def close(self) -> None:
        """Wait for what was appended, then let go of the store. Twice is once."""
        ...


class EventLog(LogReader, Protocol):
    """A log that this process owns: the only one that writes it."""

    @property
    def epoch(self) -> int:
        """This owner's number: one more than that of the owner before."""
        ...

    @property
    def clean(self) -> bool:
        """Whether the owner before closed in good order (true for a new log)."""
        ...

    @property
    def trouble(self) -> OutliveError | None:
        """Why appends wait for the time being; None while nothing is in the way.

        `LogParked`: there is no space. What is appended waits until there is. `WriterStuck`:
        a frozen process holds the log's write lock.
        """
        ...

    def deliver_on(self, deliver: Deliver) -> None:
        """Run the callbacks of commits through `deliver` from now on."""
        ...

    def on_failure(self, callback: Callable[[LogError], None]) -> None:
        """Call `callback`, on another thread, when this owner cannot write any more."""
        ...

    def on_submitted(self, callback: Callable[[list[Submitted]], None]) -> None:
        """Call `callback`, on another thread, with the commands in the inbox, each once.

        The first ones are those that were there before.
        """
        ...

    def submitted(self) -> list[Submitted]:
        """Return the commands in the inbox, at most 10,000, the oldest first."""
        ...

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
        snapshot: bytes | UnsetType | None = None,
        entry: OpenEntry | UnsetType | None = UNSET,
    ) -> Commit:
        """Append events as one record, and return a future of `Committed`.

        Commits become durable in the order of the appends. Without events just the row is
        written, and `Committed` tells the log's head.

        Args:
            stream: made by its first append.
            events: up to 65,535, durable together or not at all.
            expected_version: the stream's version before; 0 for a new stream.
            commit_id: 16 bytes; drawn by the log if left out. An append that repeats the
                stream's last commit id is answered as the first one was, and writes nothing.
            cause: the position, or the id of the message, that led to it.
            correlation_id: what it belongs to in the end; None for the stream itself.
            command_id: a command from another process that this append carries out, or
                refuses: it leaves the inbox in the same transaction. 1 to 200 bytes.
            reply: what its sender is told; kept for 24 hours.
            snapshot: the state after these events, encoded: a cache, kept with its version
                until the next one. None: what was saved before stays, unless `entry` is None;
                UNSET: it stays then, too.
            entry: the stream's row in the open table from now on; None takes it out;
                left out, the row stays as it is.

        The future fails with:
            WrongExpectedVersion: someone appended first. The other appends go on.
            CorruptLog: the stream's last record cannot be read. The other appends go on.
            Fenced: another owner took over. Nothing is written from now on.
            LogFailed: the store failed; whether this commit is in is unknown. Also when the
                log is closed while it is parked (`trouble`); then this commit is not in.

        Raises:
            LogClosed: at once, when the log is closed.
            InvalidId: `stream` or `command_id` can name nothing.
            UnserialisableValue: something that cannot be encoded, or an event of a type that
                this log's codec does not know.
            EventTooLarge: the events take more than 64 MiB together. Nothing is written.
            ValueError: a commit id of another length, or a snapshot without events.
        """
        ...

    def compact(self, *, before: datetime | None = None) -> Compacted:
        """Drop what is recorded twice: pieces of answers that are recorded in full.

        Goes are records of nothing but `ModelDelta`, once their stream holds the
        `ModelCallCompleted` of the same step. State, positions, versions and the last record of
        each stream stay as they are; readers and followers pass over what is gone, a version
        or position is never used again. What is dropped cannot be read any more.

        Blocks, and reads the whole log: call it in a thread of its own. Appends and reads go
        on beside it. A crash, or an error, leaves what was dropped until then dropped.

        Args:
            before: only answers that were recorded before that time lose their pieces.

        Raises:
            CorruptLog, NewerFormat: a record cannot be read, or is not what was written.
            Fenced: another owner took over.
            LogNotWritable: there is no space. The log is as it was.
            LogFailed: the store failed.
            LogClosed: the log is closed, or was meanwhile.
            ValueError: `before` has no time zone.
        """
        ...
