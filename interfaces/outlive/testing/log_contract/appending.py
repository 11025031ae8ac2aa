"""Appending, reading it back, what is refused, and what comes twice."""

from __future__ import annotations

from typing import TypeVar

import pytest

from outlive.events import (
    EventLog,
    EventTooLarge,
    InvalidId,
    ModelDelta,
    OpenEntry,
    Position,
    StreamId,
    ToolCallCompleted,
    UnserialisableValue,
    Version,
    WrongExpectedVersion,
)
from outlive.events.ids import CallId
from outlive.events.sizes import MAX_PAYLOAD_BYTES
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
    versions,
)
from outlive.testing.log_contract.store import Store, StoreContract

L = TypeVar("L", bound=EventLog)


class AppendingContract(StoreContract[L]):
    """What is appended is read, once, and in order."""

    # Appending and reading

    def test_a_new_log_is_empty_and_clean(self, log: EventLog) -> None:
        assert log.head == 0
        assert log.epoch == 1
        assert log.clean
        assert log.version(A) == 0
        assert log.read(A) == []
        assert log.read_all() == []
        assert log.open_entries() == []
        assert log.open_entry(A) is None

    def test_an_appended_event_is_read_back_with_its_place(self, log: EventLog) -> None:
        done = log.append(A, delta("one"), expected_version=NONE).result(5)
        (found,) = log.read(A)
        assert found.event == ModelDelta(text="one")
        assert (found.stream, found.version, found.position) == (A, 1, done.position)
        assert (found.index, found.epoch) == (0, log.epoch)
        assert found.recorded_at_ns == done.recorded_at_ns
        assert (done.first_version, done.last_version) == (1, 1)
        assert log.head == done.position
        assert log.version(A) == 1

    def test_versions_count_from_one_in_each_stream(self, log: EventLog) -> None:
        log.append(A, delta("a1", "a2"), expected_version=NONE).result(5)
        log.append(B, delta("b1"), expected_version=NONE).result(5)
        log.append(A, delta("a3"), expected_version=Version(2)).result(5)
        assert versions(log.read(A)) == [1, 2, 3]
        assert texts(log.read(A)) == ["a1", "a2", "a3"]
        assert texts(log.read(B)) == ["b1"]
        assert (log.version(A), log.version(B), log.version(C)) == (3, 1, 0)

    def test_reading_goes_on_after_a_version_in_the_middle_of_a_commit(self, log: EventLog) -> None:
        log.append(A, delta("1", "2", "3"), expected_version=NONE)
        log.append(A, delta("4", "5"), expected_version=Version(3)).result(5)
        for after in range(7):
            expected = [str(version) for version in range(after + 1, 6)]
            assert texts(log.read(A, after=Version(after))) == expected

    def test_a_limit_cuts_within_a_commit(self, log: EventLog) -> None:
        log.append(A, delta("1", "2", "3"), expected_version=NONE)
        log.append(A, delta("4", "5", "6"), expected_version=Version(3)).result(5)
        assert texts(log.read(A, limit=2)) == ["1", "2"]
        assert texts(log.read(A, after=Version(1), limit=3)) == ["2", "3", "4"]
        assert texts(log.read(A, after=Version(4), limit=1)) == ["5"]

    @pytest.mark.parametrize("limit", [0, -1, 10_001])
    def test_a_limit_outside_of_1_to_10000_is_refused(self, log: EventLog, limit: int) -> None:
        with pytest.raises(ValueError, match="limit"):
            log.read(A, limit=limit)
        with pytest.raises(ValueError, match="limit"):
            log.read_all(limit=limit)

    def test_a_long_stream_is_read_in_pages_from_any_version(self, log: EventLog) -> None:
        other, filler = Filler(log, B), Filler(log)
        for count in range(150):
            filler.append(*("x" * (count % 3 + 1)))
            other.append("y")
        filler.append("last").result(10)
        whole = log.read(A, limit=10_000)
        assert versions(whole) == list(range(1, filler.version + 1))
        for after in range(0, filler.version + 2, 7):
            for limit in (1, 63, 64, 65, 100):
                found = log.read(A, after=Version(after), limit=limit)
                assert found == whole[after : after + limit]

    def test_all_records_are_read_in_the_order_of_their_positions(self, log: EventLog) -> None:
        log.append(A, delta("1", "2"), expected_version=NONE)
        log.append(B, delta("1"), expected_version=NONE)
        log.append(A, delta("3"), expected_version=Version(2)).result(5)
        records = log.read_all()
        assert [(one.stream, one.first_version, one.last_version) for one in records] == [
            (A, 1, 2),
            (B, 1, 1),
            (A, 3, 3),
        ]
        positions = [one.position for one in records]
        assert positions == sorted(set(positions))
        assert log.head == positions[-1]
        assert log.read_all(after=positions[0], limit=1) == records[1:2]
        assert log.read_all(after=positions[2]) == []

    def test_an_events_id_is_its_place_in_the_log(self, log: EventLog) -> None:
        log.append(A, delta("1", "2"), expected_version=NONE).result(5)
        assert [one.id for one in log.read(A)] == ["1.0", "1.1"]

    def test_the_chain_of_hashes_can_be_recomputed_from_what_is_read(self, log: EventLog) -> None:
        log.append(A, delta("1", "2"), expected_version=NONE)
        log.append(B, delta("1"), expected_version=NONE, correlation_id="c", cause="m")
        log.append(A, delta("3"), expected_version=Version(2), cause=Position(1)).result(5)
        records = log.read_all()
        assert [one.hash for one in records] == chain(records)

    # What is refused

    def test_a_wrong_version_is_refused_and_the_others_go_on(self, log: EventLog) -> None:
        first = log.append(A, delta("1"), expected_version=NONE)
        wrong = log.append(A, delta("no"), expected_version=NONE)
        behind = log.append(A, delta("2"), expected_version=Version(1))
        other = log.append(B, delta("1"), expected_version=NONE)
        assert first.result(5).last_version == 1
        with pytest.raises(WrongExpectedVersion) as refused:
            wrong.result(5)
        assert (refused.value.stream, refused.value.expected, refused.value.actual) == (A, 0, 1)
        assert behind.result(5).last_version == 2
        assert other.result(5).last_version == 1
        assert texts(log.read(A)) == ["1", "2"]

    def test_what_was_appended_behind_a_refused_one_is_judged_by_what_is_there(
        self, log: EventLog
    ) -> None:
        refused = [
            log.append(A, delta("no"), expected_version=Version(version)) for version in (1, 2, 3)
        ]
        for commit in refused:
            with pytest.raises(WrongExpectedVersion) as error:
                commit.result(5)
            assert error.value.actual == 0
        assert log.read(A) == []

    @pytest.mark.parametrize("entry", [RUNNING, None])
    def test_a_refused_append_leaves_the_open_table_as_it_was(
        self, log: EventLog, entry: OpenEntry | None
    ) -> None:
        log.append(A, delta("1"), expected_version=NONE, entry=WAITING).result(5)
        for events in (delta("no"), []):
            refused = log.append(A, events, expected_version=NONE, entry=entry)
            with pytest.raises(WrongExpectedVersion):
                refused.result(5)
        assert log.open_entry(A) == WAITING

    def test_an_event_that_cannot_be_encoded_is_refused_at_once(self, log: EventLog) -> None:
        for event in (
            ModelDelta(text="\ud800"),
            ToolCallCompleted(call_id=CallId("0.0"), result=1 << 70),
        ):
            with pytest.raises(UnserialisableValue):
                log.append(A, [ModelDelta(text="fine"), event], expected_version=NONE)
        with pytest.raises(UnserialisableValue):
            log.append(A, delta("1"), expected_version=NONE, correlation_id="\ud800")
        with pytest.raises(UnserialisableValue):
            log.append(A, delta("1"), expected_version=NONE, cause="x" * 70_000)
        with pytest.raises(UnserialisableValue):
            log.append(
                A,
                delta("1"),
                expected_version=NONE,
                entry=OpenEntry(kind="run", status="\ud800"),
            )
        with pytest.raises(UnserialisableValue):
            log.append(A, delta(*"x" * 65_536), expected_version=NONE)
        assert log.head == 0

    @pytest.mark.parametrize("name", ["", "\ud800", "run-" + "x" * 252, "run-" + "ü" * 130])
    def test_a_stream_that_cannot_be_named_is_refused_at_once(
        self, log: EventLog, name: str
    ) -> None:
        with pytest.raises(InvalidId):
            log.append(StreamId(name), delta("1"), expected_version=NONE)
        assert log.read(StreamId(name)) == []

    def test_a_payload_of_any_size_up_to_the_limit_comes_back(self, log: EventLog) -> None:
        sizes = (1, 60_000, 65_536, 70_000, 3_000_000, 70_000)
        for version, size in enumerate(sizes):
            log.append(A, delta("x" * size), expected_version=Version(version)).result(5)
        assert [len(text) for text in texts(log.read(A))] == list(sizes)
        assert texts(log.read(A, after=Version(3), limit=1)) == ["x" * 70_000]
        records = log.read_all()
        assert [record.hash for record in records] == chain(records)

    def test_a_payload_over_the_limit_is_refused_at_once_and_nothing_is_written(
        self, log: EventLog
    ) -> None:
        half = "x" * (MAX_PAYLOAD_BYTES // 2)
        with pytest.raises(EventTooLarge) as refused:
            log.append(A, delta(half, half), expected_version=NONE)
        assert refused.value.size_bytes > refused.value.limit_bytes == MAX_PAYLOAD_BYTES
        assert (log.version(A), log.head) == (0, 0)
        log.append(A, delta("1"), expected_version=NONE).result(5)
        assert log.head == 1

    def test_a_commit_id_of_another_length_is_refused_at_once(self, log: EventLog) -> None:
        with pytest.raises(ValueError, match="commit id"):
            log.append(A, delta("1"), expected_version=NONE, commit_id=b"short")

    def test_the_largest_commit_is_taken(self, log: EventLog) -> None:
        log.append(A, delta(*"x" * 65_535), expected_version=NONE).result(10)
        log.append(A, delta("end"), expected_version=Version(65_535)).result(5)
        assert log.version(A) == 65_536
        found = log.read(A, after=Version(65_533))
        assert texts(found) == ["x", "x", "end"]

    # Repeats

    def test_a_repeated_commit_id_is_answered_as_the_first_time(self, log: EventLog) -> None:
        one = b"commit-number-01"
        first = log.append(A, delta("1", "2"), expected_version=NONE, commit_id=one).result(5)
        log.append(B, delta("1"), expected_version=NONE).result(5)
        again = log.append(A, delta("1", "2"), expected_version=NONE, commit_id=one).result(5)
        assert again == first
        assert texts(log.read(A)) == ["1", "2"]
        assert len(log.read_all()) == 2

    def test_repeats_that_are_queued_together_are_written_once(self, log: EventLog) -> None:
        one = b"commit-number-01"
        commits = [
            log.append(A, delta("1"), expected_version=NONE, commit_id=one) for _ in range(5)
        ]
        assert len({commit.result(5).position for commit in commits}) == 1
        assert texts(log.read(A)) == ["1"]

    def test_only_the_last_commit_id_of_a_stream_is_remembered(self, log: EventLog) -> None:
        one, two = b"commit-number-01", b"commit-number-02"
        log.append(A, delta("1"), expected_version=NONE, commit_id=one)
        log.append(A, delta("2"), expected_version=Version(1), commit_id=two).result(5)
        again = log.append(A, delta("1"), expected_version=NONE, commit_id=one)
        with pytest.raises(WrongExpectedVersion):
            again.result(5)
        same_id_elsewhere = log.append(B, delta("1"), expected_version=NONE, commit_id=two)
        assert same_id_elsewhere.result(5).last_version == 1

    @pytest.mark.parametrize("clean", [True, False])
    def test_a_repeat_after_reopening_is_answered_as_the_first_time(
        self, store: Store, clean: bool
    ) -> None:
        one = b"commit-number-01"
        first = store.log.append(A, delta("1", "2"), expected_version=NONE, commit_id=one)
        answer = first.result(5)
        store.reopen(clean=clean)
        again = store.log.append(A, delta("1", "2"), expected_version=NONE, commit_id=one)
        assert again.result(5) == answer
        assert texts(store.log.read(A)) == ["1", "2"]

    def test_each_commit_has_an_id_of_its_own(self, store: Store) -> None:
        Filler(store.log).numbered(3)
        store.reopen(clean=False)
        Filler(store.log).numbered(3)
        ids = [record.commit_id for record in store.log.read_all()]
        assert len(set(ids)) == 6
        assert {len(id) for id in ids} == {16}
