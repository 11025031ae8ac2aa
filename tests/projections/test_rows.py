"""Rows of a view: what is committed, and above it what is not yet, are one table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.events import Position
from outlive.projections.views.rows import Rows
from outlive.projections.views.store import Checkpoint, MemoryStore

KEYS = st.binary(min_size=1, max_size=3)
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.integers(0, 9)), max_size=30)


def change(rows: Rows, model: dict[bytes, int], changes: list[tuple[bytes, int | None]]) -> None:
    for key, value in changes:
        if value is None:
            rows.delete(key)
            model.pop(key, None)
        else:
            rows.put(key, value)
            model[key] = value


@given(committed=CHANGES, above=CHANGES, start=KEYS | st.just(b""), end=KEYS | st.none())
def test_rows_are_a_sorted_table_whatever_of_it_is_committed(
    committed: list[tuple[bytes, int | None]],
    above: list[tuple[bytes, int | None]],
    start: bytes,
    end: bytes | None,
) -> None:
    store, model = MemoryStore(), dict[bytes, int]()
    rows = Rows(store)
    change(rows, model, committed)
    store.commit(rows.take(), Checkpoint(position=Position(1)))
    rows = Rows(store)
    change(rows, model, above)

    expected = sorted(
        item for item in model.items() if start <= item[0] and (end is None or item[0] < end)
    )
    assert list(rows.scan(int, start=start, end=end)) == expected
    assert list(rows.scan(int, start=start, end=end, reverse=True)) == expected[::-1]
    assert {key: rows.get(key, int) for key in model} == model
    assert all(rows.reading.get(key, int) is None for key, _ in above if key not in model)


@given(above=CHANGES, later=CHANGES)
def test_a_commit_beneath_rows_that_were_folded_further_changes_nothing(
    above: list[tuple[bytes, int | None]], later: list[tuple[bytes, int | None]]
) -> None:
    owner, model = MemoryStore(), dict[bytes, int]()
    mine, theirs = Rows(owner), Rows(owner)
    change(mine, model, above)
    change(theirs, {}, above)
    change(mine, model, later)

    owner.commit(theirs.take(), Checkpoint(position=Position(1)))

    assert dict(mine.scan(int)) == model


def test_more_rows_than_a_page_come_in_order() -> None:
    store = MemoryStore()
    rows = Rows(store)
    keys = [number.to_bytes(2, "big") for number in range(1_000)]
    for key in keys:
        rows.put(key, True)
    store.commit(rows.take(), Checkpoint())
    rows = Rows(store)
    assert [key for key, _ in rows.scan(bool)] == keys
    assert [key for key, _ in rows.scan(bool, reverse=True)] == keys[::-1]


def test_what_was_committed_is_let_go_of() -> None:
    store = MemoryStore()
    rows = Rows(store)
    for number in range(5_000):
        rows.put(b"%d" % number, number)
    store.commit(rows.take(), Checkpoint())
    rows.put(b"new", 1)
    rows.settled()

    assert rows.take() == [(b"new", b"\x01")]
    assert rows.get(b"4999", int) == 4_999


@pytest.mark.parametrize("key", [b"", b"x" * 501])
def test_a_key_that_cannot_be_stored_is_refused_at_once(key: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 500 bytes"):
        Rows(MemoryStore()).put(key, 1)


def test_none_is_no_row() -> None:
    with pytest.raises(ValueError, match="a value"):
        Rows(MemoryStore()).put(b"key", None)
