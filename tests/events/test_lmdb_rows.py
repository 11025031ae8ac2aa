"""How records share rows, and rows share pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlive.events import Commit, Position, Version
from outlive.events.lmdb_store import LmdbLog
from outlive.events.lmdb_store.rows import pack
from outlive.events.sizes import MAX_PAGE_BYTES
from outlive.testing.log_contract.chain import chain
from outlive.testing.log_contract.filling import A, Filler
from tests.events.chain import first_broken
from tests.events.lmdb_files import appended_together, records_of, rows, stored_records

PAGE_BYTES = 4_096
sizes = st.lists(st.one_of(st.integers(1, 600), st.integers(1, 9_000)), min_size=1, max_size=60)


def parts_of(sizes: list[int]) -> list[bytes]:
    return [bytes(8) + number.to_bytes(1) * size for number, size in enumerate(sizes)]


def room(row: bytes) -> int:
    """The bytes that a row takes in the file: of pages of its own, or of a shared one."""
    pages = -(-(len(row) + 16) // PAGE_BYTES)
    return len(row) + 18 if len(row) <= 2_022 else pages * PAGE_BYTES


@given(sizes)
def test_packed_records_come_back_in_their_order(sizes: list[int]) -> None:
    parts = parts_of(sizes)
    table = [((index + 1).to_bytes(8, "big"), row) for index, row in pack(parts)]
    assert records_of(table) == [part[8:] for part in parts]


@given(sizes)
@example([2_009, 1])
@example([4_066, 1])
@example([2_040, 2_014, 12])
@example([1, 1, 1, 1, 1, 107, 600, 600, 600, 2_046])
def test_a_batch_takes_hardly_more_room_than_its_records_alone(sizes: list[int]) -> None:
    parts = parts_of(sizes)
    packed = sum(room(row) for _, row in pack(parts))
    assert packed <= 1.1 * sum(room(part) for part in parts) + PAGE_BYTES


def test_a_large_batch_fills_its_pages() -> None:
    parts = parts_of([400 + 7 * number % 90 for number in range(250)])
    found = [row for _, row in pack(parts)]
    assert len(found) < 6
    assert sum(room(row) for row in found) < 1.03 * sum(map(len, parts))


@pytest.mark.parametrize("size", [1, 10, 400, 1_000, 3_000, 70_000])
def test_records_of_any_size_that_were_written_together_are_read(tmp_path: Path, size: int) -> None:
    log = LmdbLog(tmp_path)
    filler = Filler(log)

    def append() -> list[Commit]:
        return [filler.append("x" * (size + number % 7)) for number in range(100)]

    appended_together(log, append)
    appended_together(log, append)
    records = log.read_all()
    while page := log.read_all(after=records[-1].position):  # It is bounded in bytes.
        records += page
    assert [one.position for one in records] == list(range(1, 201))
    assert [one.hash for one in records] == chain(records)
    for after in (0, 1, 50, 99, 100, 101, 199, 200, 201):
        page = log.read_all(after=Position(after))
        assert page == records[after : after + len(page)]
        assert len(page) == len(records[after:]) or len(page) * size > MAX_PAGE_BYTES - size
        assert log.read_all(after=Position(after), limit=3) == records[after : after + 3]
        found = log.read(A, after=Version(after), limit=3)
        assert [one.version for one in found] == list(range(after + 1, min(after + 4, 201)))
    log.close()
    log = LmdbLog(tmp_path)
    assert (log.head, log.version(A)) == (200, 200)
    Filler(log).numbered(1)
    log.close()
    assert size > 9_000 or len(rows(tmp_path)["log"]) < 160
    assert first_broken(stored_records(tmp_path)) is None
