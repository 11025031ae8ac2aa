"""What every store of a log does alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias
from zlib import crc32

import msgspec
from msgspec import UNSET, UnsetType

from outlive.events.codec import Codec
from outlive.events.commit import Commit, OpenEntry
from outlive.events.errors import (
    CorruptLog,
    EventTooLarge,
    InvalidId,
    InvalidOffset,
    UnserialisableValue,
)
from outlive.events.event import Event
from outlive.events.ids import StreamId, Version
from outlive.events.logger import get_logger
from outlive.events.record import BLOB, MAX_EVENTS, header_tail, payload_digest
from outlive.events.sizes import MAX_INLINE_BYTES, MAX_PAYLOAD_BYTES
from outlive.events.snapshot import Snapshot

_log = get_logger()

COMMIT_ID_BYTES: Final = 16
MAX_STREAM_BYTES: Final = 255
MAX_COMMAND_ID_BYTES: Final = 200
_CHECKSUM_BYTES: Final = 4
_NO_OFFSET: Final = 1 << 63

_encode_entry: Final = msgspec.msgpack.Encoder().encode
_decode_entry: Final = msgspec.msgpack.Decoder(OpenEntry).decode

Admitted: TypeAlias = tuple[Commit, bytes, int, bytes, bytes | UnsetType | None]
"""A commit that can be written: with its payload's digest, its header's flags and tail, and
its encoded row of the open table. A bare tuple: a writer unpacks a great many of them."""


def admit(codec: Codec, commit: Commit) -> Admitted:
    """Encode an append on its caller's thread, so that nothing can go wrong with it later.

    Raises:
        InvalidId: its stream cannot name a stream, or its `command_id` a command.
        UnserialisableValue: something in it cannot be encoded, or is of no known event type.
        EventTooLarge: the events take more than 64 MiB together.
        ValueError: the commit id has not 16 bytes, or there is a snapshot without events.
    """
    # What is plain in nearly all appends is seen without a call: this is a hot path.
    stream, snapshot = commit.stream, commit.snapshot
    if not (type(stream) is str and stream.isascii() and 0 < len(stream) <= MAX_STREAM_BYTES):
        check_stream(stream)
    if commit.commit_id is not None or commit.command_id is not None or commit.reply is not None:
        _check_ids(commit)
    if snapshot is not None and snapshot is not UNSET:
        _check_bytes("a snapshot", snapshot)
        if not commit.events:
            raise ValueError("a snapshot is the state after events, and there are none")
    payload = commit.payload = encode_events(codec, commit.events)
    flags, tail, entry = 0, b"", commit.entry
    row: bytes | UnsetType | None
    try:
        if commit.cause is not None or commit.correlation_id is not None:
            flags, tail = header_tail(commit.cause, commit.correlation_id)
        row = entry if entry is None or entry is UNSET else encode_entry(entry, stream)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UnserialisableValue(f"an append cannot be encoded: {error}") from None
    if len(payload) > MAX_INLINE_BYTES:
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise EventTooLarge(len(payload), MAX_PAYLOAD_BYTES)
        flags |= BLOB
    return commit, payload_digest(payload), flags, tail, row


def encode_events(codec: Codec, events: Sequence[Event]) -> bytes:
    """Encode the events of one append. Raises UnserialisableValue."""
    if len(events) > MAX_EVENTS:
        raise UnserialisableValue(f"a commit holds at most {MAX_EVENTS} events, not {len(events)}")
    if not codec.known.issuperset(map(type, events)):
        # It could be written, and never be read again.
        strange = next(event for event in events if type(event) not in codec.known)
        raise UnserialisableValue(f"{type(strange).__name__} is no event type of this log's codec")
    try:
        return codec.encode(events)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as error:
        raise UnserialisableValue(f"an event cannot be encoded: {error}") from None


def _check_ids(commit: Commit) -> None:
    if commit.commit_id is not None:
        _check_bytes("a commit id", commit.commit_id)
        if len(commit.commit_id) != COMMIT_ID_BYTES:
            size = len(commit.commit_id)
            raise ValueError(f"a commit id has {COMMIT_ID_BYTES} bytes, not {size}")
    if commit.command_id is not None:
        check_command_id(commit.command_id)
    if commit.reply is not None:
        _check_bytes("a reply", commit.reply)


def _check_bytes(what: str, value: object) -> None:
    if type(value) is not bytes:
        raise UnserialisableValue(f"{what} is bytes, not {type(value).__name__}")


def check_command_id(command_id: object) -> None:
    """Return if it can name a command. Raises InvalidId."""
    try:
        if isinstance(command_id, str) and 0 < len(command_id.encode()) <= MAX_COMMAND_ID_BYTES:
            return
    except UnicodeEncodeError:
        pass
    raise InvalidId(
        f"a command's id has 1 to {MAX_COMMAND_ID_BYTES} bytes of UTF-8, not {command_id!r:.300}"
    )


def check_stream(stream: StreamId) -> None:
    """Return if it can name a stream. Raises InvalidId."""
    try:
        text = isinstance(stream, str)  # pyright: ignore[reportUnnecessaryIsInstance]
        if text and 0 < len(stream.encode()) <= MAX_STREAM_BYTES:
            return
    except UnicodeEncodeError:
        pass
    raise InvalidId(
        f"a stream's name has 1 to {MAX_STREAM_BYTES} bytes of UTF-8, not {stream!r:.300}"
    )


def encode_entry(entry: OpenEntry, stream: StreamId) -> bytes:
    """Return a row of the open table: a checksum, then the entry as msgpack.

    The checksum is the CRC-32 (4 bytes) of the stream's name and the entry. A record has its
    hash; without this nothing would show that a bit of a row, or of its key, flipped, and that
    recovery passes over a run because of it.
    """
    if type(entry) is not OpenEntry:
        raise TypeError(f"its entry is an OpenEntry, not {type(entry).__name__}")
    data = _encode_entry(entry)
    return _checksum(stream, data) + data


def _checksum(stream: StreamId, data: bytes) -> bytes:
    return crc32(data, crc32(stream.encode())).to_bytes(_CHECKSUM_BYTES, "big")


def decode_entry(row: bytes, stream: StreamId) -> OpenEntry:
    """Decode a row of the open table. Raises CorruptLog."""
    where = f"the open row of stream {stream!r}"
    data = row[_CHECKSUM_BYTES:]
    if _checksum(stream, data) != row[:_CHECKSUM_BYTES]:
        raise CorruptLog(where, "its checksum is not that of its stream and its content")
    try:
        return _decode_entry(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptLog(where, str(error)) from None


def usable(found: Snapshot | None, stream: StreamId, version: Version) -> Snapshot | None:
    """Return a stored snapshot of a stream at `version`, unless it is damaged or ahead of it."""
    if found is None or found.version > version:
        reason = "damaged" if found is None else "ahead of its stream"
        _log.warning("snapshot_ignored", stream=stream, reason=reason)
        return None
    return found


def next_commit_id(epoch: int, count: int) -> bytes:
    """Return a commit id that no other commit of the log has: owner's epoch and a counter."""
    return epoch.to_bytes(8, "big") + count.to_bytes(8, "big")


def check_limit(limit: int) -> None:
    """Raise ValueError unless `limit` is what a read may return at most."""
    if type(limit) is not int or not 1 <= limit <= 10_000:
        raise ValueError(f"a limit is 1 to 10,000, not {limit!r}")


def check_after(after: object, head: Callable[[], int]) -> None:
    """Return if a read may go on behind `after`, be that beyond the head or not.

    Raises:
        InvalidOffset: it is negative, no whole number, or too large for a key.
    """
    if type(after) is not int or not 0 <= after < _NO_OFFSET:
        raise InvalidOffset(after, head())


def check_offset(after: object, head: Callable[[], int]) -> None:
    """Return if `after` may have been handed out, where `head` is the last one that was.

    Raises:
        InvalidOffset: it is beyond the head, negative, or no whole number.
    """
    if type(after) is not int or after < 0 or (after and after > head()):
        raise InvalidOffset(after, head())
