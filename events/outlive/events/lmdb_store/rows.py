"""Rows of `log`: one record, or several that follow one another, or what is left of a range.

    one record    link (8), record
    several       1 (1), count (2), the ends of the records (4 each), then link and record each
    gap           2 (1), and more (gaps.py): records that compaction dropped

The first byte of a link is 0. A row's key is the position of its first record; the ends are
counted from behind the last of them.

A batch is written in few rows, because each of LMDB's calls gives up the GIL, and because the
larger ones fill their pages: beyond half a page a value has pages of its own, so a row is cut
where it fills the last of them best.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Final, TypeAlias

import lmdb

from outlive.events.errors import CorruptLog
from outlive.events.ids import Position
from outlive.events.lmdb_store.gaps import GAP, GapRow, gap_end, is_gap
from outlive.events.lmdb_store.layout import Tables, number_key

if TYPE_CHECKING:
    Txn: TypeAlias = lmdb.Transaction[bytes] | lmdb.Transaction[memoryview]

_SEVERAL: Final = 1
_SEVERAL_BYTE: Final = bytes([_SEVERAL])
_GAP_BYTE: Final = bytes([GAP])
_HEAD: Final = Struct(">BH")
_END: Final = Struct(">I")
_PAGE_BYTES: Final = 4_096
_PAGE_HEADER_BYTES: Final = 16
_NODE_BYTES: Final = 18  # of LMDB's own for a row in a shared page
_MOST_BYTES: Final = 16 * _PAGE_BYTES - _PAGE_HEADER_BYTES
_SHARED_BYTES: Final = 2_022
"""A row of this length shares a page: LMDB wants room for two on each."""


def pack(parts: Sequence[bytes]) -> Generator[tuple[int, bytes]]:
    """Return rows for records that follow one another, each part a link and a record.

    Each row comes with the index of its first part.
    """
    start = 0
    while start < len(parts):
        end = _cut(parts, start)
        if end == start + 1:
            yield start, parts[start]
        else:
            chosen = parts[start:end]
            ends: list[int] = []
            total = 0
            for part in chosen:
                total += len(part)
                ends.append(total)
            head = Struct(f">BH{len(chosen)}I").pack(_SEVERAL, len(chosen), *ends)
            yield start, head + b"".join(chosen)
        start = end


def _cut(parts: Sequence[bytes], start: int) -> int:
    """Return the end of the row that begins with part `start`: the one that wastes least."""
    alone = len(parts[start])
    best, best_end = _waste(alone) / alone, start + 1
    total = _HEAD.size + _END.size + alone
    for end in range(start + 1, len(parts)):
        total += len(parts[end]) + _END.size
        if total > _MOST_BYTES:
            break
        waste = _waste(total)
        if waste > total // 8 and alone <= _SHARED_BYTES < total:
            continue  # Better in shared pages.
        if waste <= best * total:
            best, best_end = waste / total, end + 1
    return best_end


def _waste(size: int) -> int:
    if size <= _SHARED_BYTES:
        return _NODE_BYTES + size // 16  # Shared pages are seldom quite full.
    return -(size + _PAGE_HEADER_BYTES) % _PAGE_BYTES


def record_at(txn: Txn, tables: Tables, position: int) -> tuple[int, bytes]:
    """Return the link and the record at a position. Raises CorruptLog."""
    found = record_or_gap(txn, tables, position)
    if isinstance(found, GapRow):
        raise CorruptLog(f"record {position}", "a gap is where it must be")
    return found


def record_or_gap(txn: Txn, tables: Tables, position: int) -> tuple[int, bytes] | GapRow:
    """Return the link and the record at a position, or the gap in its place.

    Raises:
        CorruptLog: there is neither.
    """
    with txn.cursor(tables.log) as cursor:
        if not seek(cursor, position):
            raise CorruptLog(f"record {position}", "it lacks")
        first, row = int.from_bytes(cursor.key(), "big"), cursor.value()
        if not is_gap(row):
            return _part(first, row, position - first)
        last = gap_end(first, row)
        if position > last:
            raise CorruptLog(f"record {position}", "it lacks")
        return GapRow(first, last, row)


def last_record(txn: Txn, tables: Tables) -> tuple[Position, bytes] | None:
    """Return the last record and its position; None if there is none. Raises CorruptLog."""
    with txn.cursor(tables.log) as cursor:
        if not cursor.last():
            return None
        first, row = int.from_bytes(cursor.key(), "big"), cursor.value()
        last = _count(first, row) - 1
        return Position(first + last), _part(first, row, last)[1]


def records_after(txn: Txn, tables: Tables, after: int) -> Generator[tuple[Position, bytes]]:
    """Return the records beyond a position, in order, passing over gaps.

    Raises:
        CorruptLog: one lacks that no gap covers.
    """
    expected = after + 1
    with txn.cursor(tables.log) as cursor:
        more = seek(cursor, expected) or cursor.first()
        while more:
            first, row = int.from_bytes(cursor.key(), "big"), cursor.value()
            if first > expected:
                raise CorruptLog(f"record {expected}", "it lacks")
            if is_gap(row):
                expected = max(expected, gap_end(first, row) + 1)
            else:
                count = _count(first, row)
                for index in range(expected - first, count):
                    yield Position(first + index), _part(first, row, index)[1]
                expected = max(expected, first + count)
            more = cursor.next()


def parts_of(first: int, row: bytes) -> list[bytes]:
    """Return all parts of a row that is no gap's, each a link and a record.

    Raises:
        CorruptLog: the row cannot be one. Neither links nor records are looked at.
    """
    count = _count(first, row)
    if count == 1:
        return [row]
    base = _HEAD.size + _END.size * count
    ends = Struct(f">{count}I").unpack_from(row, _HEAD.size)
    parts: list[bytes] = []
    start = 0
    for end in ends:
        if end <= start:
            raise CorruptLog(f"record {first + len(parts)}", "its row is in disorder")
        parts.append(row[base + start : base + end])
        start = end
    return parts


def seek(cursor: lmdb.Cursor[bytes] | lmdb.Cursor[memoryview], position: int) -> bool:
    """Go to the last row that begins at a position or before it; False if there is none."""
    key = number_key(position)
    if cursor.set_range(key):
        return cursor.key() == key or cursor.prev()
    return cursor.last()


def _count(first: int, row: bytes | memoryview) -> int:
    """Return the number of records in a row. Raises CorruptLog."""
    if row[:1] != _SEVERAL_BYTE:
        if row[:1] == _GAP_BYTE:
            raise CorruptLog(f"record {first}", "a gap is where it must be")
        return 1
    try:
        number = int(_HEAD.unpack_from(row)[1])
        (end,) = _END.unpack_from(row, _HEAD.size + _END.size * (number - 1))
    except StructError:
        raise CorruptLog(f"record {first}", "its row is cut off") from None
    if number < 2 or len(row) != _HEAD.size + _END.size * number + end:
        raise CorruptLog(f"record {first}", "its row has another length than it says")
    return number


def _part(first: int, row: bytes | memoryview, index: int) -> tuple[int, bytes]:
    """Return link and record of one part of a row. Raises CorruptLog."""
    count = _count(first, row)
    position = first + index
    if index >= count:
        raise CorruptLog(f"record {position}", "it lacks")
    if count > 1:
        base = _HEAD.size + _END.size * count
        start, end = 0, _END.unpack_from(row, _HEAD.size + _END.size * index)[0]
        if index:
            (start,) = _END.unpack_from(row, _HEAD.size + _END.size * (index - 1))
        row = row[base + start : base + end]
    link = int.from_bytes(row[:8], "big")
    if len(row) <= 8 or link >= position:
        raise CorruptLog(f"record {position}", "its link does not lead back")
    return link, bytes(row[8:])
