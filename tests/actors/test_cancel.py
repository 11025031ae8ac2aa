"""Runs that nobody wants any more: cancelled at any time, whatever they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Finish,
    ModelPart,
    ModelRequest,
    Retry,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    TextDelta,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    AlreadyOver,
    Event,
    NotSuspended,
    RunCancelled,
    RunUnsuccessful,
    ToolCallCompleted,
    ToolResultIgnored,
    run_stream,
)
from outlive.projections import RunResult
from tests.support import Gate, Machine, clock, open_runtime, run_virtual, tag

pytestmark = pytest.mark.usefixtures("saved_every")


class Talking:
    """A model that talks on and on, and notes when it is stopped."""

    name = "talking"

    def __init__(self) -> None:
        self.stopped_at: list[float] = []

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        try:
            for _ in range(1_000):
                yield TextDelta("and ")
                await asyncio.sleep(1)
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped_at.append(clock().seconds)
            raise
        yield Finish()


def agent(*tools: Tool[..., Any]) -> Agent:
    calls = [ToolCall(each.name) for each in tools]
    return Agent("a", model=ScriptedModel([Turn(tool_calls=calls), Turn("done")]), tools=tools)


def cancelled_after(
    seconds: float, a: Agent, *, then: Callable[[Runtime], Awaitable[object]] | None = None
) -> tuple[RunResult, list[Event]]:
    """Start a run, cancel it after so long, and return its result and all its events."""

    async def body() -> tuple[RunResult, list[Event]]:
        async with open_runtime(a) as rt:
            run = await rt.start("a", "go", run_id="r1")
            await asyncio.sleep(seconds)
            assert await rt.cancel("r1", "not wanted", by="me")
            result = await run.result()
            if then is not None:
                await then(rt)
            await asyncio.sleep(3600)
            assert rt.live() == []
            assert (await rt.runs.get("r1")).status == "cancelled"
            seen = [tag(record.event) async for record in rt.observe("r1")]
            assert seen[-1] == "run-cancelled"
            return result, [record.event for record in rt.log.read(run_stream("r1"))]

    return run_virtual(body())


def check(result: RunResult, events: list[Event]) -> None:
    assert result.status == "cancelled"
    assert result.error is not None
    assert (result.error.kind, result.error.message) == ("cancelled", "not wanted")
    with pytest.raises(RunUnsuccessful, match="not wanted"):
        result.unwrap()
    (cancelled,) = (event for event in events if isinstance(event, RunCancelled))
    assert (cancelled.reason, cancelled.by) == ("not wanted", "me")
    assert tag(events[-1]) in ("run-cancelled", "tool-result-ignored")


def test_while_a_model_streams_its_stream_is_stopped() -> None:
    model = Talking()
    result, events = cancelled_after(10.5, Agent("a", model=model))
    check(result, events)
    assert model.stopped_at == [10.5]
    assert tag(events[-1]) == "run-cancelled"


def test_while_an_async_tool_runs_it_is_cancelled() -> None:
    stopped: list[tuple[float, bool]] = []

    @tool(idempotent=True)
    async def work(ctx: ToolContext) -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            stopped.append((clock().seconds, ctx.cancelled))
            raise

    result, events = cancelled_after(5, agent(work))
    check(result, events)
    assert stopped == [(5.0, True)]
    assert tag(events[-1]) == "run-cancelled"


def test_an_async_tool_that_does_not_mind_is_recorded_as_late() -> None:
    @tool(idempotent=True)
    async def work() -> str:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
        return "all the same"

    result, events = cancelled_after(5, agent(work))
    check(result, events)
    (late,) = (event for event in events if isinstance(event, ToolResultIgnored))
    assert (late.call_id, late.attempt, late.outcome) == ("0.0", 1, "completed")
    assert not any(isinstance(event, ToolCallCompleted) for event in events)


def test_a_tool_that_ends_while_the_cancel_is_being_written_is_recorded_as_late() -> None:
    @tool(in_doubt="fail")
    async def pay() -> str:
        await asyncio.sleep(10)
        return "paid"

    async def body(rt: Runtime) -> None:
        await rt.start("a", "go", run_id="r1")
        await asyncio.sleep(10.5)  # It was begun a second after the start was written.
        await rt.cancel("r1")
        await asyncio.sleep(60)

    machine = Machine()
    machine.run(body, agent(pay), lag=1.0)
    assert machine.kinds("r1")[-2:] == ["run-cancelled", "tool-result-ignored"]


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_while_a_thread_works_it_is_told_and_what_comes_of_it_is_not_applied(outcome: str) -> None:
    told: list[bool] = []
    with Gate() as gate:

        @tool(idempotent=True)
        def work(ctx: SyncToolContext) -> str:
            told.append(ctx.cancelled)
            gate.wait()
            told.append(ctx.cancelled)
            if outcome == "failed":
                raise ValueError
            return "all the same"

        async def release(rt: Runtime) -> None:
            gate.open()

        result, events = cancelled_after(5, agent(work), then=release)
    check(result, events)
    assert told == [False, True]
    (late,) = (event for event in events if isinstance(event, ToolResultIgnored))
    assert late.outcome == outcome
    assert not any(isinstance(event, ToolCallCompleted) for event in events)


def test_while_a_call_waits_to_be_tried_again_it_is_not() -> None:
    tries: list[float] = []

    @tool(idempotent=True, retry=Retry(5, delay=60, jitter=0))
    async def work() -> None:
        tries.append(clock().seconds)
        raise ValueError

    result, events = cancelled_after(5, agent(work))
    check(result, events)
    assert tries == [0.0]


def test_while_the_run_waits_for_a_person() -> None:
    @tool(in_doubt="retry", requires_approval=True, approval_expires=600)
    async def work() -> None: ...

    @tool(in_doubt="retry")
    async def ask(ctx: ToolContext) -> None:
        await ctx.suspend("which")

    async def too_late(rt: Runtime) -> None:
        assert await rt.runs.pending() == []
        for attempt in (rt.approve("r1", "0.0"), rt.resume("r1", 1, suspension="which")):
            with pytest.raises(NotSuspended) as refused:
                await attempt
            assert refused.value.status == "cancelled"

    result, events = cancelled_after(5, agent(work, ask), then=too_late)
    check(result, events)
    assert tag(events[-1]) == "run-cancelled", "and what expires later is nothing any more"


def test_a_thread_that_asks_after_it_was_cancelled_is_told_that_it_is_over() -> None:
    with Gate() as gate:
        refused: list[BaseException] = []

        @tool(in_doubt="retry")
        def ask(ctx: SyncToolContext) -> None:
            gate.wait()
            try:
                ctx.suspend("which")
            except BaseException as error:
                refused.append(error)
                raise

        async def release(rt: Runtime) -> None:
            gate.open()

        result, events = cancelled_after(5, agent(ask), then=release)
    check(result, events)
    assert [type(error).__name__ for error in refused] == ["AttemptEnded"]


def test_a_second_time_is_nothing_and_what_is_over_is_refused() -> None:
    async def body() -> None:
        async with open_runtime(Agent("a", model=ScriptedModel([Turn("x")]))) as rt:
            run = await rt.start("a", "go")
            await run.result()
            with pytest.raises(AlreadyOver) as over:
                await rt.cancel(run.id)
            assert (over.value.run_id, over.value.status) == (run.id, "completed")

    async def again(rt: Runtime) -> None:
        for reason in ("not wanted", "another reason"):
            assert await rt.cancel("r1", reason)

    run_virtual(body())
    check(*cancelled_after(1, Agent("a", model=Talking()), then=again))


async def start(rt: Runtime) -> None:
    await rt.start("a", "go", run_id="r1")
    await asyncio.sleep(1)


async def cancel(rt: Runtime) -> RunResult:
    assert await rt.cancel("r1", "not wanted", by="me")
    return await rt.result("r1")


def test_a_blocked_run_is_cancelled_without_its_agent() -> None:
    machine = Machine()
    machine.crash(start, Agent("a", model=Talking()))

    async def body(rt: Runtime) -> RunResult:
        assert (await rt.result("r1")).status == "blocked"
        return await cancel(rt)

    check(machine.run(body), machine.events("r1"))
    assert machine.status("r1") is None


def test_a_run_that_waited_for_a_person_and_is_blocked_is_cancelled_too() -> None:
    @tool(in_doubt="retry", requires_approval=True, approval_expires=600)
    async def work() -> None: ...

    machine = Machine()
    machine.crash(start, agent(work))
    check(machine.run(cancel), machine.events("r1"))
    assert machine.status("r1") is None


def test_a_quarantined_run_is_cancelled() -> None:
    machine, a = Machine(), Agent("a", model=Talking())
    machine.crash(start, a)
    machine.crash(start, a, max_recoveries=1)

    async def body(rt: Runtime) -> RunResult:
        assert (await rt.result("r1")).status == "quarantined"
        with pytest.raises(NotSuspended) as refused:
            await rt.resume("r1", 1)
        assert refused.value.status == "quarantined"
        return await cancel(rt)

    check(machine.run(body, a, max_recoveries=1), machine.events("r1"))
    assert machine.status("r1") is None


def test_a_run_that_was_cancelled_stays_so_after_a_crash() -> None:
    machine, a = Machine(), Agent("a", model=Talking())
    machine.crash(start, a)
    machine.crash(cancel, a)

    async def look(rt: Runtime) -> RunResult:
        await asyncio.sleep(1)
        assert rt.live() == []
        return await rt.result("r1")

    check(machine.run(look, a), machine.events("r1"))


def test_who_waits_for_the_result_gets_it_at_once() -> None:
    async def body() -> tuple[str, float]:
        async with open_runtime(Agent("a", model=Talking())) as rt:
            run = await rt.start("a", "go", run_id="r1")
            waiting = asyncio.ensure_future(run.result())
            await asyncio.sleep(2.5)
            await rt.cancel("r1")
            return (await waiting).status, clock().seconds

    assert run_virtual(body()) == ("cancelled", 2.5)
