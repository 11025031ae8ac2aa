"""Finding a record by its position among rows of one, rows of several and gaps."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import lmdb
import pytest

from outlive.events import CorruptLog, Position
from outlive.events.lmdb_store.gaps import Covered, GapRow, encode_gap
from outlive.events.lmdb_store.layout import Tables, number_key
from outlive.events.lmdb_store.rows import (
    last_record,
    pack,
    parts_of,
    record_at,
    record_or_gap,
    records_after,
    seek,
)

Rows = dict[int, bytes]
Txn: TypeAlias = "lmdb.Transaction[bytes]"


def record(position: int) -> bytes:
    return f"record {position}".encode()


def part(position: int, link: int | None = None) -> bytes:
    """A record with its link, which leads to the one before it."""
    return (position - 1 if link is None else link).to_bytes(8, "big") + record(position)


def several(*positions: int) -> bytes:
    ((_, row),) = pack([part(position) for position in positions])
    return row


def gap(first: int, last: int) -> bytes:
    covered = Covered(1, first_version=1, last_version=1, last_position=last, link=0)
    return encode_gap(bytes(32), first, last, bytes(32), [covered])


ROWS: Rows = {1: part(1), 2: several(2, 3, 4), 5: gap(5, 9), 10: part(10), 11: several(11, 12)}
"""Records 1 to 12, of which 5 to 9 are gone."""

LEFT = [1, 2, 3, 4, 10, 11, 12]


@contextmanager
def stored(folder: Path, rows: Rows) -> Generator[tuple[Txn, Tables]]:
    with lmdb.Environment(str(folder / "rows"), max_dbs=1) as env:
        tables = Tables(*[env.open_db(b"log")] * len(Tables._fields))
        with env.begin(write=True) as txn:
            for position, row in rows.items():
                txn.put(number_key(position), row, db=tables.log)
            yield txn, tables


@pytest.fixture
def log(tmp_path: Path) -> Generator[tuple[Txn, Tables]]:
    with stored(tmp_path, ROWS) as found:
        yield found


# -- one record --


@pytest.mark.parametrize("read", [record_at, record_or_gap])
@pytest.mark.parametrize("position", LEFT)
def test_a_record_is_found_with_its_link_wherever_it_lies_in_its_row(
    log: tuple[Txn, Tables], read: Callable[[Txn, Tables, int], object], position: int
) -> None:
    assert read(*log, position) == (position - 1, record(position))


@pytest.mark.parametrize("position", range(5, 10))
def test_in_the_place_of_a_dropped_record_is_its_gap(
    log: tuple[Txn, Tables], position: int
) -> None:
    assert record_or_gap(*log, position) == GapRow(5, 9, ROWS[5])
    with pytest.raises(CorruptLog, match=f"^record {position} is damaged: a gap is where it must"):
        record_at(*log, position)


@pytest.mark.parametrize("position", [0, 13, 99])
def test_a_record_that_is_not_there_is_missed(log: tuple[Txn, Tables], position: int) -> None:
    with pytest.raises(CorruptLog, match=f"^record {position} is damaged: it lacks$"):
        record_or_gap(*log, position)


@pytest.mark.parametrize(
    ("rows", "position"),
    [({}, 1), ({2: part(2)}, 1), ({1: gap(1, 4), 6: part(6)}, 5), ({1: several(1, 2)}, 3)],
    ids=["empty", "before the first", "behind a gap", "behind a row"],
)
def test_a_record_that_neither_a_row_nor_a_gap_holds_is_missed(
    tmp_path: Path, rows: Rows, position: int
) -> None:
    with (
        stored(tmp_path, rows) as found,
        pytest.raises(CorruptLog, match=f"^record {position} is damaged: it lacks$"),
    ):
        record_or_gap(*found, position)


@pytest.mark.parametrize("link", [5, 6, 99])
def test_a_link_leads_back(tmp_path: Path, link: int) -> None:
    rows = {5: part(5, link)}
    with (
        stored(tmp_path, rows) as found,
        pytest.raises(CorruptLog, match=r"^record 5 is damaged: its link does not lead back$"),
    ):
        record_at(*found, 5)
    with stored(tmp_path, {5: part(5, 4)}) as found:
        assert record_at(*found, 5) == (4, record(5))


def test_a_record_is_more_than_its_link(tmp_path: Path) -> None:
    with (
        stored(tmp_path, {5: bytes(8)}) as found,
        pytest.raises(CorruptLog, match=r"^record 5 is damaged"),
    ):
        record_at(*found, 5)
    with stored(tmp_path, {5: bytes(8) + b"x"}) as found:
        assert record_at(*found, 5) == (0, b"x")


# -- the last one --


@pytest.mark.parametrize("last", [1, 2, 10, 11])
def test_the_last_record_is_the_last_of_its_row(tmp_path: Path, last: int) -> None:
    with stored(tmp_path, {at: row for at, row in ROWS.items() if at <= last}) as found:
        position = {2: 4, 11: 12}.get(last, last)
        assert last_record(*found) == (position, record(position))


def test_a_log_without_records_has_no_last_one(tmp_path: Path) -> None:
    with stored(tmp_path, {}) as found:
        assert last_record(*found) is None


def test_a_log_does_not_end_in_a_gap(tmp_path: Path) -> None:
    with (
        stored(tmp_path, {1: part(1), 2: gap(2, 4)}) as found,
        pytest.raises(CorruptLog, match=r"^record 2 is damaged: a gap is where it must be$"),
    ):
        last_record(*found)


# -- all of them --


@pytest.mark.parametrize("after", range(14))
def test_records_are_read_behind_any_position_and_gaps_are_passed_over(
    log: tuple[Txn, Tables], after: int
) -> None:
    expected = [(Position(one), record(one)) for one in LEFT if one > after]
    assert list(records_after(*log, after)) == expected


@pytest.mark.parametrize("lacks", [2, 10])
def test_a_row_that_lacks_is_missed_behind_what_is_there(tmp_path: Path, lacks: int) -> None:
    with stored(tmp_path, {at: row for at, row in ROWS.items() if at != lacks}) as found:
        records = records_after(*found, 0)
        for position in (one for one in LEFT if one < lacks):
            assert next(records) == (position, record(position))
        with pytest.raises(CorruptLog, match=f"^record {lacks} is damaged: it lacks$"):
            next(records)


def test_a_log_whose_first_row_lacks_is_not_read_from_the_next(tmp_path: Path) -> None:
    with stored(tmp_path, {2: part(2), 3: part(3)}) as found:
        with pytest.raises(CorruptLog, match=r"^record 1 is damaged: it lacks$"):
            next(records_after(*found, 0))
        assert [position for position, _ in records_after(*found, 1)] == [2, 3]


def test_a_row_that_was_cut_off_is_told_by_its_place_however_it_is_read(tmp_path: Path) -> None:
    why = "^record 2 is damaged: its row has another length than it says$"
    with stored(tmp_path, {1: part(1), 2: ROWS[2][:-1]}) as found:
        records = records_after(*found, 0)
        assert next(records) == (1, record(1))
        for read in (
            lambda: next(records),
            lambda: record_at(*found, 3),
            lambda: last_record(*found),
            lambda: parts_of(2, ROWS[2][:-1]),
        ):
            with pytest.raises(CorruptLog, match=why):
                read()


def test_seeking_goes_to_the_row_that_may_hold_a_position(log: tuple[Txn, Tables]) -> None:
    txn, tables = log
    with txn.cursor(tables.log) as cursor:
        assert not seek(cursor, 0)
        for position, row in [(1, 1), (2, 2), (3, 2), (4, 2), (9, 5), (10, 10), (12, 11), (99, 11)]:
            assert seek(cursor, position)
            assert int.from_bytes(cursor.key(), "big") == row


# -- what a row says of itself --


def test_all_records_of_a_row_are_taken_out_of_it() -> None:
    assert parts_of(2, ROWS[2]) == [part(2), part(3), part(4)]
    assert parts_of(10, ROWS[10]) == [part(10)]
    with pytest.raises(CorruptLog, match=r"^record 5 is damaged: a gap is where it must be$"):
        parts_of(5, ROWS[5])


def test_a_row_of_several_is_the_same_for_ever() -> None:
    one, two = b"first", b"another"
    assert list(pack([one, two])) == [
        (0, b"\1" + b"\0\2" + b"\0\0\0\5" + b"\0\0\0\x0c" + one + two),
    ]


@pytest.mark.parametrize("length", range(1, len(ROWS[2])))
def test_a_row_of_several_that_was_cut_off_is_damage(length: int) -> None:
    why = "^record 2 is damaged: its row (is cut off|has another length than it says)$"
    with pytest.raises(CorruptLog, match=why):
        parts_of(2, ROWS[2][:length])


def test_a_row_of_several_that_is_too_long_is_damage() -> None:
    with pytest.raises(CorruptLog, match=r"^record 2 is damaged: its row has another length than"):
        parts_of(2, ROWS[2] + b"\0")


@pytest.mark.parametrize("number", [0, 1])
def test_a_row_of_several_holds_two_at_least(number: int) -> None:
    ends = b"" if number == 0 else (9).to_bytes(4, "big")
    row = b"\1" + number.to_bytes(2, "big") + ends + bytes(9)
    with pytest.raises(CorruptLog, match=r"^record 2 is damaged: its row "):
        parts_of(2, row)


def test_the_smallest_row_of_several_holds_two() -> None:
    assert len(parts_of(2, several(2, 3))) == 2


@pytest.mark.parametrize("ends", [(9, 9, 27), (18, 9, 27), (0, 9, 27)])
def test_ends_that_do_not_grow_are_damage(ends: tuple[int, ...]) -> None:
    row = b"\1\0\3" + b"".join(end.to_bytes(4, "big") for end in ends) + bytes(27)
    with pytest.raises(CorruptLog, match=r"^record [23] is damaged: its row is in disorder$"):
        parts_of(2, row)


# -- what shares a row --


def indexes(sizes: list[int]) -> list[int]:
    """The first records of the rows that records of these sizes make."""
    return [index for index, _ in pack([b"x" * size for size in sizes])]


def test_no_records_make_no_row_and_one_makes_a_row_of_its_own() -> None:
    assert list(pack([])) == []
    assert list(pack([b"one"])) == [(0, b"one")]


def test_small_records_share_a_row() -> None:
    assert indexes([50] * 20) == [0]


def test_a_row_has_16_pages_at_most() -> None:
    for size in (1, 50, 1_000, 1_016, 4_000):
        longest = max(len(row) for _, row in pack([b"x" * size] * 3_000))
        assert longest <= 16 * 4_096 - 16


def test_a_record_that_fills_its_pages_shares_them_with_none() -> None:
    full = 2 * 4_096 - 16
    assert indexes([full, full, full]) == [0, 1, 2]
    assert indexes([100, full, 100]) == [0, 1, 2]


def test_a_row_may_fill_all_of_its_16_pages() -> None:
    largest = 16 * 4_096 - 16
    first, head, ends = 32_000, 3, 2 * 4
    second = largest - head - ends - first
    assert indexes([first, second]) == [0]
    assert indexes([first, second + 1]) == [0, 1]


def test_records_share_a_row_unless_it_would_waste_more_of_its_pages() -> None:
    joined, apart = [0], [0, 1]
    # With both, an eighth of a row of 3,627 bytes is empty at its end, hardly more of 3,626.
    assert indexes([200, 3_416]) == joined
    assert indexes([200, 3_415]) == apart
    # A tenth of the row with both would be empty; alone, the first one wastes less.
    assert indexes([1_000, 2_689]) == apart
    # The first two waste a fiftieth of a page, with the third it would be nearly half of two.
    assert indexes([3_000, 989, 100]) == [0, 2]
    # Two rows of 2,022 bytes share a page, one of 2,023 has a page of its own.
    assert indexes([1_000, 1_011]) == joined
    assert indexes([1_000, 1_012]) == apart
    # Nothing is wasted either way, and one row is less than two.
    assert indexes([4_080, 4_085]) == joined
