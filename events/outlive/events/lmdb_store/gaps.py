"""Gap rows of `log`: what compaction leaves of a range of records that it dropped.

    2 (1), position of the last one dropped (8), its hash (32), digest (32), then for each
    stream that had records there, by its number:
        number (8), first and last version dropped (8 each),
        position of the last one dropped (8), link of the first one dropped (8)

A row's key is the position of the first record dropped. Numbers are big-endian.

Nothing around a gap is rewritten. The link of a record behind it, and a row of `entrances`, may
lead into the range: then the gap tells which versions of the stream are gone, and with its link
where the stream goes on. The chain of hashes goes on from the hash of the last one dropped.

digest = BLAKE2b-256(hash before the range | position of the first | the row without its digest).
It shows damage. It cannot show what was dropped, nor that it was rightly dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b
from itertools import pairwise
from struct import Struct
from typing import Final, NamedTuple

from outlive.events.errors import CorruptLog

GAP: Final = 2
"""The first byte of a gap's row."""

_HEAD: Final = Struct(">BQ32s32s")
_COVERED: Final = Struct(">QQQQQ")


class Covered(NamedTuple):
    """What a gap covers of one stream: at least one record, never the stream's last one."""

    number: int
    first_version: int
    last_version: int
    last_position: int  # of the last record dropped: the next record's link
    link: int  # position of the stream's record before the gap, 0 for none


class Gap(NamedTuple):
    """A range of dropped records."""

    first: int
    last: int
    closing_hash: bytes
    digest: bytes
    covered: dict[int, Covered]  # by the stream's number, in its order

    @property
    def event_count(self) -> int:
        """How many events were dropped."""
        return sum(one.last_version - one.first_version + 1 for one in self.covered.values())


class GapRow(NamedTuple):
    """A gap as it is stored, for looking up one stream among many. For use in its snapshot."""

    first: int
    last: int
    row: bytes | memoryview

    @property
    def closing_hash(self) -> bytes:
        """The hash of the last record dropped."""
        return bytes(self.row[9:41])

    def covered(self, number: int) -> Covered | None:
        """Return what the gap covers of a stream. Raises CorruptLog."""
        places = range(_HEAD.size, len(self.row), _COVERED.size)
        at = bisect_left(places, number, key=lambda place: _number_at(self.row, place))
        if at == len(places):
            return None
        found = Covered(*_COVERED.unpack_from(self.row, places[at]))
        if found.number != number:
            return None
        if not _possible(self.first, self.last, found):
            raise CorruptLog(f"record {self.first}", "its gap covers what it cannot cover")
        return found


def _number_at(row: bytes | memoryview, place: int) -> int:
    return int.from_bytes(row[place : place + 8], "big")


def is_gap(row: bytes | memoryview) -> bool:
    """Whether a row of `log` is a gap's."""
    return len(row) > 0 and row[0] == GAP


def encode_gap(
    before: bytes, first: int, last: int, closing_hash: bytes, covered: Iterable[Covered]
) -> bytes:
    """Return the row of a gap whose range follows a record with hash `before`."""
    parts = b"".join(_COVERED.pack(*one) for one in sorted(covered))
    digest = gap_digest(before, first, last, closing_hash, parts)
    return _HEAD.pack(GAP, last, closing_hash, digest) + parts


def gap_digest(before: bytes, first: int, last: int, closing_hash: bytes, parts: bytes) -> bytes:
    """Return the digest of a gap; `parts` are its streams as they are stored."""
    head = before + first.to_bytes(8, "big") + bytes([GAP]) + last.to_bytes(8, "big")
    return blake2b(head + closing_hash + parts, digest_size=32).digest()


def is_intact(gap: Gap, before: bytes) -> bool:
    """Whether the digest of a gap is that of its content behind a record with hash `before`."""
    parts = b"".join(_COVERED.pack(*one) for one in gap.covered.values())
    return gap.digest == gap_digest(before, gap.first, gap.last, gap.closing_hash, parts)


def gap_end(first: int, row: bytes | memoryview) -> int:
    """Return the last position of the gap whose row this is. Raises CorruptLog."""
    last = int.from_bytes(row[1:9], "big")
    if last < first or len(row) <= _HEAD.size or (len(row) - _HEAD.size) % _COVERED.size:
        raise CorruptLog(f"record {first}", "the row of its gap is cut off")
    return last


def decode_gap(first: int, row: bytes | memoryview) -> Gap:
    """Return the gap whose row this is. Raises CorruptLog if it cannot be one."""
    last = gap_end(first, row)
    _, _, closing_hash, digest = _HEAD.unpack_from(row)
    found = [Covered(*fields) for fields in _COVERED.iter_unpack(row[_HEAD.size :])]
    if (
        any(one.number >= other.number for one, other in pairwise(found))
        or len({one.last_position for one in found}) != len(found)
        or not all(_possible(first, last, one) for one in found)
    ):
        raise CorruptLog(f"record {first}", "its gap covers what it cannot cover")
    return Gap(first, last, closing_hash, digest, {one.number: one for one in found})


def _possible(first: int, last: int, one: Covered) -> bool:
    return (
        0 < one.first_version <= one.last_version
        and one.link < first <= one.last_position <= last
        and (one.link > 0) == (one.first_version > 1)
    )
