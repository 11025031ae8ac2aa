"""What becomes of rows when some of their records go: one gap a range, and the rest as it was."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from outlive.events import CODEC, CorruptLog, Position
from outlive.events.lmdb_store.gaps import Covered, decode_gap, is_gap, is_intact
from outlive.events.lmdb_store.layout import number_key
from outlive.events.lmdb_store.pieces import Changes, Piece, Rows, changes_of, pieces_of
from outlive.events.lmdb_store.rows import pack
from outlive.events.record import (
    BLOB,
    GENESIS,
    blob_reference,
    link_hash,
    pack_header,
    payload_digest,
    split,
)
from outlive.testing.log_contract.filling import delta

A, B = 4, 9
STREAMS = [A, A, B, A, B, B, A, A]
"""The streams of the records 1 to 8; the record at a position holds one or two events."""

APART = payload_digest(b"apart")


def count_of(position: int) -> int:
    return 1 + position % 2


def parts(*, blobs: Collection[int] = (), jumps: Collection[int] = ()) -> list[bytes]:
    """The records with their links.

    The payloads at `blobs` are kept apart, and are the same. A version lacks before `jumps`.
    """
    found: list[bytes] = []
    before, links, versions = GENESIS, dict.fromkeys(STREAMS, 0), dict.fromkeys(STREAMS, 1)
    for position, stream in enumerate(STREAMS, 1):
        count = count_of(position)
        versions[stream] += position in jumps
        payload = CODEC.encode(delta(*[f"{position}"] * count))
        digest = APART if position in blobs else payload_digest(payload)
        flags = BLOB if position in blobs else 0
        header = pack_header(flags, count, 1, 1, stream, versions[stream], 0, bytes(16))
        before = link_hash(before, position, header, digest)
        stored = blob_reference(digest, 5) if position in blobs else payload
        found.append(links[stream].to_bytes(8, "big") + header + before + stored)
        links[stream], versions[stream] = position, versions[stream] + count
    return found


PARTS = parts()
HASHES = [split(Position(at), part[8:]).hash for at, part in enumerate(PARTS, 1)]


def rows_of(*layout: Collection[int], parts: list[bytes] = PARTS) -> Rows:
    """Rows of these positions each."""
    rows: Rows = []
    for positions in layout:
        ((_, row),) = pack([parts[position - 1] for position in positions])
        rows.append((min(positions), row))
    return rows


SINGLE = rows_of(*([position] for position in range(1, 9)))
SHARED = rows_of([1], [2, 3, 4], [5, 6], [7], [8])


def going(rows: Rows, *positions: int) -> list[Piece]:
    pieces = pieces_of(rows, GENESIS)
    for piece in pieces:
        piece.goes = piece.goes or piece.first in positions
    return pieces


def after(rows: Rows, changes: Changes) -> Rows:
    """The rows as they are once the changes are made."""
    table = {number_key(position): row for position, row in rows}
    for key in changes.removed:
        del table[key]
    table.update(changes.put)
    return [(int.from_bytes(key, "big"), table[key]) for key in sorted(table)]


def compacted(rows: Rows, *positions: int) -> Rows:
    return after(rows, changes_of(going(rows, *positions), []))


def shape(rows: Rows) -> list[tuple[int, int]]:
    """The records and the gaps in rows, each by its first and last position."""
    return [(piece.first, piece.last) for piece in pieces_of(rows, GENESIS)]


def gap_bytes(rows: Rows) -> int:
    """The room that gaps take."""
    return sum(len(row) for _, row in rows if is_gap(row))


# -- what is in rows --


def test_each_record_is_a_piece_with_its_place_in_the_file_and_in_the_chain() -> None:
    pieces = pieces_of(SHARED, GENESIS)
    assert [(piece.row, piece.first, piece.last) for piece in pieces] == [
        *((1, 1, 1), (2, 2, 2), (2, 3, 3), (2, 4, 4)),
        *((5, 5, 5), (5, 6, 6), (7, 7, 7), (8, 8, 8)),
    ]
    assert [piece.stored for piece in pieces] == PARTS
    assert [piece.hash for piece in pieces] == HASHES
    assert [piece.before for piece in pieces] == [GENESIS, *HASHES[:-1]]
    for piece in pieces:
        assert piece.raw == split(Position(piece.first), piece.stored[8:])
        assert (piece.gap, piece.goes) == (None, False)


def test_a_gap_is_a_piece_that_goes_and_the_chain_goes_on_behind_it() -> None:
    rows = compacted(SHARED, 2, 3)
    (_, gap, behind, *_) = pieces_of(rows, GENESIS)
    assert (gap.row, gap.first, gap.last, gap.stored) == (2, 2, 3, dict(rows)[2])
    assert (gap.before, gap.hash, gap.raw, gap.goes) == (HASHES[0], HASHES[2], None, True)
    assert gap.gap == decode_gap(2, dict(rows)[2])
    assert (behind.first, behind.before, behind.goes) == (4, HASHES[2], False)


def test_a_row_that_was_cut_off_is_told_by_its_place() -> None:
    cut = [(at, row[:-1] if at == 2 else row) for at, row in SHARED]
    with pytest.raises(CorruptLog, match=r"^record 2 is damaged: its row has another length than"):
        pieces_of(cut, GENESIS)


# -- what is left --


def test_where_nothing_goes_nothing_changes() -> None:
    assert changes_of([], []) == Changes()
    assert changes_of(going(SHARED), []) == Changes()


@pytest.mark.parametrize("rows", [SINGLE, SHARED], ids=["single", "shared"])
@pytest.mark.parametrize(
    "gone", [[1], [3], [2, 3], [3, 4], [1, 2, 3, 4], [2, 4], [3, 5, 6], [1, 3, 5, 7]], ids=str
)
def test_each_range_becomes_one_gap_and_all_other_records_stay(rows: Rows, gone: list[int]) -> None:
    left = compacted(rows, *gone)
    kept: list[bytes] = []
    covered: list[int] = []
    end = 0
    for piece in pieces_of(left, GENESIS):
        assert piece.first == end + 1
        end = piece.last
        if piece.gap is None:
            kept.append(piece.stored)
        else:
            assert is_intact(piece.gap, piece.before)
            assert piece.hash == HASHES[piece.last - 1]
            covered += range(piece.first, piece.last + 1)
            assert piece.gap.event_count == sum(map(count_of, range(piece.first, piece.last + 1)))
    assert end == 8
    assert kept == [part for at, part in enumerate(PARTS, 1) if at not in gone]
    assert covered == gone
    gaps = [piece for piece in pieces_of(left, GENESIS) if piece.gap is not None]
    assert len(gaps) == sum(one - 1 not in gone for one in gone)


def test_rows_of_which_nothing_goes_are_not_written_again() -> None:
    changes = changes_of(going(SHARED, 3), [])
    assert set(changes.put) == {number_key(2), number_key(3), number_key(4)}
    assert changes.removed == {number_key(2)}


def test_a_gap_tells_of_each_stream_what_is_gone_and_where_it_goes_on() -> None:
    gap = decode_gap(2, dict(compacted(SINGLE, 2, 3, 4, 5))[2])
    assert gap.covered == {
        A: Covered(A, first_version=3, last_version=4, last_position=4, link=1),
        B: Covered(B, first_version=1, last_version=4, last_position=5, link=0),
    }
    assert (gap.first, gap.last, gap.closing_hash) == (2, 5, HASHES[4])


def test_what_went_is_counted() -> None:
    changes = changes_of(going(SINGLE, 2, 3, 6), [])
    assert (changes.records, changes.events, changes.gaps) == (3, 1 + 2 + 1, 2)
    gone = sum(len(PARTS[position - 1]) for position in (2, 3, 6))
    assert changes.bytes == gone - sum(map(len, changes.put.values()))
    assert changes.blobs == {}


def test_payloads_that_are_kept_apart_are_counted_by_their_digest() -> None:
    rows = rows_of(*([at] for at in range(1, 9)), parts=parts(blobs=[2, 3, 6, 7]))
    changes = changes_of(going(rows, 2, 3, 4, 6), [])
    assert changes.blobs == {APART: 3}


# -- gaps that are there --


def test_a_gap_that_nothing_is_added_to_stays_as_it_is_and_is_counted() -> None:
    rows = compacted(SHARED, 2, 3)
    changes = changes_of(going(rows), [])
    assert changes == Changes(gaps=1)


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        ([3, 4], [2], [(1, 1), (2, 4), (5, 5), (6, 6), (7, 7), (8, 8)]),
        ([2, 3], [4], [(1, 1), (2, 4), (5, 5), (6, 6), (7, 7), (8, 8)]),
        ([1, 3], [2], [(1, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8)]),
        ([2, 5], [3, 4, 6], [(1, 1), (2, 6), (7, 7), (8, 8)]),
    ],
    ids=["before", "behind", "between", "around"],
)
def test_what_goes_beside_a_gap_is_taken_into_it(
    first: list[int], then: list[int], expected: list[tuple[int, int]]
) -> None:
    rows = compacted(SHARED, *first)
    changes = changes_of(going(rows, *then), [])
    left = after(rows, changes)
    assert shape(left) == expected
    assert left == compacted(SHARED, *first, *then)
    assert changes.gaps == 1
    assert (changes.records, changes.events) == (len(then), sum(map(count_of, then)))
    gone = sum(len(PARTS[position - 1]) for position in then)
    assert changes.bytes == gone + gap_bytes(rows) - gap_bytes(left)


def test_a_range_that_reaches_the_gap_above_takes_it_in_and_is_not_counted_once_more() -> None:
    rows = compacted(SINGLE, 4, 5)
    below, above = going(rows, 2, 3)[:3], going(rows)[3:4]
    assert above[0].gap is not None
    changes = changes_of(below, above)
    assert changes.gaps == 0
    left = after(rows, changes)
    assert left == compacted(SINGLE, 2, 3, 4, 5)


def test_a_gap_above_that_nothing_reaches_stays_as_it_is() -> None:
    rows = compacted(SINGLE, 4, 5)
    below, above = going(rows, 2)[:3], going(rows)[3:4]
    changes = changes_of(below, above)
    assert changes.gaps == 1
    assert set(changes.put) == {number_key(2)}
    assert shape(after(rows, changes)) == [(1, 1), (2, 2), (3, 3), (4, 5), (6, 6), (7, 7), (8, 8)]


# -- what is checked before it is forgotten --


def damaged(position: int, at: int) -> Rows:
    """Rows in which one byte of a record is another one."""
    changed = bytearray(PARTS[position - 1])
    changed[at] ^= 1
    broken = [*PARTS[: position - 1], bytes(changed), *PARTS[position:]]
    return rows_of(*([one] for one in range(1, 9)), parts=broken)


@pytest.mark.parametrize("at", [8 + 18, 8 + 40, 8 + 50, -1], ids=["at", "id", "hash", "payload"])
def test_a_record_that_is_not_what_was_written_is_not_forgotten(at: int) -> None:
    rows = damaged(3, at)
    with pytest.raises(
        CorruptLog, match=r"^record 3 is damaged: its hash is not that of its conte"
    ):
        changes_of(going(rows, 2, 3), [])
    assert changes_of(going(rows, 2), []).records == 1


def test_a_gap_that_is_not_what_was_written_is_not_taken_in() -> None:
    rows = compacted(SINGLE, 3, 4)
    changed = [
        (at, row if not is_gap(row) else row[:50] + bytes([row[50] ^ 1]) + row[51:])
        for at, row in rows
    ]
    why = "^record 3 is damaged: its gap has another digest than its content$"
    with pytest.raises(CorruptLog, match=why):
        changes_of(going(changed, 5), [])
    assert changes_of(going(changed), []).gaps == 1


@pytest.mark.parametrize("break_", ["link", "version"])
def test_records_that_do_not_follow_each_other_in_their_stream_are_not_forgotten(
    break_: str,
) -> None:
    linked_to_1 = [*PARTS[:3], bytes(7) + b"\1" + PARTS[3][8:], *PARTS[4:]]
    broken = linked_to_1 if break_ == "link" else parts(jumps=[4])
    rows = rows_of(*([one] for one in range(1, 9)), parts=broken)
    with pytest.raises(
        CorruptLog, match=r"^record 4 is damaged: it does not follow in its stream$"
    ):
        changes_of(going(rows, 2, 3, 4), [])
    assert changes_of(going(rows, 2, 3), []).records == 2
