"""A log in memory, for tests and for work that may be lost with its process."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby

from msgspec import UNSET, UnsetType

from outlive.events.clock import Clock, SystemClock
from outlive.events.codec import CODEC, Codec
from outlive.events.commit import Commit, Deliver, OpenEntry, at_once, deliver_all
from outlive.events.compaction import Compacted, Superseded
from outlive.events.errors import LogClosed, LogError, OutliveError
from outlive.events.event import Event
from outlive.events.feed import Feed
from outlive.events.ids import NO_POSITION, NO_VERSION, Position, StreamId, Version
from outlive.events.memory_store import MemoryStore
from outlive.events.named import NamedReads
from outlive.events.recall import Recalled, recall_by_parts
from outlive.events.record import Record, Recorded
from outlive.events.sizes import MAX_PAGE_BYTES
from outlive.events.snapshot import Snapshot
from outlive.events.store import (
    Admitted,
    admit,
    check_after,
    check_limit,
    check_offset,
    usable,
)
from outlive.events.submitted import Submitted
from outlive.events.subscription import Subscription, follow_all, follow_stream


class MemoryLog(NamedReads):
    """An `EventLog` that is gone with its process.

    `reopened()` gives a log with the same records and the next epoch, as if a process had
    died and another one had opened the folder.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        codec: Codec = CODEC,
        log_id: str = "memory",
        store: MemoryStore | None = None,
        clean: bool = True,
    ) -> None:
        """Open a log: a new one, or what is in `store`, as its next owner.

        `clean` says how the owner before let go of it.
        """
        self._clock = clock or SystemClock()
        self.store = store or MemoryStore(codec=codec, log_id=log_id)
        self._codec = self.store.codec
        self._offsets = self.store.offsets
        self._log_id = self.store.log_id
        self.store.epoch += 1
        self._epoch = self.store.epoch
        self._clean = clean
        self._feed = Feed()
        self._deliver: Deliver = at_once
        self._closed = False

    @property
    def log_id(self) -> str:
        """The log's name for itself."""
        return self._log_id

    @property
    def epoch(self) -> int:
        """This owner's number."""
        return self._epoch

    @property
    def clean(self) -> bool:
        """Whether the owner before closed in good order."""
        return self._clean

    @property
    def trouble(self) -> OutliveError | None:
        """Why appends wait for the time being: they never do."""
        return None

    @property
    def head(self) -> Position:
        """The position of the last record."""
        return self.store.head

    def reopened(self, *, clean: bool = False) -> MemoryLog:
        """Return what another process would find; this one is closed."""
        self.close()
        return MemoryLog(clock=self._clock, store=self.store, clean=clean)

    def deliver_on(self, deliver: Deliver) -> None:
        """Run the callbacks of commits through `deliver` from now on."""
        self._deliver = deliver

    def on_failure(self, callback: Callable[[LogError], None]) -> None:
        """Nothing can fail."""

    def on_submitted(self, callback: Callable[[list[Submitted]], None]) -> None:
        """No other process can put anything in."""

    def submitted(self) -> list[Submitted]:
        """Return nothing: there is no inbox."""
        return []

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
        """Append events as one record. See `EventLog.append`."""
        if self._closed:
            raise LogClosed("the log is closed")
        commit = Commit(
            stream=stream,
            events=tuple(events),
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
        admitted = admit(self._codec, commit)
        self._take(admitted)
        return commit

    def _take(self, admitted: Admitted) -> None:
        """Write what was appended, and settle it. Here at once."""
        # Published first: a callback that appends must not get ahead of this record.
        record = self.store.apply(admitted, self._epoch)
        if record is not None and self._feed.wants(record.stream):
            self._feed.publish((record,))
        deliver_all((admitted[0],), self._deliver)

    def version(self, stream: StreamId) -> Version:
        """Return the version of the stream's last event."""
        return self.store.version(stream)

    def read(
        self, stream: StreamId, *, after: Version = NO_VERSION, limit: int = 1_000
    ) -> list[Recorded]:
        """Return events of one stream. See `LogReader.read`."""
        check_limit(limit)
        check_after(after, lambda: self.version(stream))
        store = self.store
        found: list[Recorded] = []
        index = store.index.get(stream, [])
        for at in range(bisect_right(index, (after, store.head)), len(index)):
            if len(found) >= limit:
                break
            position = index[at][1]
            if store.records[position - 1]:
                found.extend(store.record(position).recorded(after=after))
        return found[:limit]

    def read_all(self, *, after: Position = NO_POSITION, limit: int = 1_000) -> list[Record]:
        """Return records of the log. See `LogReader.read_all`."""
        check_limit(limit)
        check_after(after, lambda: self.head)
        store = self.store
        found: list[Record] = []
        left = MAX_PAGE_BYTES
        for position in range(after + 1, store.head + 1):
            if len(found) == limit:
                break
            if not store.records[position - 1]:
                continue
            raw = store.raw(position)
            left -= raw.size_bytes
            if left < 0 and found:
                break
            found.append(store.decoded(raw))
        return found

    def follow(self, stream: StreamId, *, after: Version = NO_VERSION) -> Subscription[Recorded]:
        """Follow one stream. See `LogReader.follow`."""
        check_offset(after, lambda: self.version(stream))
        return follow_stream(
            self._feed, stream, after, lambda s, v, n: self.read(s, after=v, limit=n)
        )

    def follow_all(self, *, after: Position = NO_POSITION) -> Subscription[Record]:
        """Follow the log. See `LogReader.follow_all`."""
        check_offset(after, lambda: self.head)
        return follow_all(self._feed, after, lambda p, n: self.read_all(after=p, limit=n))

    def open_entry(self, stream: StreamId) -> OpenEntry | None:
        """Return the stream's row of the open table."""
        return self.store.open.get(stream)

    def open_entries(self) -> list[tuple[StreamId, OpenEntry]]:
        """Return the open table, in the order in which the streams began."""
        return sorted(self.store.open.items(), key=lambda row: self.store.number(row[0]))

    def snapshot(self, stream: StreamId) -> Snapshot | None:
        """Return the last state that was saved of the stream. See `LogReader.snapshot`."""
        found = self.store.snapshots.get(stream)
        return None if found is None else usable(found, stream, self.version(stream))

    def recall(self, stream: StreamId, *, limit: int = 1_000) -> Recalled:
        """Return what an entity is brought in from. See `LogReader.recall`."""
        check_limit(limit)
        if stream not in self.store.index:  # It is about to begin.
            return Recalled(self.open_entry(stream), None, [])
        return recall_by_parts(self, stream, limit)

    def compact(self, *, before: datetime | None = None) -> Compacted:
        """Drop what is recorded twice. See `EventLog.compact`."""
        superseded = Superseded(before)
        if self._closed:
            raise LogClosed("the log is closed")
        stored = self.store.records
        records = events = size_bytes = 0
        for position in range(len(stored), 0, -1):
            data = stored[position - 1]
            if not data:
                continue
            record = self.store.record(position)
            if superseded.may_go(
                self.store.number(record.stream),
                record.first_version,
                record.recorded_at_ns,
                record.events,
            ):
                stored[position - 1] = b""
                records += 1
                events += len(record.events)
                size_bytes += len(data)
        gaps = sum(gone for gone, _ in groupby(not data for data in stored))
        return Compacted(records=records, events=events, bytes=size_bytes, gaps=gaps)

    def close(self) -> None:
        """Refuse further appends and end the followers."""
        self._closed = True
        self._feed.end(LogClosed("the log is closed"))
