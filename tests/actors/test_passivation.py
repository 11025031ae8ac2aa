"""A run that waits for a retry in an hour is a row and a timer: it leaves memory meanwhile."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Final

import pytest

from outlive.actors import (
    Agent,
    ModelError,
    ModelRequest,
    Retry,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import Event, RunRecovered, run_stream
from tests.support import SECOND, START_NS, Machine, clock, open_runtime, run_virtual
from tests.support.people import all_leave, begin

HOUR: Final = 3_600


def busy_once(*, retry_after: float = HOUR, turn: Turn | None = None) -> Agent:
    """Return an agent whose provider is busy for an hour, at its first attempt."""

    def answer(request: ModelRequest) -> Turn:
        if request.attempt == 1 and request.step == 0:
            return Turn(error=ModelError("busy", kind="rate_limit", retry_after=retry_after))
        return turn if turn is not None and request.step == 0 else Turn("done")

    return Agent("a", model=ScriptedModel(answer), model_retry=Retry(3, jitter=0))


@tool(read_only=True, retry=Retry(3, delay=HOUR, max_delay=HOUR, jitter=0))
async def at_last(ctx: ToolContext) -> str:
    """Fail twice."""
    if ctx.attempt < 3:
        raise ConnectionError("nobody there")
    return f"attempt {ctx.attempt}"


def calling(*names: str) -> Agent:
    turns = [Turn(tool_calls=[ToolCall(name) for name in names]), Turn("done")]
    return Agent("a", model=ScriptedModel(turns), tools=[at_last])


def events_of(rt: Runtime) -> list[Event]:
    return [recorded.event for recorded in rt.log.read(run_stream("r1"))]


def test_who_waits_for_a_model_leaves_memory_and_who_waits_for_its_result_gets_it() -> None:
    async def body() -> None:
        async with open_runtime(busy_once()) as rt:
            run = await rt.start("a", "go", run_id="r1")
            waiting = asyncio.ensure_future(run.result())
            watching = asyncio.ensure_future(kinds_seen(rt))
            await asyncio.sleep(1)
            assert rt.live() == []
            with pytest.raises(TimeoutError):
                await rt.result("r1", timeout=60)
            assert rt.live() == [], "who asks for its result does not keep it"
            assert not waiting.done()

            assert (await waiting).unwrap() == "done"
            assert clock().seconds == HOUR
            assert (await watching)[-1] == "RunCompleted"
            await all_leave(rt)
            assert not any(isinstance(event, RunRecovered) for event in events_of(rt))

    run_virtual(body())


async def kinds_seen(rt: Runtime) -> list[str]:
    return [type(recorded.event).__name__ async for recorded in rt.observe("r1")]


def test_who_waits_for_a_tool_leaves_memory_too() -> None:
    async def body() -> None:
        async with open_runtime(calling("at_last", "at_last")) as rt:
            await rt.start("a", "go", run_id="r1")
            for hour in range(2):
                await asyncio.sleep(HOUR / 2)
                assert rt.live() == [], f"in hour {hour}"
                await asyncio.sleep(HOUR / 2)
            result = await rt.result("r1")
            assert [message.text for message in result.messages[2:4]] == 2 * ["attempt 3"]

    run_virtual(body())


def test_a_short_wait_is_spent_in_memory() -> None:
    async def body() -> None:
        async with open_runtime(busy_once(retry_after=3)) as rt:
            await rt.start("a", "go", run_id="r1")
            await asyncio.sleep(2)
            (live,) = rt.live()
            assert live.wake_at_ns == START_NS + 3 * SECOND
            assert (await rt.result("r1")).unwrap() == "done"

    run_virtual(body())


def test_it_is_cancelled_where_it_is() -> None:
    async def body() -> None:
        async with open_runtime(busy_once()) as rt:
            await rt.start("a", "go", run_id="r1")
            waiting = asyncio.ensure_future(rt.result("r1"))
            await asyncio.sleep(60)
            assert rt.live() == []
            assert await rt.cancel("r1", "too late")
            assert (await waiting).status == "cancelled"
            await asyncio.sleep(2 * HOUR)
            assert rt.live() == []
            assert (await rt.result("r1")).status == "cancelled"

    run_virtual(body())


def test_opened_anew_it_is_no_more_than_a_row_until_its_instant() -> None:
    machine, agent = Machine(), busy_once()

    async def wait(rt: Runtime) -> None:
        await rt.start("a", "go", run_id="r1")
        await asyncio.sleep(60)

    async def come_back(rt: Runtime) -> str:
        await asyncio.sleep(60)
        assert rt.live() == []
        return (await rt.result("r1")).unwrap()

    machine.crash(wait, agent)
    assert machine.run(come_back, agent) == "done"
    assert (machine.clock.now_ns() - START_NS) // SECOND == HOUR


def test_a_thread_that_goes_on_keeps_its_run_in_memory_until_it_ends() -> None:
    end = threading.Event()

    @tool(read_only=True, timeout=0.01, retry=Retry(1, delay=HOUR, max_delay=HOUR))
    def stubborn() -> str:
        """Ignore the deadline."""
        end.wait(60)
        return "late"

    turns = [Turn(tool_calls=[ToolCall("stubborn")]), Turn("done")]
    agent = Agent("a", model=ScriptedModel(turns), tools=[stubborn])

    async def body() -> None:
        async with Runtime(None, agents=[agent]) as rt:
            await rt.start("a", "go", run_id="r1")
            async for recorded in rt.observe("r1"):
                if type(recorded.event).__name__ == "ToolCallFailed":
                    break
            assert [live.stream for live in rt.live()] == ["run-r1"]
            end.set()
            async for recorded in rt.observe("r1"):
                if type(recorded.event).__name__ == "ToolResultIgnored":
                    break
            await all_leave(rt)

    asyncio.run(body())


def test_in_a_folder_too(tmp_path: Path) -> None:
    async def body() -> None:
        async with Runtime(tmp_path / "data", agents=[busy_once()]) as rt:
            run = await rt.start("a", "go", run_id="r1")
            async for recorded in run.events():
                if type(recorded.event).__name__ == "ModelCallFailed":
                    break
            await all_leave(rt)
            waiting = asyncio.ensure_future(run.result())
            await asyncio.sleep(0)
            assert await rt.cancel("r1", "enough")
            assert (await waiting).status == "cancelled"

    asyncio.run(body())


def test_who_waits_for_a_run_whose_agent_is_gone_is_told_at_once() -> None:
    machine = Machine()

    async def wait(rt: Runtime) -> None:
        await rt.start("a", "go", run_id="r1")
        await asyncio.sleep(60)

    async def look(rt: Runtime) -> str:
        return (await rt.result("r1")).status

    machine.crash(wait, busy_once())
    assert machine.run(look, Agent("b", model=ScriptedModel([]))) == "blocked"
    assert machine.run(look, busy_once()) == "completed"


def test_those_that_wait_are_found_and_answered_as_any_other() -> None:
    async def body() -> None:
        async with open_runtime(busy_once()) as rt:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(60):
                    await begin(rt)
            assert (await rt.runs.get("r1")).status == "running"
            assert (await rt.start("a", "go", run_id="r1")).id == "r1"
            await all_leave(rt)

    run_virtual(body())
