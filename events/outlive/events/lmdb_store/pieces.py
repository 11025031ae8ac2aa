"""What rows of `log` become when some of their records go. Pure: rows in, rows out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

import msgspec

from outlive.events.errors import CorruptLog
from outlive.events.ids import Position
from outlive.events.lmdb_store.gaps import Covered, Gap, decode_gap, encode_gap, is_gap, is_intact
from outlive.events.lmdb_store.layout import number_key
from outlive.events.lmdb_store.rows import pack, parts_of
from outlive.events.record import BLOB, RawRecord, link_hash, split

Rows: TypeAlias = list[tuple[int, bytes]]
"""Rows that follow one another, each with the position at which it begins."""


class Piece(msgspec.Struct, kw_only=True, gc=False):
    """A record or a gap, and where it lies."""

    row: int  # the position at which its row begins
    first: int
    last: int
    stored: bytes  # a record with its link, or the gap's row
    before: bytes  # the hash that the chain has before it
    hash: bytes  # and behind it
    raw: RawRecord | None = None
    gap: Gap | None = None
    goes: bool = False


class Changes(msgspec.Struct, gc=False):
    """What is taken out of `log` and what is put into it, by key. `put` wins."""

    removed: set[bytes] = msgspec.field(default_factory=set[bytes])
    put: dict[bytes, bytes] = msgspec.field(default_factory=dict[bytes, bytes])
    # By digest: how many records fewer hold a payload that is kept apart.
    blobs: dict[bytes, int] = msgspec.field(default_factory=dict[bytes, int])
    records: int = 0
    events: int = 0
    bytes: int = 0
    gaps: int = 0  # that there are then, those above not counted once more


def pieces_of(rows: Rows, before: bytes) -> list[Piece]:
    """Return what is in rows behind a record with hash `before`. Raises CorruptLog."""
    found: list[Piece] = []
    for key, row in rows:
        if is_gap(row):
            gap = decode_gap(key, row)
            hash = gap.closing_hash
            found.append(
                Piece(
                    row=key,
                    first=key,
                    last=gap.last,
                    stored=row,
                    before=before,
                    hash=hash,
                    gap=gap,
                    goes=True,
                )
            )
            before = hash
            continue
        for position, part in enumerate(parts_of(key, row), key):
            raw = split(Position(position), part[8:])
            found.append(
                Piece(
                    row=key,
                    first=position,
                    last=position,
                    stored=part,
                    before=before,
                    hash=raw.hash,
                    raw=raw,
                )
            )
            before = raw.hash
    return found


def changes_of(pieces: list[Piece], above: list[Piece]) -> Changes:
    """Return what makes one gap of each range that goes, and keeps the other records.

    Rows of which nothing goes stay as they are. `above` is the gap behind the pieces, if there
    is one: a range that reaches as far takes it in.

    Raises:
        CorruptLog: a record that goes is not what was written.
    """
    changes = Changes()
    touched = {piece.row for piece in pieces if piece.goes and piece.raw is not None}
    changes.removed.update(number_key(row) for row in touched)
    for row, group in groupby([*pieces, *above], lambda piece: None if piece.goes else piece.row):
        found = list(group)
        if row is None:
            _put_gap(changes, found, merged=bool(above) and found[-1] is above[-1])
        elif row in touched:
            for index, packed in pack([piece.stored for piece in found]):
                changes.put[number_key(found[index].first)] = packed
    return changes


def _put_gap(changes: Changes, found: list[Piece], *, merged: bool) -> None:
    """Make one gap of a range, unless it is one. `merged`: its end is the gap above."""
    gaps = [piece for piece in found if piece.gap is not None]
    if len(found) == 1 and gaps:
        changes.gaps += not merged
        return
    for piece in found:
        _check(piece)
    row = encode_gap(
        found[0].before, found[0].first, found[-1].last, found[-1].hash, _covered(found)
    )
    changes.put[number_key(found[0].first)] = row
    changes.removed.update(number_key(piece.first) for piece in gaps)
    changes.gaps += not merged
    changes.bytes += sum(len(piece.stored) for piece in found) - len(row)
    going = [piece.raw for piece in found if piece.raw is not None]
    changes.records += len(going)
    changes.events += sum(raw.count for raw in going)
    for raw in going:
        if raw.flags & BLOB:
            changes.blobs[raw.digest] = changes.blobs.get(raw.digest, 0) + 1


def _check(piece: Piece) -> None:
    """Raise CorruptLog if a piece is not what was written: when it is gone, nobody can tell."""
    raw, gap, where = piece.raw, piece.gap, f"record {piece.first}"
    if gap is not None and not is_intact(gap, piece.before):
        raise CorruptLog(where, "its gap has another digest than its content")
    if raw is not None and piece.hash != link_hash(
        piece.before, raw.position, raw.header, raw.digest
    ):
        raise CorruptLog(where, "its hash is not that of its content")


def _covered(found: Sequence[Piece]) -> Iterator[Covered]:
    """Return what these pieces cover of each stream. Raises CorruptLog."""
    covered: dict[int, Covered] = {}
    for one in (one for piece in found for one in _covered_by(piece)):
        known = covered.get(one.number)
        if known is None:
            covered[one.number] = one
        elif (known.last_position, known.last_version + 1) == (one.link, one.first_version):
            covered[one.number] = known._replace(
                last_version=one.last_version, last_position=one.last_position
            )
        else:
            raise CorruptLog(f"record {one.last_position}", "it does not follow in its stream")
    yield from covered.values()


def _covered_by(piece: Piece) -> Iterator[Covered]:
    if piece.gap is not None:
        yield from piece.gap.covered.values()
    elif piece.raw is not None:
        raw = piece.raw
        last_version = raw.first_version + raw.count - 1
        link = int.from_bytes(piece.stored[:8], "big")
        yield Covered(raw.stream_number, raw.first_version, last_version, piece.first, link)
