"""What is kept beside the events, and that all of it is there after reopening."""

from __future__ import annotations

from typing import TypeVar

import pytest
from msgspec import UNSET

from outlive.events import (
    EventLog,
    Position,
    Recalled,
    Snapshot,
    StreamId,
    Version,
    WrongExpectedVersion,
)
from outlive.testing.log_contract.chain import chain
from outlive.testing.log_contract.filling import (
    NONE,
    RUNNING,
    WAITING,
    A,
    B,
    C,
    Filler,
    delta,
    texts,
)
from outlive.testing.log_contract.store import Store, StoreContract

L = TypeVar("L", bound=EventLog)


class KeepingContract(StoreContract[L]):
    """Causes, the open table, snapshots; and what another process finds."""

    # What belongs to what

    def test_cause_and_correlation_are_recorded(self, log: EventLog) -> None:
        at = log.append(A, delta("1"), expected_version=NONE).result(5).position
        log.append(A, delta("2"), expected_version=Version(1), cause=at, correlation_id="täg")
        log.append(B, delta("1"), expected_version=NONE, cause="message 7").result(5)
        found = [*log.read(A), *log.read(B)]
        assert [(one.cause, one.correlation_id) for one in found] == [
            (None, None),
            (at, "täg"),
            ("message 7", None),
        ]
        assert [record.cause for record in log.read_all()] == [None, at, "message 7"]

    # The open table

    def test_an_entry_is_set_kept_replaced_and_removed(self, log: EventLog) -> None:
        filler = Filler(log)
        log.append(A, delta("1"), expected_version=NONE, entry=RUNNING).result(5)
        assert log.open_entry(A) == RUNNING
        filler.version = Version(1)
        filler.append("2").result(5)
        assert log.open_entry(A) == RUNNING
        log.append(A, delta("3"), expected_version=Version(2), entry=WAITING).result(5)
        assert log.open_entry(A) == WAITING
        log.append(A, delta("4"), expected_version=Version(3), entry=None).result(5)
        assert log.open_entry(A) is None
        assert log.open_entries() == []

    def test_the_open_table_is_in_the_order_in_which_the_streams_began(self, log: EventLog) -> None:
        for stream in (C, A, B):
            log.append(stream, delta("1"), expected_version=NONE, entry=RUNNING)
        log.append(C, delta("2"), expected_version=Version(1), entry=WAITING)
        log.append(A, delta("2"), expected_version=Version(1), entry=None)
        log.append(A, delta("3"), expected_version=Version(2), entry=WAITING).result(5)
        assert log.open_entries() == [(C, WAITING), (A, WAITING), (B, RUNNING)]

    def test_an_append_without_events_writes_just_the_row(self, log: EventLog) -> None:
        head = log.append(A, delta("1"), expected_version=NONE).result(5).position
        done = log.append(A, [], expected_version=Version(1), entry=RUNNING).result(5)
        assert done.position == head
        assert (done.first_version, done.last_version) == (2, 1)
        assert log.open_entry(A) == RUNNING
        assert log.version(A) == 1
        assert log.head == head

    def test_an_append_without_anything_tells_the_head(self, log: EventLog) -> None:
        Filler(log, B).numbered(3)
        assert log.append(A, [], expected_version=NONE).result(5).position == log.head
        assert log.append(A, [], expected_version=NONE, entry=None).result(5).position == log.head

    def test_a_row_may_come_before_the_first_event(self, store: Store) -> None:
        store.log.append(A, [], expected_version=NONE, entry=WAITING).result(5)
        store.log.append(B, delta("1"), expected_version=NONE, entry=RUNNING).result(5)
        assert store.log.version(A) == 0
        store.reopen(clean=False)
        assert store.log.open_entries() == [(A, WAITING), (B, RUNNING)]
        store.log.append(A, delta("1"), expected_version=NONE).result(5)
        assert texts(store.log.read(A)) == ["1"]
        assert store.log.open_entries() == [(A, WAITING), (B, RUNNING)]

    # Snapshots

    def test_a_snapshot_is_kept_with_its_place_until_the_next_one(self, store: Store) -> None:
        log = store.log
        log.append(B, delta("1"), expected_version=NONE).result(5)
        log.append(A, delta("1", "2"), expected_version=NONE, snapshot=b"two").result(5)
        log.append(A, delta("3"), expected_version=Version(2)).result(5)
        assert log.snapshot(A) == Snapshot(Version(2), Position(2), b"two")
        assert log.snapshot(B) is None
        assert log.snapshot(C) is None
        log.append(A, delta("4"), expected_version=Version(3), snapshot=b"").result(5)
        store.reopen(clean=False)
        assert store.log.snapshot(A) == Snapshot(Version(4), Position(4), b"")

    def test_a_snapshot_comes_and_goes_with_its_commit(self, log: EventLog) -> None:
        first = log.append(A, delta("1"), expected_version=NONE, snapshot=b"1")
        refused = log.append(A, delta("2"), expected_version=NONE, snapshot=b"2")
        first.result(5)
        with pytest.raises(WrongExpectedVersion):
            refused.result(5)
        found = log.snapshot(A)
        assert found is not None
        assert found.data == b"1"

    @pytest.mark.parametrize("reopened", [True, False])
    def test_a_stream_that_leaves_the_open_table_loses_its_snapshot_unless_it_is_to_keep_it(
        self, store: Store, reopened: bool
    ) -> None:
        last = StreamId("run-last")
        for stream in (A, B, C, last):
            store.log.append(
                stream, delta("1"), expected_version=NONE, entry=RUNNING, snapshot=b"1"
            ).result(5)
        if reopened:
            store.reopen(clean=True)
        over = Version(1)
        store.log.append(A, delta("2"), expected_version=over, entry=None).result(5)
        store.log.append(B, [], expected_version=over, entry=None).result(5)
        store.log.append(C, delta("2"), expected_version=over, entry=None, snapshot=b"2").result(5)
        store.log.append(
            last, delta("2"), expected_version=over, entry=None, snapshot=UNSET
        ).result(5)
        assert store.log.snapshot(A) is None
        assert store.log.snapshot(B) is None
        kept = [store.log.recall(stream).snapshot for stream in (C, last)]
        found = [(one.version, one.data) for one in kept if one is not None]
        assert found == [(2, b"2"), (1, b"1")]
        assert [len(store.log.recall(stream).events) for stream in (C, last)] == [0, 1]

    def test_what_is_recalled_is_row_and_snapshot_and_the_events_beyond_it(
        self, log: EventLog
    ) -> None:
        assert log.recall(A) == Recalled(None, None, [])
        first = log.append(A, delta("1", "2"), expected_version=NONE, entry=RUNNING)
        first.result(5)
        assert log.recall(A) == Recalled(RUNNING, None, log.read(A))
        log.append(A, delta("3"), expected_version=Version(2), snapshot=b"three").result(5)
        log.append(A, delta("4", "5"), expected_version=Version(3), entry=WAITING).result(5)
        saved = Snapshot(Version(3), Position(2), b"three")
        assert log.recall(A) == Recalled(WAITING, saved, log.read(A, after=Version(3)))
        assert texts(log.recall(A, limit=1).events) == ["4"]
        log.append(A, delta("6"), expected_version=Version(5), entry=None).result(5)
        assert log.recall(A) == Recalled(None, None, log.read(A))
        assert texts(log.recall(A, limit=2).events) == ["1", "2"]

    def test_a_snapshot_without_events_is_refused_at_once(self, log: EventLog) -> None:
        with pytest.raises(ValueError, match="a snapshot"):
            log.append(A, [], expected_version=NONE, snapshot=b"0")

    # Reopening

    @pytest.mark.parametrize("clean", [True, False])
    def test_reopening_keeps_everything(self, store: Store, clean: bool) -> None:
        log, log_id = store.log, store.log.log_id
        Filler(log).numbered(200)
        log.append(B, delta("1"), expected_version=NONE, entry=RUNNING, cause="m").result(5)
        records, of_a = log.read_all(), log.read(A)
        store.reopen(clean=clean)
        assert store.log.clean is clean
        assert store.log.epoch == 2
        assert store.log.log_id == log_id
        assert store.log.read_all() == records
        assert store.log.read(A) == of_a
        assert store.log.open_entries() == [(B, RUNNING)]
        Filler(store.log).numbered(1)
        assert store.log.read_all()[-1].epoch == 2
        assert [one.hash for one in store.log.read_all()] == chain(store.log.read_all())
