"""What every `EventLog` does, whatever it is made of.

A store's test module subclasses `LogContract` and gives it a `store` fixture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol, TypeVar

import pytest

from outlive.events import (
    Commit,
    Event,
    EventLog,
    EventTooLarge,
    InvalidId,
    LogClosed,
    ModelDelta,
    OpenEntry,
    Position,
    Recorded,
    Snapshot,
    StreamId,
    Subscription,
    ToolCallCompleted,
    UnserialisableValue,
    Version,
    WrongExpectedVersion,
    run_stream,
)
from outlive.events.feed import QUEUE_LIMIT, READ_LIMIT
from tests.events.chain import chain

A, B, C = run_stream("a"), run_stream("b"), run_stream("c")
NONE = Version(0)
RUNNING = OpenEntry(kind="run", status="running", owes=True)
WAITING = OpenEntry(kind="run", status="waiting", wake_at_ns=7, summary={"agent": "x"})

T = TypeVar("T")


class Store(Protocol):
    """A log, and what another process would find after it."""

    @property
    def log(self) -> EventLog: ...

    def reopen(self, *, clean: bool) -> None:
        """Close the log, or let its process die, and open it again."""
        ...


class Ticks:
    """A clock that goes on by one with each look."""

    def __init__(self, start: int = 1_000) -> None:
        self._now = start

    def now_ns(self) -> int:
        self._now += 1
        return self._now

    def monotonic_ns(self) -> int:
        return self.now_ns()


def delta(*texts: str) -> list[Event]:
    """One event a text: the smallest ones there are."""
    return [ModelDelta(text=text) for text in texts]


def texts(found: Sequence[Recorded]) -> list[str]:
    return [one.event.text for one in found if isinstance(one.event, ModelDelta)]


def versions(found: Sequence[Recorded]) -> list[int]:
    return [one.version for one in found]


def run(work: Coroutine[object, object, T]) -> T:
    """Run `work` on a loop of its own; a test that waits for nothing fails after 20 s."""

    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(bounded())


async def take(subscription: Subscription[Recorded], count: int) -> list[Recorded]:
    return [await anext(subscription) for _ in range(count)]


def note(order: list[int], number: int) -> Callable[[Commit], None]:
    """A callback that notes that it ran."""
    return lambda _: order.append(number)


class Filler:
    """Appends events of one text each, and knows the version."""

    def __init__(self, log: EventLog, stream: StreamId = A) -> None:
        self._log = log
        self._stream = stream
        self.version = log.version(stream)

    def append(self, *texts: str) -> Commit:
        commit = self._log.append(
            self._stream, delta(*texts), expected_version=Version(self.version)
        )
        self.version = Version(self.version + len(texts))
        return commit

    def numbered(self, count: int) -> None:
        """Append that many events, each with its version as its text; wait for the last."""
        last: Commit | None = None
        for _ in range(count):
            last = self.append(str(self.version + 1))
        if last is not None:
            last.result(20)


class LogContract:
    """Subclasses override `store`."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def log(self, store: Store) -> EventLog:
        return store.log

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
        for event in (ModelDelta(text="\ud800"), ToolCallCompleted(call_id=_call, result=1 << 70)):
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
        self, log: EventLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("outlive.events.store.MAX_PAYLOAD_BYTES", 100_000)
        log.append(A, delta("x" * 99_000), expected_version=NONE).result(5)
        with pytest.raises(EventTooLarge) as refused:
            log.append(A, delta("x" * 50_000, "x" * 50_000), expected_version=Version(1))
        assert refused.value.size_bytes > refused.value.limit_bytes == 100_000
        assert log.version(A) == 1
        log.append(A, delta("1"), expected_version=Version(1)).result(5)
        assert log.head == 2

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
    def test_a_stream_that_is_taken_out_of_the_open_table_loses_its_snapshot(
        self, store: Store, reopened: bool
    ) -> None:
        for stream in (A, B):
            store.log.append(
                stream, delta("1"), expected_version=NONE, entry=RUNNING, snapshot=b"1"
            ).result(5)
        if reopened:
            store.reopen(clean=True)
        over = Version(1)
        store.log.append(A, delta("2"), expected_version=over, entry=None, snapshot=b"2").result(5)
        store.log.append(B, [], expected_version=over, entry=None).result(5)
        assert store.log.snapshot(A) is None
        assert store.log.snapshot(B) is None

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

    # Commits as futures

    def test_callbacks_run_in_the_order_of_the_appends(self, log: EventLog) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            log.deliver_on(loop.call_soon_threadsafe)
            order: list[int] = []
            done = asyncio.Event()
            for number in range(100):
                commit = log.append(A, delta("x"), expected_version=Version(number))
                commit.then(note(order, number))
            last = log.append(A, [], expected_version=Version(100))
            last.then(lambda _: done.set())
            await done.wait()
            assert order == list(range(100))

        run(work())

    def test_a_callback_runs_after_the_commit_can_be_read(self, log: EventLog) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            log.deliver_on(loop.call_soon_threadsafe)
            seen: asyncio.Future[list[str]] = loop.create_future()
            commit = log.append(A, delta("1"), expected_version=NONE)
            commit.then(lambda _: seen.set_result(texts(log.read(A))))
            assert await seen == ["1"]

        run(work())

    def test_then_on_a_settled_commit_runs_at_once(self, log: EventLog) -> None:
        commit = log.append(A, delta("1"), expected_version=NONE)
        commit.result(5)
        seen: list[Commit] = []
        commit.then(seen.append)
        assert seen == [commit]
        assert commit.settled

    def test_commits_are_awaited(self, log: EventLog) -> None:
        async def work() -> None:
            assert (await log.append(A, delta("1"), expected_version=NONE)).last_version == 1
            log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
            commits = [
                log.append(A, delta("x"), expected_version=Version(version))
                for version in (1, 2, 1, 3)
            ]
            assert (await commits[1]).last_version == 3
            with pytest.raises(WrongExpectedVersion):
                await commits[2]
            assert (await commits[3]).last_version == 4

        run(work())

    def test_a_callback_that_raises_keeps_no_other_from_running(self, log: EventLog) -> None:
        async def work() -> None:
            loop = asyncio.get_running_loop()
            raised: list[object] = []
            loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))
            log.deliver_on(loop.call_soon_threadsafe)
            bad = log.append(A, delta("1"), expected_version=NONE)
            good = log.append(A, delta("2"), expected_version=Version(1))

            def fail(_: Commit) -> None:
                raise ZeroDivisionError

            bad.then(fail)
            assert (await good).last_version == 2
            assert [type(error) for error in raised] == [ZeroDivisionError]

        run(work())

    @pytest.mark.parametrize("through_loop", [True, False])
    def test_a_callback_may_append(self, log: EventLog, through_loop: bool) -> None:
        async def work() -> None:
            follower = log.follow(A)
            first = asyncio.ensure_future(anext(follower))
            await asyncio.sleep(0)
            again: list[Commit] = []

            def append_more(_: Commit) -> None:
                again.append(log.append(A, delta("2"), expected_version=Version(1)))

            if through_loop:
                log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
            commit = log.append(A, delta("1"), expected_version=NONE)
            commit.then(append_more)
            found = [await first, await anext(follower)]
            assert texts(found) == ["1", "2"]
            assert (await again[0]).last_version == 2
            assert texts(log.read(A)) == ["1", "2"]
            await follower.aclose()

        run(work())

    # Closing

    def test_a_closed_log_takes_no_appends(self, log: EventLog) -> None:
        log.close()
        log.close()
        with pytest.raises(LogClosed):
            log.append(A, delta("1"), expected_version=NONE)

    def test_closing_waits_for_what_was_appended(self, store: Store) -> None:
        filler = Filler(store.log)
        commits = [filler.append("x") for _ in range(500)]
        store.reopen(clean=True)
        assert all(commit.settled for commit in commits)
        assert store.log.version(A) == 500

    # Following

    def test_a_follower_gets_what_is_there_and_then_what_comes(self, log: EventLog) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.numbered(3)
            async with log.follow(A) as follower:
                assert versions(await take(follower, 3)) == [1, 2, 3]
                coming = asyncio.ensure_future(take(follower, 2))
                await asyncio.sleep(0)
                filler.append("4", "5").result(5)
                assert versions(await coming) == [4, 5]

        run(work())

    def test_a_follower_begins_after_a_version(self, log: EventLog) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.append("1", "2", "3").result(5)
            async with log.follow(A, after=Version(2)) as follower:
                assert versions(await take(follower, 1)) == [3]
                filler.append("4").result(5)
                assert versions(await take(follower, 1)) == [4]

        run(work())

    def test_a_stream_may_be_followed_before_it_exists(self, log: EventLog) -> None:
        async def work() -> None:
            async with log.follow(A) as follower:
                coming = asyncio.ensure_future(take(follower, 1))
                await asyncio.sleep(0)
                Filler(log, B).numbered(2)
                Filler(log, A).numbered(1)
                assert texts(await coming) == ["1"]

        run(work())

    def test_the_whole_log_is_followed_by_position(self, log: EventLog) -> None:
        async def work() -> None:
            Filler(log, A).numbered(2)
            async with log.follow_all(after=Position(1)) as follower:
                assert (await anext(follower)).position == 2
                coming = asyncio.ensure_future(anext(follower))
                await asyncio.sleep(0)
                Filler(log, B).numbered(1)
                record = await coming
                assert (record.position, record.stream) == (3, B)
                assert record == log.read_all(after=Position(2))[0]

        run(work())

    def test_a_live_record_is_the_one_that_is_read_later(self, log: EventLog) -> None:
        async def work() -> None:
            async with log.follow_all() as follower:
                coming = asyncio.ensure_future(anext(follower))
                await asyncio.sleep(0)
                log.append(
                    A, delta("1", "2"), expected_version=NONE, cause="m", correlation_id="c"
                ).result(5)
                assert [await coming] == log.read_all()

        run(work())

    @pytest.mark.parametrize("first", [0, 1, READ_LIMIT - 1, READ_LIMIT, READ_LIMIT + 1])
    def test_nothing_is_lost_or_repeated_between_the_log_and_what_is_live(
        self, log: EventLog, first: int
    ) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.numbered(first)
            followers = [log.follow(A, after=Version(after)) for after in (0, first // 2)]
            taken = [
                asyncio.ensure_future(take(one, first + 300 - one_after))
                for one, one_after in zip(followers, (0, first // 2), strict=True)
            ]
            for count in range(300):
                filler.append(str(filler.version + 1))
                if count % 7 == 0:
                    await asyncio.sleep(0)
            for found, after in zip(taken, (0, first // 2), strict=True):
                assert versions(await found) == list(range(after + 1, first + 301))
            for follower in followers:
                await follower.aclose()

        run(work())

    def test_a_follower_that_falls_behind_its_queue_reads_the_log_again(
        self, log: EventLog
    ) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.numbered(1)
            async with log.follow(A) as slow:
                found = await take(slow, 1)
                for _ in range(3):
                    filler.numbered(QUEUE_LIMIT + 10)
                    found += await take(slow, 5)
                found += await take(slow, filler.version - len(found))
                assert versions(found) == list(range(1, filler.version + 1))
                filler.numbered(2)
                assert versions(await take(slow, 2)) == [filler.version - 1, filler.version]

        run(work())

    def test_many_followers_get_the_same(self, log: EventLog) -> None:
        async def work() -> None:
            streams = [A, B, C]
            followers = [log.follow(streams[number % 3]) for number in range(60)]
            taken = [asyncio.ensure_future(take(one, 50)) for one in followers]
            fillers = [Filler(log, stream) for stream in streams]
            for _ in range(25):
                for filler in fillers:
                    filler.append(str(filler.version + 1), str(filler.version + 2))
                await asyncio.sleep(0)
            for found in taken:
                assert versions(await found) == list(range(1, 51))
            for follower in followers:
                await follower.aclose()

        run(work())

    def test_a_follower_that_is_closed_while_it_waits_comes_to_its_end(self, log: EventLog) -> None:
        async def work() -> None:
            follower, other = log.follow(A), log.follow(A)
            waiting = asyncio.ensure_future(anext(follower))
            beside = asyncio.ensure_future(anext(other))
            await asyncio.sleep(0)
            await follower.aclose()
            await follower.aclose()
            with pytest.raises(StopAsyncIteration):
                await waiting
            Filler(log).numbered(1)
            assert (await beside).version == 1
            await other.aclose()

        run(work())

    def test_a_follower_that_is_cancelled_goes_on_later(self, log: EventLog) -> None:
        async def work() -> None:
            filler, follower = Filler(log), log.follow(A)
            waiting = asyncio.ensure_future(anext(follower))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            filler.numbered(2)
            assert versions(await take(follower, 2)) == [1, 2]
            await follower.aclose()

        run(work())

    def test_followers_end_when_the_log_is_closed(self, log: EventLog) -> None:
        async def work() -> None:
            Filler(log).numbered(1)
            fresh, waiting = log.follow(A), log.follow(B)
            ended = asyncio.ensure_future(anext(waiting))
            await take(fresh, 1)
            await asyncio.sleep(0)
            log.close()
            for late in (ended, anext(fresh), anext(log.follow(A))):
                with pytest.raises(LogClosed):
                    await late

        run(work())

    def test_a_follower_that_was_dropped_is_forgotten(self, log: EventLog) -> None:
        async def work(leave: Callable[[], None]) -> None:
            filler = Filler(log)
            filler.numbered(1)
            async for _ in log.follow(A):
                break
            leave()
            filler.numbered(1)
            async with log.follow(A, after=Version(1)) as follower:
                assert versions(await take(follower, 1)) == [filler.version]

        run(work(lambda: None))


_call = ToolCallCompleted(call_id="0.0").call_id  # type: ignore[arg-type]  # a NewType of text
