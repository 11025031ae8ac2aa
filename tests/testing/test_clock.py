"""The clock that a test moves by hand, on loops that go on in real time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from outlive.actors import Agent, Retry, Runtime, ScriptedModel, SyncRuntime, ToolCall, Turn, tool
from outlive.events import ToolCallFailed, run_stream
from outlive.testing import VirtualClock

DAY = 86_400


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        (timedelta(days=3), 3 * DAY),
        ("3d", 3 * DAY),
        ("1h30m", 5_400),
        (" 1.5 h  20 s ", 5_420),
        ("250ms", 0.25),
        ("2w", 14 * DAY),
    ],
)
def test_time_passes_by_what_is_said(duration: float | str | timedelta, seconds: float) -> None:
    clock = VirtualClock()
    before = clock.now_ns()
    clock.advance(duration)
    assert clock.now_ns() - before == clock.monotonic_ns() == seconds * 10**9


@pytest.mark.parametrize(
    "duration", ["", "3", "d", "3 days", "3d!", "-3d", -1, float("nan"), float("inf")]
)
def test_what_is_no_length_of_time_is_refused(duration: float | str) -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="a length of time"):
        clock.advance(duration)
    assert clock.monotonic_ns() == 0


def test_the_clock_begins_where_it_is_told_and_stands_still() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    clock = VirtualClock(noon)
    assert (clock.now, clock.now, clock.now_ns()) == (noon, noon, 1_780_315_200 * 10**9)


def test_the_wall_clock_may_be_set_and_no_time_passes() -> None:
    clock = VirtualClock()
    clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    assert clock.now == datetime(2020, 1, 1, tzinfo=UTC)
    assert clock.monotonic_ns() == 0


def test_times_without_a_zone_are_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # that is what is refused
    with pytest.raises(ValueError, match="time zone"):
        VirtualClock(naive)
    with pytest.raises(ValueError, match="time zone"):
        VirtualClock().set(naive)


def test_a_loop_that_knows_the_clock_moves_with_it_and_calls_what_is_due_in_order() -> None:
    async def work() -> None:
        clock, loop = VirtualClock(), asyncio.get_running_loop()
        clock.now_ns()
        called: list[str] = []
        all_called = asyncio.Event()
        for name, delay in (("late", 7_200.0), ("early", 3_600.0), ("never", 90_000.0)):
            loop.call_later(delay, called.append, name)
        loop.call_later(7_200.0, all_called.set)
        before = loop.time()
        clock.advance("1h")
        clock.advance("1h")
        assert loop.time() - before >= 7_200
        await all_called.wait()
        assert called == ["early", "late"]

    asyncio.run(work())


def test_a_loop_that_never_asked_the_clock_is_left_alone() -> None:
    async def work() -> None:
        clock, loop = VirtualClock(), asyncio.get_running_loop()
        clock.advance("1d")
        assert "time" not in vars(loop)

    asyncio.run(work())


class OtherLoop(asyncio.AbstractEventLoop):
    """Not one of asyncio's own."""

    def is_closed(self) -> bool:
        return False


def test_a_loop_that_cannot_be_moved_is_named() -> None:
    clock = VirtualClock()
    other = OtherLoop()  # type: ignore[abstract]  # nobody calls the rest of it
    asyncio._set_running_loop(other)
    try:
        clock.now_ns()
    finally:
        asyncio._set_running_loop(None)
    with pytest.raises(RuntimeError, match="OtherLoop cannot be moved"):
        clock.advance(1)
    assert clock.monotonic_ns() == 0


def flaky_agent() -> Agent:
    """Its tool fails at first, and is to be tried again in an hour."""
    tried: list[str] = []

    @tool(read_only=True, retry=Retry(1, delay=3_600, max_delay=3_600, jitter=0))
    async def look() -> str:
        """Look."""
        tried.append("x")
        if len(tried) == 1:
            raise ConnectionError("not yet")
        return "seen"

    turns = [Turn(tool_calls=[ToolCall("look")]), Turn("done")]
    return Agent("looker", model=ScriptedModel(turns), tools=[look])


def test_a_retry_in_an_hour_is_made_when_the_hour_has_passed() -> None:
    async def work() -> None:
        clock = VirtualClock()
        async with Runtime(None, agents=[flaky_agent()], clock=clock) as rt:
            run = await rt.start("looker", "go", run_id="r")
            async for record in run.events():
                if isinstance(record.event, ToolCallFailed):
                    break
            clock.advance("59m")
            for _ in range(50):
                await asyncio.sleep(0)
            entry = rt.log.open_entry(run_stream("r"))
            assert entry is not None
            assert entry.wake_at_ns == clock.now_ns() + 60 * 10**9
            clock.advance("1m")
            result = await run.result()
        assert result.unwrap() == "done"

    asyncio.run(work())


def test_a_runtime_in_another_thread_is_moved_as_well() -> None:
    clock = VirtualClock()
    with SyncRuntime(None, agents=[flaky_agent()], clock=clock) as rt:
        run = rt.start("looker", "go", run_id="r")
        for record in run.events():
            if isinstance(record.event, ToolCallFailed):
                break
        clock.advance("1h")
        assert run.result(timeout=20).unwrap() == "done"
