"""The records of a batch are made by those who look at them."""

from __future__ import annotations

import threading

import pytest

from outlive.events import Commit, Committed, Position, Version
from outlive.events.lmdb_store.written import WrittenRecords
from outlive.testing.log_contract.filling import A, B, delta


def written(number: int) -> tuple[Commit, Committed, bytes, bytes]:
    commit = Commit(
        stream=(A, B)[number % 2],
        events=tuple(delta(str(number))),
        expected_version=Version(number),
        recorded_at_ns=number,
        cause="why",
    )
    answer = Committed(
        position=Position(number + 1),
        first_version=Version(number + 1),
        last_version=Version(number + 1),
        recorded_at_ns=number,
    )
    return commit, answer, bytes([number] * 16), bytes([number] * 32)


def test_how_many_they_are_is_known_before_they_are_made() -> None:
    records = WrittenRecords([written(number) for number in range(5)], 3)
    assert len(records) == 5
    assert records._made is None  # pyright: ignore[reportPrivateUsage]


def test_each_is_what_was_written() -> None:
    records = WrittenRecords([written(number) for number in range(3)], 7)
    one = records[1]
    assert (one.stream, one.position, one.first_version, one.last_version) == (B, 2, 2, 2)
    assert (one.recorded_at_ns, one.epoch, one.cause) == (1, 7, "why")
    assert (one.commit_id, one.hash, one.events) == (b"\1" * 16, b"\1" * 32, (*delta("1"),))
    assert records[-1].position == 3
    assert [record.position for record in records[1:]] == [2, 3]
    assert [record.position for record in records] == [1, 2, 3]
    with pytest.raises(IndexError):
        records[3]


def test_they_are_made_once_and_what_they_were_made_of_is_let_go() -> None:
    records = WrittenRecords([written(0)], 1)
    assert records[0] is records[0]
    assert not records._written  # pyright: ignore[reportPrivateUsage]


def test_threads_that_look_at_the_same_time_see_the_same() -> None:
    for _ in range(200):
        records = WrittenRecords([written(number) for number in range(20)], 1)
        gate = threading.Barrier(3)
        seen: list[list[int]] = []

        def look(
            records: WrittenRecords = records,
            gate: threading.Barrier = gate,
            seen: list[list[int]] = seen,
        ) -> None:
            gate.wait()
            seen.append([record.position for record in records])

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [list(range(1, 21))] * 3
