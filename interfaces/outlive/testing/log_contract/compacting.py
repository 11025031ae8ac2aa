"""What compaction does to every `EventLog`, whatever it is made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from outlive.events import (
    Compacted,
    Event,
    EventLog,
    LogClosed,
    ModelCallCompleted,
    ModelCallStarted,
    ModelDelta,
    Position,
    StreamId,
    ToolProgressed,
    Version,
    run_stream,
)
from outlive.events.ids import CallId
from outlive.events.subscription import READ_LIMIT
from outlive.testing.log_contract.filling import NONE, A, B, run, take, versions
from outlive.testing.log_contract.store import Store, StoreContract

L = TypeVar("L", bound=EventLog)

LONG = "x" * 70_000
"""So much is kept apart from its record."""


def append(log: EventLog, stream: StreamId, *records: list[Event]) -> None:
    """Append records, each a commit of its own."""
    for events in records:
        log.append(stream, events, expected_version=log.version(stream)).result(20)


def piece(step: int = 0, text: str = "x") -> list[Event]:
    """One piece of an answer, in a record of its own."""
    return [ModelDelta(step=step, text=text)]


def started(step: int = 0) -> list[Event]:
    """The start of a model call."""
    return [ModelCallStarted(step=step, model="m")]


def completed(step: int = 0, text: str = "xx") -> list[Event]:
    """The whole answer."""
    return [ModelCallCompleted(step=step, text=text)]


def answer(step: int = 0, pieces: int = 3) -> list[list[Event]]:
    """The records of one model call."""
    return [started(step), *[piece(step)] * pieces, completed(step)]


class CompactionContract(StoreContract[L]):
    """Subclasses override `store`."""

    def test_pieces_of_a_completed_answer_go(self, log: EventLog) -> None:
        append(log, A, *answer())
        before = log.read(A)
        done = log.compact()
        assert (done.records, done.events, done.gaps) == (3, 3, 1)
        assert done.bytes > 0
        assert log.read(A) == [before[0], before[4]]
        assert [record.position for record in log.read_all()] == [1, 5]
        assert (log.version(A), log.head) == (5, 5)

    def test_pieces_of_an_answer_that_is_kept_apart_go(self, log: EventLog) -> None:
        append(log, A, started(), piece(), piece(), completed(text=LONG))
        assert log.compact().records == 2
        assert versions(log.read(A)) == [1, 4]

    def test_pieces_that_are_kept_apart_go(self, log: EventLog) -> None:
        append(log, A, started(), piece(text=LONG), piece(text=LONG), completed(text=LONG))
        append(log, B, started(), piece(text=LONG), completed())
        append(log, run_stream("c"), piece(text=LONG))
        before = log.read(run_stream("c"))
        assert log.compact().records == 3
        assert versions(log.read(A)) == [1, 4]
        assert versions(log.read(B)) == [1, 3]
        assert log.read(run_stream("c")) == before

    def test_pieces_of_an_answer_that_is_not_completed_stay(self, log: EventLog) -> None:
        append(log, A, *answer(0), started(1), piece(1), piece(1))
        append(log, B, piece(0))
        assert log.compact().records == 3
        assert versions(log.read(A)) == [1, 5, 6, 7, 8]
        assert versions(log.read(B)) == [1]

    def test_pieces_of_an_attempt_that_was_given_up_go_with_those_of_the_next(
        self, log: EventLog
    ) -> None:
        append(log, A, started(), piece(), started(), piece(), piece(), completed())
        log.compact()
        assert versions(log.read(A)) == [1, 3, 6]

    def test_a_record_that_holds_something_else_too_stays(self, log: EventLog) -> None:
        progress = ToolProgressed(call_id=CallId("0.0"), done=1)
        append(log, A, [*piece(), progress], piece() * 3, piece() + piece(1), completed())
        done = log.compact()
        assert (done.records, done.events) == (1, 3)
        assert versions(log.read(A)) == [1, 2, 6, 7, 8]

    def test_a_piece_that_came_after_the_answer_stays(self, log: EventLog) -> None:
        append(log, A, completed(), piece())
        assert log.compact() == Compacted(records=0, events=0, bytes=0, gaps=0)

    def test_streams_that_take_turns_share_a_gap(self, log: EventLog) -> None:
        append(log, A, started())
        append(log, B, started())
        for _ in range(3):
            append(log, A, piece())
            append(log, B, piece(), piece())
        append(log, A, completed())
        append(log, B, completed())
        done = log.compact()
        assert (done.records, done.gaps) == (9, 1)
        assert versions(log.read(A)) == [1, 5]
        assert versions(log.read(B)) == [1, 8]

    def test_only_answers_from_before_a_time_lose_their_pieces(self, log: EventLog) -> None:
        append(log, A, *answer(0))
        append(log, B, *answer(0))
        at_ns = log.read(B)[-1].recorded_at_ns
        before = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_ns // 1000)
        log.compact(before=before)
        assert len(log.read(B)) == 5
        log.compact(before=before + timedelta(days=1))
        assert (len(log.read(A)), len(log.read(B))) == (2, 2)

    def test_a_time_without_a_zone_is_refused(self, log: EventLog) -> None:
        with pytest.raises(ValueError, match="time zone"):
            log.compact(before=datetime(2026, 1, 1))  # noqa: DTZ001  # that is what is refused

    def test_twice_is_once(self, log: EventLog) -> None:
        append(log, A, *answer(0), *answer(1))
        assert log.compact().gaps == 2
        found = log.read_all()
        assert log.compact() == Compacted(records=0, events=0, bytes=0, gaps=2)
        assert log.read_all() == found

    def test_it_goes_on_where_the_log_has_gone_on(self, store: Store) -> None:
        append(store.log, A, *answer(0), started(1), piece(1), piece(1))
        store.log.compact()
        store.reopen(clean=False)
        append(store.log, A, piece(1), completed(1))
        done = store.log.compact()
        assert (done.records, done.gaps) == (3, 2)
        store.reopen(clean=True)
        assert versions(store.log.read(A)) == [1, 5, 6, 10]
        assert store.log.version(A) == 10

    def test_an_append_is_judged_as_before(self, log: EventLog) -> None:
        append(log, A, *answer(0))
        commit_id = bytes(range(16))
        first = log.append(A, completed(1), expected_version=Version(5), commit_id=commit_id)
        log.compact()
        again = log.append(A, completed(1), expected_version=Version(5), commit_id=commit_id)
        assert again.result(5) == first.result(5)
        log.append(A, started(2), expected_version=Version(6)).result(5)
        assert versions(log.read(A)) == [1, 5, 6, 7]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 1_000])
    def test_pages_pass_over_gaps_and_are_full(self, log: EventLog, limit: int) -> None:
        for step in range(6):
            append(log, A, *answer(step, pieces=step * 9))
            append(log, B, piece() * 70)
        log.compact()
        left, records = log.read(A), log.read_all()
        assert len(left) == 12
        for after in range(log.version(A) + 1):
            expected = [one for one in left if one.version > after][:limit]
            assert log.read(A, after=Version(after), limit=limit) == expected
        for position in range(log.head + 1):
            there = [one for one in records if one.position > position][:limit]
            assert log.read_all(after=Position(position), limit=limit) == there

    def test_a_long_answer_is_passed_over_from_any_version(self, log: EventLog) -> None:
        append(log, A, started(), *[piece() * 50] * 10, completed(), *[piece(1)] * 100)
        log.compact()
        for after in (0, 1, 2, 63, 64, 65, 300, 500, 501):
            found = log.read(A, after=Version(after), limit=2)
            assert versions(found) == {0: [1, 502]}.get(after, [502, 503])
        assert versions(log.read(A, after=Version(502), limit=2)) == [503, 504]

    def test_followers_at_any_cursor_go_on(self, log: EventLog) -> None:
        append(log, A, *answer(0, pieces=READ_LIMIT + 10), *[started(1)] * (READ_LIMIT + 10))
        begun = versions(log.read(A, limit=10))[-1]

        async def work() -> None:
            slow = log.follow(A)
            seen = versions(await take(slow, begun))
            log.compact()
            append(log, A, completed(1))
            async with log.follow(A, after=Version(30)) as late, log.follow_all() as all:
                left = versions(log.read(A, after=Version(begun), limit=10_000))
                assert versions(await take(late, len(left))) == left
                positions = [(await anext(all)).position for _ in range(len(left) + 1)]
                assert positions == [record.position for record in log.read_all(limit=10_000)]
            # What it was handed before is its own; then it passes over what is gone.
            while seen[-1] < log.version(A):
                seen += versions(await take(slow, 1))
            assert seen == sorted(set(seen))
            assert set(left) <= set(seen)
            await slow.aclose()

        run(work())

    def test_a_closed_log_is_not_compacted(self, store: Store) -> None:
        append(store.log, A, *answer(0))
        store.log.close()
        with pytest.raises(LogClosed):
            store.log.compact()

    def test_an_empty_log_has_nothing_to_drop(self, log: EventLog) -> None:
        assert log.compact() == Compacted(records=0, events=0, bytes=0, gaps=0)
        log.append(A, [], expected_version=NONE).result(5)
