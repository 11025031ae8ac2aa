"""Recomputing the chain of hashes, from what a log gives out and from what lies in its file."""

from __future__ import annotations

from collections.abc import Sequence

from outlive.events import CODEC, Position, Record, StreamId
from outlive.events.record import (
    BLOB,
    GENESIS,
    header_tail,
    link_hash,
    pack_header,
    payload_digest,
)
from outlive.events.sizes import MAX_INLINE_BYTES


def encode_header(
    *,
    count: int,
    schema: int,
    epoch: int,
    stream_number: int,
    first_version: int,
    recorded_at_ns: int,
    commit_id: bytes,
    cause: Position | str | None,
    correlation_id: str | None,
    blob: bool = False,
) -> bytes:
    """The header up to the hash."""
    flags, tail = header_tail(cause, correlation_id)
    flags |= BLOB if blob else 0
    return (
        pack_header(
            flags, count, schema, epoch, stream_number, first_version, recorded_at_ns, commit_id
        )
        + tail
    )


def chain_hash(before: bytes, position: int, header: bytes, payload: bytes) -> bytes:
    """The hash of a record that follows the one with hash `before`."""
    return link_hash(before, position, header, payload_digest(payload))


def chain(records: Sequence[Record]) -> list[bytes]:
    """The hashes that `records`, all of a log's, must have if they are what was written."""
    numbers: dict[StreamId, int] = {}
    hashes: list[bytes] = []
    before = GENESIS
    for record in records:
        payload = CODEC.encode(record.events)
        header = encode_header(
            count=len(record.events),
            schema=CODEC.schema,
            epoch=record.epoch,
            stream_number=numbers.setdefault(record.stream, len(numbers) + 1),
            first_version=record.first_version,
            recorded_at_ns=record.recorded_at_ns,
            commit_id=record.commit_id,
            cause=record.cause,
            correlation_id=record.correlation_id,
            blob=len(payload) > MAX_INLINE_BYTES,
        )
        before = chain_hash(before, record.position, header, payload)
        hashes.append(before)
    return hashes
