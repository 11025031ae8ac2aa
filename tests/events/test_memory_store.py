"""What one commit does to a log in memory, and what it says of it."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from outlive.events import (
    CODEC,
    Committed,
    Event,
    MemoryLog,
    OpenEntry,
    Position,
    StreamId,
    Version,
    WrongExpectedVersion,
)
from outlive.events.commit import Commit
from outlive.events.memory_store import MemoryStore
from outlive.events.store import Admitted, admit, next_commit_id
from outlive.testing.log_contract.filling import RUNNING, A, B, delta

ID = b"commit-number-01"


def commit(
    *events: Event,
    stream: StreamId = A,
    at: int = 0,
    commit_id: bytes | None = None,
    snapshot: bytes | UnsetType | None = None,
    entry: OpenEntry | UnsetType | None = UNSET,
) -> Admitted:
    wish = Commit(
        stream=stream,
        events=events,
        expected_version=Version(at),
        recorded_at_ns=77,
        commit_id=commit_id,
        snapshot=snapshot,
        entry=entry,
    )
    return admit(CODEC, wish)


def test_a_store_keeps_the_name_of_its_log() -> None:
    assert MemoryStore().log_id == MemoryLog().log_id == "memory"
    assert MemoryStore(log_id="mine").log_id == MemoryLog(log_id="mine").log_id == "mine"


def test_a_commit_with_events_makes_a_record_and_is_answered_with_its_place() -> None:
    store = MemoryStore()
    first, second = commit(*delta("1", "2")), commit(*delta("3"), at=2)
    assert store.apply(first, 1)
    assert store.apply(second, 1)
    assert first[0].outcome == Committed(
        position=Position(1),
        first_version=Version(1),
        last_version=Version(2),
        recorded_at_ns=77,
    )
    assert second[0].outcome is not None
    assert (second[0].outcome.position, second[0].outcome.last_version) == (2, 3)
    assert [store.record(at).events for at in (1, 2)] == [tuple(delta("1", "2")), tuple(delta("3"))]
    assert (store.head, store.version(A), store.version(B)) == (2, 3, 0)


def test_a_commit_without_events_makes_none_and_is_answered_with_where_the_log_is() -> None:
    store = MemoryStore()
    store.apply(commit(*delta("1", "2")), 1)
    empty = commit(at=2, entry=RUNNING)
    assert not store.apply(empty, 1)
    assert empty[0].outcome == Committed(
        position=Position(1),
        first_version=Version(3),
        last_version=Version(2),
        recorded_at_ns=77,
    )
    assert (store.head, store.open) == (1, {A: RUNNING})


def test_a_repeat_makes_no_record_and_has_the_first_answer() -> None:
    store = MemoryStore()
    first, again = commit(*delta("1"), commit_id=ID), commit(*delta("1"), commit_id=ID)
    store.apply(first, 1)
    assert not store.apply(again, 1)
    assert again[0].outcome == first[0].outcome
    assert (store.head, again[0].error) == (1, None)


def test_a_refused_commit_makes_no_record_and_changes_nothing() -> None:
    store = MemoryStore()
    store.apply(commit(*delta("1"), entry=RUNNING), 1)
    refused = commit(*delta("2"), at=3, entry=None)
    assert not store.apply(refused, 1)
    error = refused[0].error
    assert isinstance(error, WrongExpectedVersion)
    assert (error.stream, error.expected, error.actual) == (A, 3, 1)
    assert (refused[0].outcome, store.head, store.open) == (None, 1, {A: RUNNING})


def test_streams_are_numbered_in_the_order_in_which_they_began() -> None:
    store = MemoryStore()
    for stream in (B, A):
        store.apply(commit(*delta("1"), stream=stream), 1)
    assert (store.number(B), store.number(A)) == (1, 2)
    assert [store.record(at).stream for at in (1, 2)] == [B, A]


def test_a_record_has_the_commit_id_that_was_given_or_one_of_its_own() -> None:
    store = MemoryStore()
    store.apply(commit(*delta("1")), 3)
    store.apply(commit(*delta("2"), at=1, commit_id=ID), 3)
    assert [store.record(at).commit_id for at in (1, 2)] == [next_commit_id(3, 1), ID]


def test_a_saved_state_goes_with_the_row_of_its_stream() -> None:
    store = MemoryStore()
    store.apply(commit(*delta("1"), snapshot=b"state", entry=RUNNING), 1)
    assert (store.snapshots[A].version, store.snapshots[A].position) == (1, 1)
    assert store.snapshots[A].data == b"state"
    store.apply(commit(*delta("2"), at=1, entry=None), 1)
    assert (store.snapshots, store.open) == ({}, {})


def test_a_saved_state_stays_where_it_is_to() -> None:
    store = MemoryStore()
    store.apply(commit(*delta("1"), snapshot=b"state", entry=RUNNING), 1)
    store.apply(commit(*delta("2"), at=1, snapshot=UNSET, entry=None), 1)
    assert (store.snapshots[A].data, store.open) == (b"state", {})
