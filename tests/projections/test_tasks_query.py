"""`rt.tasks`: one task by its id, or lists of them, by whatever they belong to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.events import (
    CallId,
    EventLog,
    Failure,
    InvalidCursor,
    InvalidId,
    LmdbLog,
    LmdbReader,
    MemoryLog,
    OpenEntry,
    Record,
    RunId,
    TaskEvent,
    TaskNotFound,
    TaskState,
    TaskUnsuccessful,
    task_stream,
)
from outlive.events.task import evolve
from outlive.projections import (
    TASK_STATUSES,
    TaskAttempt,
    TaskInfo,
    TaskPage,
    TaskProgress,
    TaskQuestion,
    TasksQuery,
    TaskSummary,
    TasksView,
    ViewReader,
    ViewRunner,
)
from outlive.projections.tasks import TaskFold
from outlive.projections.tasks.info import task_summary
from outlive.projections.tasks.view import ATTEMPTS_KEPT, TaskRow
from outlive.projections.views.rows import Rows
from outlive.projections.views.store import MemoryStore
from outlive.testing.strategies import task_events, task_histories
from tests.support.tasks import LATE, TaskLog
from tests.support.views import records_of, start_run
from tests.support.virtual import START_NS, VirtualClock

T = TypeVar("T")

START: Final = datetime.fromtimestamp(START_NS / 1e9, UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", "lmdb"])
def tasks(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> Iterator[TaskLog]:
    log: EventLog
    log = LmdbLog(tmp_path, clock=clock) if request.param == "lmdb" else MemoryLog(clock=clock)
    yield TaskLog(log)
    log.close()


def ask(log: EventLog, body: Callable[[TasksQuery], Coroutine[Any, Any, T]]) -> T:
    """Ask for tasks of a log, as its owner."""

    async def run() -> T:
        folder = log.path / "views" if isinstance(log, LmdbLog) else None
        views = ViewRunner(log, [TasksView()], folder=folder)
        views.start()
        try:
            return await body(TasksQuery(log, views))
        finally:
            await views.close()

    return asyncio.run(run())


def get(tasks: TaskLog, task_id: str = "t1") -> TaskSummary:
    """Return what is told of a task in lists; it is what is told of it alone, but for its error."""

    async def body(query: TasksQuery) -> TaskSummary:
        alone = await query.get(task_id)
        (listed,) = [one for one in (await query.list()).tasks if one.task_id == task_id]
        assert summary_in(alone) == listed
        return listed

    return ask(tasks.log, body)


def summary_in(info: TaskInfo) -> TaskSummary:
    """Return the part of it that lists show, where an error has no exception."""
    names = TaskSummary.__struct_fields__
    fields: dict[str, Any] = {name: getattr(info, name) for name in names}
    error: Failure | None = fields["error"]
    if error is not None:
        fields["error"] = Failure(kind=error.kind, message=error.message)
    return TaskSummary(**fields)


def ids(page: TaskPage) -> list[str]:
    return [task.task_id for task in page.tasks]


async def all_pages(query: TasksQuery, limit: int, **filters: Any) -> list[str]:
    page = await query.list(limit=limit, **filters)
    found = ids(page)
    while page.cursor is not None:
        page = await query.list(limit=limit, cursor=page.cursor, **filters)
        assert len(page.tasks) in range(1, limit + 1)
        found += ids(page)
    return found


# -- one task --


def test_a_task_is_told_with_who_wants_it_its_attempts_and_how_far_it_is(
    tasks: TaskLog, clock: VirtualClock
) -> None:
    call = CallId("2.1")
    tasks.queue("t1", run_id="r1", call_id=call, thread_id="th", resource_id="re", priority=3)
    clock.advance(1)
    tasks.start("t1")
    clock.advance(1)
    tasks.progress("t1", 1.0, 4.0, "one page")
    tasks.step("t1", "page-1")
    clock.advance(1)
    tasks.fail("t1", LATE, delay=60)
    tasks.start("t1", worker="owner-2")
    tasks.progress("t1", 3.0)
    clock.advance(1)

    assert get(tasks) == TaskSummary(
        task_id="t1",
        tool="look",
        agent_id="looker",
        run_id=RunId("r1"),
        call_id=call,
        thread_id="th",
        resource_id="re",
        mode="deferred",
        priority=3,
        status="running",
        queued_at=START,
        updated_at=at(3),
        ended_at=None,
        retry_at=None,
        attempt=2,
        attempts=(
            TaskAttempt(
                number=1,
                outcome="timed_out",
                started_at=at(1),
                ended_at=at(3),
                error=LATE,
                worker="owner-1",
            ),
            TaskAttempt(number=2, outcome="running", started_at=at(3), worker="owner-2"),
        ),
        progress=TaskProgress(attempt=2, done=3, total=None, note="", at=at(3)),
        steps=1,
        recoveries=0,
        asks=(),
        in_doubt=False,
        error=None,
        version=tasks.log.version(task_stream("t1")),
        position=tasks.log.head,
    )


def test_a_task_that_nobody_asked_for_in_a_run_belongs_to_none(tasks: TaskLog) -> None:
    tasks.queue("t1")
    task = get(tasks)
    assert (task.run_id, task.call_id, task.thread_id, task.resource_id) == (None,) * 4


def test_a_task_alone_is_told_with_what_it_was_called_with_asks_and_has_returned(
    tasks: TaskLog,
) -> None:
    def alone() -> TaskInfo:
        return ask(tasks.log, lambda query: query.get("t1"))

    tasks.begin("t1", arguments={"at": [1, "x"]})
    assert (alone().arguments, alone().over) == ({"at": [1, "x"]}, False)
    tasks.ask("t1", "which")
    assert alone().questions == (TaskQuestion(key="which"),)
    tasks.answer("t1", 1)
    assert alone().questions == ()
    with pytest.raises(TaskUnsuccessful):
        alone().unwrap()
    tasks.start("t1")
    tasks.succeed("t1", {"b": 2})
    assert (alone().result, alone().unwrap(), alone().over) == ({"b": 2}, {"b": 2}, True)


def test_an_error_is_told_whole_of_a_task_alone(tasks: TaskLog) -> None:
    error = Failure(kind="error", message="x" * 1_000, exception="ValueError")
    tasks.begin("t1")
    tasks.fail("t1", error)
    assert ask(tasks.log, lambda query: query.get("t1")).error == error
    (listed,) = ask(tasks.log, lambda query: query.list()).tasks
    assert listed.error == Failure(kind="error", message="x" * 500)


def test_an_unknown_task_is_said_at_once(tasks: TaskLog) -> None:
    start_run(tasks.log, "t1")
    with pytest.raises(TaskNotFound):
        get(tasks)


def test_what_waits_to_be_tried_again_tells_until_when(tasks: TaskLog) -> None:
    tasks.begin("t1")
    tasks.fail("t1", delay=20)
    task = get(tasks)
    assert (task.status, task.retry_at) == ("queued", at(20))
    assert [attempt.outcome for attempt in task.attempts] == ["failed"]


def test_an_attempt_that_a_crash_cut_off_ended_when_it_was_last_heard_of(
    tasks: TaskLog, clock: VirtualClock
) -> None:
    tasks.begin("t1")
    clock.advance(5)
    tasks.progress("t1", 1.0)
    clock.advance(100)
    tasks.recover("t1")

    task = get(tasks)

    first, second = task.attempts
    assert (first.outcome, first.ended_at, first.worker) == ("cut_off", at(5), "owner-1")
    assert (second.outcome, second.started_at, second.worker) == ("running", at(105), "owner-2")
    assert task.recoveries == 1


def test_a_crash_that_fails_a_task_tells_why(tasks: TaskLog, clock: VirtualClock) -> None:
    tasks.begin("t1")
    clock.advance(5)
    tasks.recover("t1", in_doubt="fail")
    task = get(tasks)
    (attempt,) = task.attempts
    assert (task.status, attempt.outcome, attempt.ended_at) == ("failed", "cut_off", START)
    assert task.error == attempt.error
    assert task.error is not None
    assert task.error.kind == "in_doubt"


def test_what_a_person_is_asked_is_told_until_it_is_answered(tasks: TaskLog) -> None:
    tasks.begin("t1")
    tasks.ask("t1", "left")
    tasks.ask("t1", "right")
    task = get(tasks)
    assert (task.status, task.asks) == ("suspended", ("left", "right"))
    assert [attempt.outcome for attempt in task.attempts] == ["suspended"]

    tasks.answer("t1", 1, "left")
    assert get(tasks).asks == ("right",)
    tasks.answer("t1", 2)
    task = get(tasks)
    assert (task.status, task.asks) == ("queued", ())


def test_an_attempt_in_doubt_waits_for_a_person_and_stays_one(tasks: TaskLog) -> None:
    tasks.begin("t1")
    tasks.recover("t1", in_doubt="ask")
    task = get(tasks)
    assert (task.status, task.in_doubt, task.attempts[0].outcome) == (
        "suspended",
        True,
        "in_doubt",
    )
    tasks.answer("t1", {"outcome": 3})
    task = get(tasks)
    assert (task.status, task.in_doubt, task.attempts[0].outcome) == (
        "succeeded",
        False,
        "in_doubt",
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("succeeded", None),
        ("failed", Failure(kind="error", message="bang")),
        ("timed_out", Failure(kind="timeout", message=LATE.message)),
        ("cancelled", Failure(kind="cancelled", message="enough")),
    ],
)
def test_how_a_task_has_ended_and_why(
    tasks: TaskLog, clock: VirtualClock, status: str, error: Failure | None
) -> None:
    tasks.begin("t1", run_id="r")
    clock.advance(2)
    end(tasks, "t1", status)
    clock.advance(2)
    tasks.ignore("t1")
    tasks.deliver("t1")

    task = get(tasks)

    assert (task.status, task.error, task.ended_at) == (status, error, at(2))
    (attempt,) = task.attempts
    assert (attempt.outcome, attempt.ended_at) == (status, at(2))
    assert task.version == tasks.log.version(task_stream("t1"))


def test_a_task_that_was_rejected_has_no_attempts(tasks: TaskLog) -> None:
    tasks.queue("t1", verdict="reject", reason="no room")
    task = get(tasks)
    assert (task.status, task.attempts) == ("rejected", ())
    assert task.error == Failure(kind="rejected", message="no room")


def test_of_very_many_attempts_the_last_ones_are_kept() -> None:
    tasks = TaskLog(MemoryLog())
    tasks.queue("t1")
    for _ in range(ATTEMPTS_KEPT + 5):
        tasks.start("t1")
        tasks.fail("t1", delay=0)
    task = get(tasks)
    assert task.attempt == ATTEMPTS_KEPT + 5
    assert [one.number for one in task.attempts] == list(range(6, ATTEMPTS_KEPT + 6))


@pytest.mark.parametrize("status", ["blocked", "quarantined"])
def test_what_stands_still_is_told_by_the_open_table(tasks: TaskLog, status: str) -> None:
    tasks.queue("t1")
    tasks.queue("t2")
    entry = OpenEntry(kind="task", status=status, reason="no such tool")
    stream = task_stream("t1")
    version = tasks.log.version(stream)
    tasks.log.append(stream, (), expected_version=version, entry=entry).result(20)

    async def body(query: TasksQuery) -> None:
        task = await query.get("t1")
        assert task.status == status
        assert task.error == Failure(kind=status, message="no such tool")
        assert (await query.list(status=status)).tasks == (summary_in(task),)
        assert ids(await query.list(status="queued")) == ["t2"]

    ask(tasks.log, body)


@given(history=task_histories())
@settings(deadline=None)
def test_the_view_comes_to_the_status_that_the_task_has(
    history: list[tuple[TaskEvent, ...]],
) -> None:
    log, stream = MemoryLog(), task_stream("t1")
    flat = [event for commit in history for event in commit]
    for commit in history:
        log.append(stream, commit, expected_version=log.version(stream)).result(1)
    rows, folded = Rows(MemoryStore()), TaskFold()
    TasksView().apply(records_of(log), rows)
    for record in records_of(log):
        for recorded in record.recorded():
            folded.apply(recorded)

    row, state = rows.get(stream.encode(), TaskRow), reduce(evolve, flat, TaskState())

    if row is None:
        assert not flat
        assert folded.info() is None
        return
    info = folded.info()
    assert info is not None
    assert summary_in(info) == task_summary("t1", row, None)
    assert (row.status, row.attempt, row.retry_at_ns) == (
        state.status,
        state.attempt,
        state.wake_at_ns,
    )
    assert (set(row.asks), row.in_doubt) == (set(state.asks), state.in_doubt)
    assert (row.ended_at_ns is not None) == state.over
    running = [one.number for one in row.attempts if one.outcome == "running"]
    assert running == ([state.attempt] if state.status == "running" else [])
    assert all((one.ended_at_ns is None) == (one.outcome == "running") for one in row.attempts)


@given(events=st.lists(st.lists(task_events(), min_size=1, max_size=3), max_size=6))
@settings(deadline=None)
def test_whatever_comes_the_view_takes_it(events: list[list[TaskEvent]]) -> None:
    log, stream = MemoryLog(), task_stream("t1")
    rows = Rows(MemoryStore())
    for commit in events:
        log.append(stream, commit, expected_version=log.version(stream)).result(1)
    TasksView().apply(records_of(log), rows)
    rows.take()  # It can be encoded.


# -- lists --


BELONGS: Final = {
    "agent_id": ["looker", "other"],
    "tool": ["look", "list\0en"],
    "run_id": ["r1", "r2", ""],
    "thread_id": ["t", ""],
    "resource_id": ["x" * 300, ""],
}
OUTCOMES: Final = ("queued", "running", "suspended", "succeeded", "failed", "rejected")


def lead_to(tasks: TaskLog, task_id: str, status: str, **belongs: str) -> None:
    """Queue a task and bring it to this status."""
    if status == "rejected":
        tasks.queue(task_id, verdict="reject", **belongs)
        return
    tasks.queue(task_id, **belongs)
    if status != "queued":
        tasks.start(task_id)
        end(tasks, task_id, status)


def end(tasks: TaskLog, task_id: str, status: str) -> None:
    """Bring a running task to this status."""
    match status:
        case "suspended":
            tasks.ask(task_id, "which")
        case "succeeded":
            tasks.succeed(task_id)
        case "failed":
            tasks.fail(task_id)
        case "timed_out":
            tasks.fail(task_id, LATE)
        case "cancelled":
            tasks.cancel(task_id)
        case _:
            assert status == "running"


@given(
    made=st.lists(
        st.tuples(
            st.sampled_from(OUTCOMES),
            st.fixed_dictionaries({key: st.sampled_from(of) for key, of in BELONGS.items()}),
            st.integers(0, 2),
        ),
        max_size=12,
    ),
    status=st.sampled_from([None, *TASK_STATUSES]),
    filters=st.fixed_dictionaries(
        {
            key: st.none() | st.sampled_from([one for one in of if one])
            for key, of in BELONGS.items()
        }
    ),
    times=st.tuples(st.none() | st.integers(0, 12), st.none() | st.integers(0, 12)),
    order=st.sampled_from(["newest", "oldest"]),
    limit=st.integers(1, 5),
)
@settings(deadline=None)
def test_a_list_is_what_a_scan_of_all_tasks_would_find(
    *,
    made: list[tuple[str, dict[str, str], int]],
    status: str | None,
    filters: dict[str, str | None],
    times: tuple[int | None, int | None],
    order: str,
    limit: int,
) -> None:
    since, until = times
    clock = VirtualClock()
    tasks = TaskLog(MemoryLog(clock=clock))
    expected: list[str] = []
    for number, (outcome, belongs, seconds) in enumerate(made):
        queued = clock.seconds
        lead_to(tasks, f"t{number}", outcome, **belongs)
        if (
            status in (None, outcome)
            and all(value in (None, belongs[name]) for name, value in filters.items())
            and (since is None or queued >= since)
            and (until is None or queued < until)
        ):
            expected.append(f"t{number}")
        clock.advance(seconds)
    if order == "newest":
        expected.reverse()

    found = ask(
        tasks.log,
        lambda query: all_pages(
            query,
            limit,
            status=status,
            order=order,
            since=None if since is None else at(since),
            until=None if until is None else at(until),
            **filters,
        ),
    )

    assert found == expected


def test_with_the_oldest_first_what_is_queued_meanwhile_comes_last(tasks: TaskLog) -> None:
    for number in range(4):
        tasks.queue(f"t{number}")

    async def body(query: TasksQuery) -> None:
        page = await query.list(order="oldest", limit=3)
        assert ids(page) == ["t0", "t1", "t2"]
        tasks.queue("t4")
        assert ids(await query.list(order="oldest", cursor=page.cursor)) == ["t3", "t4"]

    ask(tasks.log, body)


def test_a_task_changes_from_list_to_list_as_it_goes_on(tasks: TaskLog) -> None:
    async def body(query: TasksQuery) -> None:
        async def lists() -> list[str]:
            return [s for s in TASK_STATUSES if ids(await query.list(status=s)) == ["t1"]]

        tasks.queue("t1", run_id="r")
        assert await lists() == ["queued"]
        tasks.start("t1")
        assert await lists() == ["running"]
        tasks.fail("t1", delay=1)
        assert await lists() == ["queued"]
        tasks.start("t1")
        tasks.succeed("t1")
        assert await lists() == ["succeeded"]  # also while its run has not heard of it
        tasks.deliver("t1")
        assert await lists() == ["succeeded"]

    ask(tasks.log, body)


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ({"status": "open"}, ValueError, "cancelled, rejected, not 'open'"),
        ({"order": "up"}, ValueError, "newest or oldest, not 'up'"),
        ({"limit": 0}, ValueError, "1 to 1,000, not 0"),
        ({"since": datetime(2026, 1, 1)}, ValueError, "since has no time zone"),  # noqa: DTZ001
        ({"until": 3}, TypeError, "until is a datetime"),
        ({"tool": 3}, InvalidId, "tool is text, not int"),
        ({"run_id": ""}, InvalidId, "run_id must not be empty"),
        ({"thread_id": "\ud800"}, InvalidId, "not valid Unicode"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    filters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ask(MemoryLog(), lambda query: query.list(**filters))


def test_a_cursor_holds_for_its_order_only() -> None:
    tasks = TaskLog(MemoryLog())
    tasks.queue("t1")
    tasks.queue("t2")

    async def body(query: TasksQuery) -> None:
        page = await query.list(limit=1)
        with pytest.raises(InvalidCursor):
            await query.list(limit=1, order="oldest", cursor=page.cursor)

    ask(tasks.log, body)


# -- as any view --


def test_a_visitor_is_told_the_same(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    tasks = TaskLog(log)
    for number, outcome in enumerate(OUTCOMES):
        lead_to(tasks, f"t{number}", outcome, run_id="r")
    there = ask(log, lambda query: query.list(run_id="r"))
    tasks.start("t0")  # beyond what the owner's view has come to
    log.close()
    reader = LmdbReader(tmp_path)
    views = ViewReader(reader, [TasksView()], folder=tmp_path / "views")
    try:
        seen = asyncio.run(TasksQuery(reader, views).list(run_id="r"))
    finally:
        views.close()
        reader.close()
    assert seen.tasks[:-1] == there.tasks[:-1]
    assert (there.tasks[-1].status, seen.tasks[-1].status) == ("queued", "running")


def test_a_view_that_is_built_anew_tells_the_same(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    tasks = TaskLog(log)
    for number, outcome in enumerate(OUTCOMES):
        lead_to(tasks, f"t{number}", outcome)
    before = ask(log, lambda query: query.list())
    shutil.rmtree(tmp_path / "views")
    assert ask(log, lambda query: query.list()) == before
    log.close()


def test_a_record_without_its_beginning_is_passed_over() -> None:
    tasks = TaskLog(MemoryLog())
    tasks.begin("t1")
    rows = Rows(MemoryStore())
    started: Record = records_of(tasks.log)[1]
    TasksView().apply([started], rows)
    assert list(rows.scan(object)) == []
