"""Where the chain of hashes in a log's file breaks."""

from __future__ import annotations

from collections.abc import Iterable

from outlive.events.record import GENESIS, link_hash, split


def first_broken(records: Iterable[bytes]) -> int | None:
    """The position of the first of a log's stored records that the chain does not hold."""
    before = GENESIS
    for position, data in enumerate(records, 1):
        raw = split(position, data)  # type: ignore[arg-type]  # counted here
        before = link_hash(before, position, raw.header, raw.digest)
        if before != raw.hash:
            return position
    return None
