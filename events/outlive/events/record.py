"""One record = one commit = 1 to n events of one stream. Its form in the file, format 1.

    offset  size  field
         0     1  format, 1
         1     1  flags: 1 cause is a position, 2 cause is a message id, 4 correlation id,
                  8 trace context, 16 never written, 32 the payload lies elsewhere
         2     2  number of events
         4     2  schema edition of the events
         6     4  epoch of the writer
        10     8  number of the stream in this log
        18     8  version of the first event
        26     8  recorded at, nanoseconds since 1970 UTC, signed
        34    16  commit id
        50        by the flags, in this order: cause position (8), cause message id,
                  correlation id, trace context (each 2 bytes of length, then UTF-8)
               32  hash
                  payload: the events, one msgpack array; with flag 32 the BLAKE2b-256 of
                  that array (32) and its length (8)

Numbers are big-endian. The position is the record's key and not repeated in it.

hash = BLAKE2b-256(hash before | position | header up to the hash | BLAKE2b-256(payload));
before the first record stand 32 zero bytes. The chain shows that nothing in the middle was
changed, left out or put in. Where compaction dropped a range, it goes on from the hash of the
last one dropped, which a gap keeps (lmdb_store/gaps.py). It proves tampering only against a
head kept elsewhere: whoever can write the file can compute a new chain.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from struct import Struct
from struct import error as StructError
from typing import Final, NewType

import msgspec

from outlive.events.codec import Codec
from outlive.events.errors import CorruptLog, NewerFormat
from outlive.events.event import Event
from outlive.events.ids import Position, StreamId, Version

RECORD_FORMAT: Final = 1
GENESIS: Final = bytes(32)
MAX_EVENTS: Final = 65_535
BLOB: Final = 32
"""The flag of a record whose payload is a blob."""

MessageId = NewType("MessageId", str)

_HEADER: Final = Struct(">BBHHIQQq16s")
_CAUSE_POSITION, _CAUSE_MESSAGE, _CORRELATION, _TRACE = 1, 2, 4, 8
_CAUSES: Final = _CAUSE_POSITION | _CAUSE_MESSAGE
_KNOWN_FLAGS: Final = _CAUSE_POSITION | _CAUSE_MESSAGE | _CORRELATION | _TRACE | BLOB
_HASH_BYTES: Final = 32
_PLAIN: Final = bytes([RECORD_FORMAT, 0])
_REFERENCE: Final = Struct(">32sQ")
_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)

Cause = Position | MessageId | None
"""What led to a commit: a position in the same log, a message's id, or nothing known."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event and its place in the log."""

    stream: StreamId
    version: Version  # the cursor of a reader of this stream
    event: Event
    position: Position
    index: int  # within its commit
    recorded_at_ns: int
    epoch: int
    cause: Position | str | None = None
    correlation_id: str | None = None

    @property
    def id(self) -> str:
        """The event's id in its log: `position.index`."""
        return f"{self.position}.{self.index}"

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded, by the clock of the runtime that wrote it. UTC."""
        return _EPOCH_START + timedelta(microseconds=self.recorded_at_ns // 1000)


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One commit: events of one stream that became durable together."""

    position: Position
    stream: StreamId
    first_version: Version
    recorded_at_ns: int
    epoch: int
    commit_id: bytes
    events: tuple[Event, ...]
    hash: bytes
    cause: Position | str | None = None
    correlation_id: str | None = None

    @property
    def last_version(self) -> Version:
        """The version of the last of its events."""
        return Version(self.first_version + len(self.events) - 1)

    def recorded(self, *, after: Version = Version(0)) -> list[Recorded]:
        """Return its events with a version beyond `after`, in order."""
        start = max(after - self.first_version + 1, 0)
        return [
            Recorded(
                stream=self.stream,
                version=Version(self.first_version + index),
                event=self.events[index],
                position=self.position,
                index=index,
                recorded_at_ns=self.recorded_at_ns,
                epoch=self.epoch,
                cause=self.cause,
                correlation_id=self.correlation_id,
            )
            for index in range(start, len(self.events))
        ]


def header_tail(cause: Position | str | None, correlation_id: str | None) -> tuple[int, bytes]:
    """Return the flags and the part of the header that follows its fixed fields.

    Raises:
        UnicodeEncodeError: a lone surrogate.
        OverflowError: a text of more than 65,535 bytes, or no position.
    """
    flags, tail = 0, b""
    if cause is not None:
        if isinstance(cause, str):
            flags, tail = _CAUSE_MESSAGE, _text(cause)
        else:
            flags, tail = _CAUSE_POSITION, cause.to_bytes(8, "big")
    if correlation_id is not None:
        flags, tail = flags | _CORRELATION, tail + _text(correlation_id)
    return flags, tail


def pack_header(  # noqa: PLR0917  # a writer calls it for each record
    flags: int,
    count: int,
    schema: int,
    epoch: int,
    stream_number: int,
    first_version: int,
    recorded_at_ns: int,
    commit_id: bytes,
) -> bytes:
    """Return the header's fixed fields; `header_tail` follows them."""
    return _HEADER.pack(
        RECORD_FORMAT,
        flags,
        count,
        schema,
        epoch,
        stream_number,
        first_version,
        recorded_at_ns,
        commit_id,
    )


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def payload_digest(payload: bytes) -> bytes:
    """Return what stands for the payload in the chain, and is the key of a blob."""
    return blake2b(payload, digest_size=_HASH_BYTES).digest()


def link_hash(before: bytes, position: int, header: bytes, digest: bytes) -> bytes:
    """Return the hash of a record whose payload has `digest`, after one with hash `before`."""
    return blake2b(
        before + position.to_bytes(8, "big") + header + digest, digest_size=_HASH_BYTES
    ).digest()


