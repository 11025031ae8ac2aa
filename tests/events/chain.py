"""Recomputing the chain of hashes, from what a log gives out and from what lies in its file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outlive.events import CODEC, Record, StreamId
from outlive.events.record import GENESIS, chain_hash, encode_header, split


def chain(records: Sequence[Record]) -> list[bytes]:
    """The hashes that `records`, all of a log's, must have if they are what was written."""
    numbers: dict[StreamId, int] = {}
    hashes: list[bytes] = []
    before = GENESIS
    for record in records:
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
        )
        before = chain_hash(before, record.position, header, CODEC.encode(record.events))
        hashes.append(before)
    return hashes


def first_broken(records: Iterable[bytes]) -> int | None:
    """The position of the first of a log's stored records that the chain does not hold."""
    before = GENESIS
    for position, data in enumerate(records, 1):
        raw = split(position, data)  # type: ignore[arg-type]  # counted here
        before = chain_hash(before, position, raw.header, raw.payload)
        if before != raw.hash:
            return position
    return None
