"""What a log in memory holds, apart from whoever has it open: the place of its file."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from outlive.events.codec import CODEC, Codec
from outlive.events.commit import Committed, OpenEntry
from outlive.events.errors import WrongExpectedVersion
from outlive.events.ids import Position, StreamId, Version
from outlive.events.offsets import MemoryOffsets
from outlive.events.record import (
    BLOB,
    GENESIS,
    RawRecord,
    Record,
    blob_reference,
    decode,
    link_hash,
    pack_header,
    split,
)
from outlive.events.snapshot import Snapshot
from outlive.events.store import Admitted, next_commit_id


class _Stream(msgspec.Struct, gc=False):
    number: int
    version: int = 0
    commit_id: bytes = b""
    answer: Committed | None = None


class MemoryStore:
    """Records, rows and saved states, in memory. Records are encoded and hashed all the same.

    `apply` does to it what a transaction does to a file: one commit, altogether or not at all.
    """

    def __init__(self, *, codec: Codec = CODEC, log_id: str = "memory") -> None:
        self.codec = codec
        self.log_id = log_id
        self.epoch = 0
        self.records: list[bytes] = []  # empty where one was compacted
        self.open: dict[StreamId, OpenEntry] = {}
        self.snapshots: dict[StreamId, Snapshot] = {}
        self.offsets = MemoryOffsets()
        self.views: dict[str, object] = {}  # what readers keep beside the records: their caches
        # Of each record of a stream its last version, and its position.
        self.index: dict[StreamId, list[tuple[int, int]]] = {}
        self._blobs: dict[bytes, bytes] = {}
        self._streams: dict[StreamId, _Stream] = {}
        self._names: list[StreamId] = []
        self._hash = GENESIS

    @property
    def head(self) -> Position:
        """The position of the last record."""
        return Position(len(self.records))

    @property
    def head_hash(self) -> bytes:
        """The hash of the last record: two stores that have the same one hold the same records."""
        return self._hash

    def version(self, stream: StreamId) -> Version:
        """Return the version of the stream's last event."""
        known = self._streams.get(stream)
        return Version(known.version if known else 0)

    def number(self, stream: StreamId) -> int:
        """Return the stream's number: they count from 1 in the order in which they began."""
        return self._streams[stream].number

    def raw(self, position: int) -> RawRecord:
        """Return the record at a position, not decoded. It is there, and not compacted."""
        return split(Position(position), self.records[position - 1])

    def record(self, position: int) -> Record:
        """Decode the record at a position. It is there, and not compacted."""
        return self.decoded(self.raw(position))

    def decoded(self, raw: RawRecord) -> Record:
        """Decode what `raw` has returned."""
        blob = self._blobs.get(raw.digest) if raw.flags & BLOB else None
        return decode(raw, self._names[raw.stream_number - 1], self.codec, blob)

    def apply(self, admitted: Admitted, epoch: int) -> Record | None:
        """Write one commit of the owner `epoch` and settle it.

        Returns the record that it made, if it made one: of the events as they were appended, as
        they are told to those who follow. `record` decodes what was stored.
        """
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
            self.open.pop(commit.stream, None)
            if commit.snapshot is None:
                self.snapshots.pop(commit.stream, None)
        elif commit.entry is not UNSET:
            self._begin(commit.stream)
            self.open[commit.stream] = commit.entry
        if not commit.events:
            commit.outcome = Committed(
                position=self.head,
                first_version=Version(version + 1),
                last_version=Version(version),
                recorded_at_ns=commit.recorded_at_ns,
            )
            return None
        return self._add(admitted, version, epoch)

    def _begin(self, stream: StreamId) -> _Stream:
        known = self._streams.get(stream)
        if known is None:
            known = self._streams[stream] = _Stream(number=len(self._names) + 1)
            self._names.append(stream)
        return known

    def _add(self, admitted: Admitted, version: int, epoch: int) -> Record:
        commit, digest, flags, tail, _ = admitted
        known = self._begin(commit.stream)
        position = Position(len(self.records) + 1)
        known.commit_id = commit.commit_id or next_commit_id(epoch, position)
        header = (
            pack_header(
                flags,
                len(commit.events),
                self.codec.schema,
                epoch,
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
        self.records.append(header + self._hash + payload)
        known.version = version + len(commit.events)
        self.index.setdefault(commit.stream, []).append((known.version, position))
        known.answer = commit.outcome = Committed(
            position=position,
            first_version=Version(version + 1),
            last_version=Version(known.version),
            recorded_at_ns=commit.recorded_at_ns,
        )
        if commit.snapshot is not None and not isinstance(commit.snapshot, UnsetType):
            self.snapshots[commit.stream] = Snapshot(
                Version(known.version), position, commit.snapshot
            )
        return Record(
            position=position,
            stream=commit.stream,
            first_version=commit.outcome.first_version,
            recorded_at_ns=commit.recorded_at_ns,
            epoch=epoch,
            commit_id=known.commit_id,
            events=tuple(commit.events),
            hash=self._hash,
            cause=commit.cause,
            correlation_id=commit.correlation_id,
        )
