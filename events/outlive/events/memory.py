"""A log in memory, for tests and for work that may be lost with its process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby, islice

import msgspec
from msgspec import UNSET, UnsetType

from outlive.events.clock import Clock, SystemClock
from outlive.events.codec import CODEC, Codec
from outlive.events.commit import Commit, Committed, Deliver, OpenEntry, at_once, deliver_all
from outlive.events.compaction import Compacted, Superseded
from outlive.events.errors import LogClosed, LogError, WrongExpectedVersion
from outlive.events.event import Event
from outlive.events.feed import Feed, Subscription, follow_all, follow_stream
from outlive.events.ids import NO_POSITION, NO_VERSION, Position, StreamId, Version
from outlive.events.named import NamedReads
from outlive.events.offsets import MemoryOffsets
from outlive.events.record import (
    BLOB,
    GENESIS,
    Record,
    Recorded,
    blob_reference,
    decode,
    link_hash,
    pack_header,
    split,
)
from outlive.events.snapshot import Snapshot
from outlive.events.store import (
    Admitted,
    admit,
    check_limit,
    check_offset,
    next_commit_id,
    usable,
)
from outlive.events.submitted import Submitted


class _Stream(msgspec.Struct, gc=False):
    number: int
    version: int = 0
    commit_id: bytes = b""
    answer: Committed | None = None


class MemoryLog(NamedReads):
    """An `EventLog` that is gone with its process. Records are encoded and hashed all the same.

    `reopened()` gives a log with the same records and the next epoch, as if a process had
    died and another one had opened the folder.
    """

    def __init__(
        self, *, clock: Clock | None = None, codec: Codec = CODEC, log_id: str = "memory"
    ) -> None:
        self._clock = clock or SystemClock()
        self._codec = codec
        self._log_id = log_id
        self._epoch = 1
        self._clean = True
        self._records: list[bytes] = []  # empty where one was compacted
        self._blobs: dict[bytes, bytes] = {}
        self._streams: dict[StreamId, _Stream] = {}
        self._names: list[StreamId] = []
        self._index: dict[StreamId, list[tuple[int, int]]] = {}
        self._open: dict[StreamId, OpenEntry] = {}
        self._snapshots: dict[StreamId, Snapshot] = {}
        self._offsets = MemoryOffsets()
        self._hash = GENESIS
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
    def trouble(self) -> None:
        """Why appends wait for the time being: they never do."""
        return None

    @property
    def head(self) -> Position:
        """The position of the last record."""
        return Position(len(self._records))

    def reopened(self, *, clean: bool = False) -> MemoryLog:
        """Return what another process would find; this one is closed."""
        self.close()
        other = MemoryLog(clock=self._clock, codec=self._codec, log_id=self._log_id)
        other._epoch, other._clean = self._epoch + 1, clean
        other._records, other._names, other._hash = self._records, self._names, self._hash
        other._blobs = self._blobs
        other._streams, other._index, other._open = self._streams, self._index, self._open
        other._snapshots, other._offsets = self._snapshots, self._offsets
        return other

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
        snapshot: bytes | None = None,
        entry: OpenEntry | UnsetType | None = UNSET,
    ) -> Commit:
        """Append events as one record. See `EventLog.append`."""
        if self._closed:
            raise LogClosed("the log is closed")
        admitted = admit(
            self._codec,
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
        commit = admitted[0]
        record = self._write(admitted)
        # Published first: a callback that appends must not get ahead of this record.
        if record is not None and self._feed.wants(stream):
            self._feed.publish((record,))
        deliver_all((commit,), self._deliver)
        return commit

    def _write(self, admitted: Admitted) -> Record | None:
        commit = admitted[0]
        known = self._streams.get(commit.stream)
        version = known.version if known else 0
        if (
            known is not None
            and commit.commit_id is not None
            and commit.commit_id == known.commit_id
        ):
            commit.outcome = known.answer
            return None
        if commit.expected_version != version:
            commit.error = WrongExpectedVersion(commit.stream, commit.expected_version, version)
            return None
        if commit.entry is None:
            self._open.pop(commit.stream, None)
            self._snapshots.pop(commit.stream, None)
        elif commit.entry is not UNSET:
            self._begin(commit.stream)
            self._open[commit.stream] = commit.entry
        if not commit.events:
            commit.outcome = Committed(
                position=self.head,
                first_version=Version(version + 1),
                last_version=Version(version),
                recorded_at_ns=commit.recorded_at_ns,
            )
            return None
        return self._add(admitted, version)

    def _begin(self, stream: StreamId) -> _Stream:
        known = self._streams.get(stream)
        if known is None:
            known = self._streams[stream] = _Stream(number=len(self._names) + 1)
            self._names.append(stream)
        return known

    def _add(self, admitted: Admitted, version: int) -> Record:
        commit, digest, flags, tail, _ = admitted
        known = self._begin(commit.stream)
        position = Position(len(self._records) + 1)
        known.commit_id = commit.commit_id or next_commit_id(self._epoch, position)
        header = (
            pack_header(
                flags,
                len(commit.events),
                self._codec.schema,
                self._epoch,
                known.number,
                version + 1,
                commit.recorded_at_ns,
                known.commit_id,
            )
            + tail
        )
        self._hash = link_hash(self._hash, position, header, digest)
        payload = commit.payload
        if flags & BLOB:
            payload = self._blobs.setdefault(digest, payload)
            payload = blob_reference(digest, len(payload))
        record = header + self._hash + payload
        self._records.append(record)
        self._index.setdefault(commit.stream, []).append((version + 1, position))
        known.version = version + len(commit.events)
        known.answer = commit.outcome = Committed(
            position=position,
            first_version=Version(version + 1),
            last_version=Version(known.version),
            recorded_at_ns=commit.recorded_at_ns,
        )
        if commit.snapshot is not None and commit.entry is not None:
            self._snapshots[commit.stream] = Snapshot(
                Version(known.version), position, commit.snapshot
            )
        return self._record(position, record)

    def _record(self, position: int, data: bytes) -> Record:
        raw = split(Position(position), data)
        blob = self._blobs.get(raw.digest) if raw.flags & BLOB else None
        return decode(raw, self._names[raw.stream_number - 1], self._codec, blob)

    def version(self, stream: StreamId) -> Version:
        """Return the version of the stream's last event."""
        known = self._streams.get(stream)
        return Version(known.version if known else 0)

    def read(
        self, stream: StreamId, *, after: Version = NO_VERSION, limit: int = 1_000
    ) -> list[Recorded]:
        """Return events of one stream. See `LogReader.read`."""
        check_limit(limit)
        found: list[Recorded] = []
        for first_version, position in self._index.get(stream, ()):
            if len(found) >= limit:
                break
            data = self._records[position - 1]
            if data and first_version + 65_535 > after:
                found.extend(self._record(position, data).recorded(after=after))
        return found[:limit]

    def read_all(self, *, after: Position = NO_POSITION, limit: int = 1_000) -> list[Record]:
        """Return records of the log. See `LogReader.read_all`."""
        check_limit(limit)
        stored = enumerate(islice(self._records, after, None), after + 1)
        there = ((position, data) for position, data in stored if data)
        return [self._record(position, data) for position, data in islice(there, limit)]

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
        return self._open.get(stream)

    def open_entries(self) -> list[tuple[StreamId, OpenEntry]]:
        """Return the open table, in the order in which the streams began."""
        return sorted(self._open.items(), key=lambda row: self._streams[row[0]].number)

    def snapshot(self, stream: StreamId) -> Snapshot | None:
        """Return the last state that was saved of the stream. See `LogReader.snapshot`."""
        found = self._snapshots.get(stream)
        return None if found is None else usable(found, stream, self.version(stream))

    def compact(self, *, before: datetime | None = None) -> Compacted:
        """Drop what is recorded twice. See `EventLog.compact`."""
        superseded = Superseded(before)
        if self._closed:
            raise LogClosed("the log is closed")
        records = events = size_bytes = 0
        for position in range(len(self._records), 0, -1):
            data = self._records[position - 1]
            if not data:
                continue
            record = self._record(position, data)
            number = self._streams[record.stream].number
            if superseded.may_go(
                number, record.first_version, record.recorded_at_ns, record.events
            ):
                self._records[position - 1] = b""
                records += 1
                events += len(record.events)
                size_bytes += len(data)
        gaps = sum(gone for gone, _ in groupby(not data for data in self._records))
        return Compacted(records=records, events=events, bytes=size_bytes, gaps=gaps)

    def close(self) -> None:
        """Refuse further appends and end the followers."""
        self._closed = True
        self._feed.end(LogClosed("the log is closed"))
