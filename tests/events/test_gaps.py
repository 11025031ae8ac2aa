"""What compaction leaves of a range: read as it was written, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from outlive.events import CorruptLog
from outlive.events.lmdb_store.gaps import (
    Covered,
    Gap,
    GapRow,
    decode_gap,
    encode_gap,
    gap_end,
    is_gap,
    is_intact,
)

FIRST, LAST = 10, 19
BEFORE, CLOSING = b"b" * 32, b"c" * 32
FROM_THE_START = Covered(number=4, first_version=1, last_version=3, last_position=12, link=0)
FROM_THE_MIDDLE = Covered(number=9, first_version=5, last_version=5, last_position=19, link=7)
ROW = encode_gap(BEFORE, FIRST, LAST, CLOSING, [FROM_THE_MIDDLE, FROM_THE_START])
HEAD_BYTES, COVERED_BYTES = 73, 40


def row_of(*covered: Covered, first: int = FIRST, last: int = LAST) -> bytes:
    return encode_gap(BEFORE, first, last, CLOSING, covered)


def unsorted(*covered: Covered) -> bytes:
    """A row that holds its streams in the order in which they are given."""
    return ROW[:HEAD_BYTES] + b"".join(row_of(one)[HEAD_BYTES:] for one in covered)


def test_a_gap_comes_back_as_it_was_written_its_streams_in_order() -> None:
    gap = decode_gap(FIRST, ROW)
    assert gap == Gap(FIRST, LAST, CLOSING, gap.digest, {4: FROM_THE_START, 9: FROM_THE_MIDDLE})
    assert list(gap.covered) == [4, 9]
    assert gap.event_count == 4
    assert is_intact(gap, BEFORE)
    assert gap_end(FIRST, ROW) == LAST


def test_a_gaps_row_is_the_same_for_ever() -> None:
    assert is_gap(ROW)
    assert len(ROW) == HEAD_BYTES + 2 * COVERED_BYTES
    assert ROW[:41] == b"\2" + LAST.to_bytes(8, "big") + CLOSING
    assert (
        ROW[41:HEAD_BYTES].hex()
        == "b295dc811a85a86cd1a63234736d7a52ff3d9f6385a93b0d3136c768ba1ce0b9"
    )
    numbers = [int.from_bytes(ROW[at : at + 8], "big") for at in range(HEAD_BYTES, len(ROW), 8)]
    assert numbers == [*FROM_THE_START, *FROM_THE_MIDDLE]


def test_what_begins_with_something_else_is_no_gap() -> None:
    assert not any(is_gap(row) for row in (b"", b"\0" + ROW[1:], b"\1", b"\3"))


def test_one_stream_is_looked_up_among_many() -> None:
    covered = [
        Covered(number, first_version=2, last_version=3, last_position=FIRST + number, link=1)
        for number in range(1, 10, 2)
    ]
    row = GapRow(FIRST, LAST, row_of(*covered))
    assert row.closing_hash == CLOSING
    found = [row.covered(number) for number in range(12)]
    assert [one for one in found if one is not None] == covered
    assert [number for number, one in enumerate(found) if one is not None] == [1, 3, 5, 7, 9]


def test_a_gap_stands_behind_one_record_and_at_one_position() -> None:
    assert not is_intact(decode_gap(FIRST, ROW), CLOSING)
    assert not is_intact(decode_gap(FIRST - 1, ROW), BEFORE)


@pytest.mark.parametrize("bit", range(8))
def test_no_bit_of_it_changes_unseen(bit: int) -> None:
    for at in range(1, len(ROW)):
        changed = bytearray(ROW)
        changed[at] ^= 1 << bit
        try:
            gap = decode_gap(FIRST, bytes(changed))
        except CorruptLog:
            continue
        assert not is_intact(gap, BEFORE)


@pytest.mark.parametrize(
    "row",
    [
        ROW[:HEAD_BYTES],
        ROW[:-1],
        ROW + b"\0",
        ROW[: HEAD_BYTES + 1],
        ROW[:1] + (FIRST - 1).to_bytes(8, "big") + ROW[9:],
        ROW[:20],
    ],
    ids=["no stream", "short", "long", "one byte", "ends before it begins", "half a head"],
)
def test_a_row_that_cannot_be_a_gap_is_damage(row: bytes) -> None:
    for read in (gap_end, decode_gap):
        with pytest.raises(CorruptLog, match=r"^record 10 is damaged: the row of its gap is cut"):
            read(FIRST, row)


@pytest.mark.parametrize(
    "possible",
    [
        Covered(1, first_version=1, last_version=1, last_position=FIRST, link=0),
        Covered(1, first_version=1, last_version=9, last_position=LAST, link=0),
        Covered(1, first_version=2, last_version=2, last_position=FIRST, link=1),
        Covered(1, first_version=2, last_version=2, last_position=FIRST, link=FIRST - 1),
    ],
)
def test_a_stream_may_be_covered_from_end_to_end_of_the_range(possible: Covered) -> None:
    assert decode_gap(FIRST, row_of(possible)).covered == {1: possible}
    assert GapRow(FIRST, LAST, row_of(possible)).covered(1) == possible


def test_a_gap_may_be_of_one_record() -> None:
    one = Covered(1, first_version=1, last_version=1, last_position=FIRST, link=0)
    assert decode_gap(FIRST, row_of(one, last=FIRST)).last == FIRST


@pytest.mark.parametrize(
    "impossible",
    [
        FROM_THE_START._replace(first_version=0),
        FROM_THE_START._replace(first_version=4),
        FROM_THE_START._replace(first_version=2),
        FROM_THE_MIDDLE._replace(first_version=1),
        FROM_THE_MIDDLE._replace(link=0),
        FROM_THE_MIDDLE._replace(link=FIRST),
        FROM_THE_MIDDLE._replace(last_position=FIRST - 1),
        FROM_THE_MIDDLE._replace(last_position=LAST + 1),
    ],
    ids=[
        "version 0",
        "backwards",
        "first, and not the first",
        "the first, and not first",
        "not the first, and first",
        "a link into itself",
        "before the range",
        "behind the range",
    ],
)
def test_what_a_gap_cannot_cover_is_damage_however_it_is_read(impossible: Covered) -> None:
    row = row_of(impossible)
    why = "^record 10 is damaged: its gap covers what it cannot cover$"
    with pytest.raises(CorruptLog, match=why):
        decode_gap(FIRST, row)
    with pytest.raises(CorruptLog, match=why):
        GapRow(FIRST, LAST, row).covered(impossible.number)


@pytest.mark.parametrize(
    "covered",
    [
        (FROM_THE_MIDDLE, FROM_THE_START),
        (FROM_THE_START, FROM_THE_START._replace(last_position=13)),
        (FROM_THE_START, FROM_THE_MIDDLE._replace(last_position=12)),
    ],
    ids=["out of order", "a stream twice", "two streams with one record"],
)
def test_streams_that_cannot_share_a_gap_are_damage(covered: tuple[Covered, ...]) -> None:
    with pytest.raises(CorruptLog, match="covers what it cannot cover"):
        decode_gap(FIRST, unsorted(*covered))