class RawRecord(msgspec.Struct, frozen=True, gc=False):
    """A stored record, split but with its events still encoded."""

    position: Position
    flags: int
    count: int
    schema: int
    epoch: int
    stream_number: int
    first_version: Version
    recorded_at_ns: int
    commit_id: bytes
    cause: Position | str | None
    correlation_id: str | None
    header: bytes
    hash: bytes
    payload: bytes  # the events, or what refers to them

    @property
    def digest(self) -> bytes:
        """What stands for the events in the chain: of a blob, its key."""
        return self.payload[:32] if self.flags & BLOB else payload_digest(self.payload)

    @property
    def size_bytes(self) -> int:
        """The length of the encoded events, wherever they are."""
        size_bytes: int = _REFERENCE.unpack(self.payload)[1] if self.flags & BLOB else 0
        return size_bytes or len(self.payload)

    def events_payload(self, blob: bytes | None) -> bytes:
        """Return the encoded events; `blob` is what lies under the digest, if they are apart.

        Raises:
            CorruptLog: the blob lacks, or is not the one that was written.
        """
        if not self.flags & BLOB:
            return self.payload
        digest, size_bytes = _REFERENCE.unpack(self.payload)
        where = f"the payload of record {self.position}"
        if blob is None:
            raise CorruptLog(where, "it lacks")
        if len(blob) != size_bytes:
            raise CorruptLog(where, f"it has {len(blob)} bytes, and had {size_bytes}")
        if payload_digest(blob) != digest:
            raise CorruptLog(where, "it is not what was written")
        return blob


def blob_reference(digest: bytes, size_bytes: int) -> bytes:
    """Return what stands in a record for a payload that is kept apart."""
    return _REFERENCE.pack(digest, size_bytes)


def split(position: Position, data: bytes) -> RawRecord:
    """Split a stored record into header, hash and payload.

    Raises:
        NewerFormat: a format or a flag that this release does not know.
        CorruptLog: it cannot be a record.
    """
    end = _HEADER.size
    cause: Position | str | None = None
    correlation_id: str | None = None
    try:
        if data[0] != RECORD_FORMAT:
            raise NewerFormat(f"record {position}", data[0], RECORD_FORMAT)
        (_, flags, count, schema, epoch, number, first, at_ns, commit_id) = _HEADER.unpack_from(
            data
        )
        if flags:
            if flags & ~_KNOWN_FLAGS or flags & _CAUSES == _CAUSES:
                raise CorruptLog(f"record {position}", f"flags {flags:#x} are not known")
            if flags & _CAUSE_POSITION:
                cause, end = Position(int.from_bytes(data[end : end + 8], "big")), end + 8
            if flags & _CAUSE_MESSAGE:
                cause, end = _read_text(data, end)
            if flags & _CORRELATION:
                correlation_id, end = _read_text(data, end)
            if flags & _TRACE:
                _, end = _read_text(data, end)
    except (IndexError, StructError, UnicodeDecodeError) as error:
        where = f"record {position}"
        raise CorruptLog(where, f"its header cannot be read ({error})") from None
    payload_at = end + _HASH_BYTES
    if len(data) <= payload_at:
        raise CorruptLog(f"record {position}", "it is cut off")
    if flags & BLOB and len(data) != payload_at + _REFERENCE.size:
        where = f"record {position}"
        raise CorruptLog(where, "its reference to its payload has another length")
    return RawRecord(
        position,
        flags,
        count,
        schema,
        epoch,
        number,
        Version(first),
        at_ns,
        commit_id,
        cause,
        correlation_id,
        data[:end],
        data[end:payload_at],
        data[payload_at:],
    )


def chain_fields(position: int, data: bytes, at: int) -> tuple[int, int, int, int, int, int]:
    """Return what a check of the chain needs of the record that begins at `at` in `data`.

    Flags, number of events, epoch, number of the stream, first version, and where the hash
    begins. As `split`, but several times as fast for records without flags.

    Raises:
        NewerFormat, CorruptLog: as `split` does.
    """
    hash_at = at + _HEADER.size
    if data[at : at + 2] == _PLAIN and len(data) > hash_at + _HASH_BYTES:
        _, _, count, _, epoch, number, first, _, _ = _HEADER.unpack_from(data, at)
        return 0, count, epoch, number, first, hash_at
    raw = split(Position(position), data[at:])
    hash_at = at + len(raw.header)
    return raw.flags, raw.count, raw.epoch, raw.stream_number, raw.first_version, hash_at


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    start = at + 2
    end = start + int.from_bytes(data[at:start], "big")
    return data[start:end].decode(), end


def decode(raw: RawRecord, stream: StreamId, codec: Codec, blob: bytes | None = None) -> Record:
    """Decode the events of a split record; `blob` is its payload, if that is kept apart.

    Raises:
        NewerFormat, UnknownEvent: a later release wrote it.
        CorruptLog: it is not what was written.
    """
    where = f"record {raw.position} of stream {stream!r}"
    events = codec.decode(raw.events_payload(blob), schema=raw.schema, where=where)
    if len(events) != raw.count or not events:
        raise CorruptLog(where, f"it holds {len(events)} events, its header says {raw.count}")
    return Record(
        position=raw.position,
        stream=stream,
        first_version=raw.first_version,
        recorded_at_ns=raw.recorded_at_ns,
        epoch=raw.epoch,
        commit_id=raw.commit_id,
        events=events,
        hash=raw.hash,
        cause=raw.cause,
        correlation_id=raw.correlation_id,
    )
