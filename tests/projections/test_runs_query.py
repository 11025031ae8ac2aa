"""`rt.runs`: one run by its id, or lists of them, newest first, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlive.events import (
    EventLog,
    Failure,
    InvalidCursor,
    LmdbLog,
    MemoryLog,
    ModelCallCompleted,
    OpenEntry,
    RunNotFound,
    Usage,
)
from outlive.projections import (
    RUN_STATUSES,
    RunInfo,
    RunsQuery,
    RunsView,
    ViewRunner,
)
from tests.support.views import end_run, go_on, start_run
from tests.support.virtual import START_NS, VirtualClock

T = TypeVar("T")

START = datetime.fromtimestamp(START_NS / 1e9, UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", "lmdb"])
def log(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> Iterator[EventLog]:
    log = LmdbLog(tmp_path, clock=clock) if request.param == "lmdb" else MemoryLog(clock=clock)
    yield log
    log.close()


def ask(log: EventLog, body: Callable[[RunsQuery], Coroutine[Any, Any, T]]) -> T:
    """Ask for runs of a log."""

    async def run() -> T:
        folder = log.path / "views" if isinstance(log, LmdbLog) else None
        views = ViewRunner(log, [RunsView()], folder=folder)
        views.start()
        try:
            return await body(RunsQuery(log, views))
        finally:
            await views.close()

    return asyncio.run(run())


def ids(runs: tuple[RunInfo, ...]) -> list[str]:
    return [run.run_id for run in runs]


async def all_pages(runs: RunsQuery, limit: int, **filters: Any) -> list[str]:
    found: list[str] = []
    page = await runs.list(limit=limit, **filters)
    found += ids(page.runs)
    while page.cursor is not None:
        page = await runs.list(limit=limit, cursor=page.cursor, **filters)
        assert len(page.runs) in range(1, limit + 1)
        found += ids(page.runs)
    return found


def test_a_run_is_told_with_its_counters(log: EventLog, clock: VirtualClock) -> None:
    start_run(log, "r1", input="x" * 500)
    clock.advance(2)
    end_run(log, "r1")

    run = ask(log, lambda runs: runs.get("r1"))

    assert run == RunInfo(
        run_id=run.run_id,
        agent_id="poet",
        status="completed",
        input="x" * 200,
        metadata={},
        started_at=START,
        updated_at=START + timedelta(seconds=2),
        ended_at=START + timedelta(seconds=2),
        steps=1,
        model_calls=1,
        tool_calls=1,
        recoveries=0,
        usage=Usage(input_tokens=3, output_tokens=2),
        error=None,
        version=log.version(log.read_all()[0].stream),
        position=log.head,
    )


def test_an_unknown_run_is_said_at_once(log: EventLog) -> None:
    with pytest.raises(RunNotFound):
        ask(log, lambda runs: runs.get("nobody"))


def test_a_failed_run_tells_why(log: EventLog) -> None:
    start_run(log, "r1")
    end_run(log, "r1", failed=True)
    run = ask(log, lambda runs: runs.get("r1"))
    assert run.status == "failed"
    assert run.error == Failure(kind="error", message="no luck")


@pytest.mark.parametrize("status", ["blocked", "quarantined"])
def test_what_stands_still_is_told_by_the_open_table(log: EventLog, status: str) -> None:
    start_run(log, "r1")
    start_run(log, "r2")
    go_on(log, "r1", entry=OpenEntry(kind="run", status=status, reason="no such agent"))

    async def body(runs: RunsQuery) -> None:
        run = await runs.get("r1")
        assert run.status == status
        assert run.error == Failure(kind=status, message="no such agent")
        assert (await runs.list(status=status)).runs == (run,)
        assert ids((await runs.list(status="running")).runs) == ["r2"]
        assert [run.status for run in (await runs.list()).runs] == ["running", status]

    ask(log, body)


def test_the_newest_comes_first_and_pages_go_on_where_the_last_one_ended(
    log: EventLog, clock: VirtualClock
) -> None:
    for number in range(7):
        start_run(log, f"r{number}")
        clock.advance(number % 2)  # some at the same instant

    async def body(runs: RunsQuery) -> None:
        newest = [f"r{number}" for number in reversed(range(7))]
        for limit in (1, 2, 3, 7, 8):
            assert await all_pages(runs, limit) == newest
        page = await runs.list(limit=3)
        start_run(log, "late")
        assert ids((await runs.list(cursor=page.cursor)).runs) == newest[3:]
        assert ids((await runs.list(limit=1)).runs) == ["late"]

    ask(log, body)


def test_times_are_bounds(log: EventLog, clock: VirtualClock) -> None:
    for number in range(5):
        start_run(log, f"r{number}")
        clock.advance(60)

    async def body(runs: RunsQuery) -> None:
        since, until = START + timedelta(minutes=1), START + timedelta(minutes=3)
        assert ids((await runs.list(since=since, until=until)).runs) == ["r2", "r1"]
        elsewhere = since.astimezone(timezone(timedelta(hours=5)))
        assert ids((await runs.list(since=elsewhere)).runs) == ["r4", "r3", "r2", "r1"]
        assert (await runs.list(since=until, until=since)).runs == ()

    ask(log, body)


def test_a_list_of_runs_that_stand_in_the_open_table_has_pages_too(
    log: EventLog, clock: VirtualClock
) -> None:
    for number in range(6):
        start_run(log, f"r{number}", agent_id=f"a{number % 2}")
        clock.advance(1)
    end_run(log, "r3")

    async def body(runs: RunsQuery) -> None:
        assert await all_pages(runs, 2, status="running") == ["r5", "r4", "r2", "r1", "r0"]
        assert await all_pages(runs, 1, status="running", agent_id="a1") == ["r5", "r1"]

    ask(log, body)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    made=st.lists(
        st.tuples(
            st.sampled_from(["a", "a\0b", "b" * 300]),
            st.sampled_from(["running", "blocked", "completed", "failed"]),
            st.integers(0, 2),
        ),
        max_size=12,
    ),
    status=st.sampled_from([None, *RUN_STATUSES]),
    agent_id=st.sampled_from([None, "a", "a\0b", "b" * 300, "nobody"]),
    times=st.tuples(st.none() | st.integers(0, 12), st.none() | st.integers(0, 12)),
    limit=st.integers(1, 5),
)
def test_a_list_is_what_a_scan_of_all_runs_would_find(
    made: list[tuple[str, str, int]],
    status: str | None,
    agent_id: str | None,
    times: tuple[int | None, int | None],
    limit: int,
) -> None:
    since, until = times
    clock = VirtualClock()
    log = MemoryLog(clock=clock)
    expected: list[str] = []
    for number, (agent, outcome, seconds) in enumerate(made):
        started = clock.seconds
        start_run(log, f"r{number}", agent_id=agent)
        if outcome in ("completed", "failed"):
            end_run(log, f"r{number}", failed=outcome == "failed")
        elif outcome == "blocked":
            go_on(log, f"r{number}", entry=OpenEntry(kind="run", status="blocked"))
        if (
            status in (None, outcome)
            and agent_id in (None, agent)
            and (since is None or started >= since)
            and (until is None or started < until)
        ):
            expected.insert(0, f"r{number}")
        clock.advance(seconds)

    found = ask(
        log,
        lambda runs: all_pages(
            runs,
            limit,
            status=status,
            agent_id=agent_id,
            since=None if since is None else START + timedelta(seconds=since),
            until=None if until is None else START + timedelta(seconds=until),
        ),
    )

    assert found == expected


def test_a_run_that_goes_on_is_counted_on(log: EventLog) -> None:
    async def body(runs: RunsQuery) -> None:
        start_run(log, "r1")
        for step in range(1, 4):
            go_on(log, "r1", ModelCallCompleted(step=step - 1, text="x"))
            run = await runs.get("r1")
            assert (run.steps, run.status, run.ended_at) == (step, "running", None)

    ask(log, body)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"status": "open"}, "failed, cancelled, not 'open'"),
        ({"limit": 0}, "1 to 1,000, not 0"),
        ({"limit": 1_001}, "1 to 1,000"),
        ({"since": datetime(2026, 1, 1)}, "since has no time zone"),  # noqa: DTZ001
        ({"until": datetime(2026, 1, 1)}, "until has no time zone"),  # noqa: DTZ001
    ],
)
def test_what_cannot_be_asked_is_refused(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask(MemoryLog(), lambda runs: runs.list(**filters))


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "é", "A" * 28, "=" * 28, "A" * 10_000])
def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        ask(MemoryLog(), lambda runs: runs.list(cursor=cursor))


def test_a_cursor_of_another_log_is_refused() -> None:
    one, other = MemoryLog(log_id="one"), MemoryLog(log_id="other")
    for log in (one, other):
        start_run(log, "r1")
        start_run(log, "r2")
    page = ask(one, lambda runs: runs.list(limit=1))
    assert page.cursor is not None
    with pytest.raises(InvalidCursor):
        ask(other, lambda runs: runs.list(cursor=page.cursor))


def test_clocks_and_times_out_of_all_bounds_do_no_harm(log: EventLog) -> None:
    start_run(log, "r1")
    early, late = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert ids(ask(log, lambda runs: runs.list(since=early, until=late)).runs) == ["r1"]
