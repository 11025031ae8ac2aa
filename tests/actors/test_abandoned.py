"""Threads that ignore their deadline are counted and bounded."""

from __future__ import annotations

import asyncio
from typing import Any

from outlive.actors import (
    Agent,
    Retry,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.actors.abandoned import MAX_ABANDONED, AbandonedThreads
from outlive.events import ToolCallFailed, run_stream
from outlive.projections import RunResult
from tests.actors.conftest import Logs
from tests.support import Gate, clock, run_virtual


def hanging(gate: Gate, retry: int | Retry = 0) -> Tool[..., str]:
    @tool(timeout=1, retry=retry, in_doubt="retry", name="hang")
    def hang(ctx: SyncToolContext) -> str:
        """Wait for the gate on its first attempt."""
        if ctx.attempt == 1:
            gate.wait()
        return "through"

    return hang


def agent(*tools: Tool[..., Any], calls: int = 1, name: str = "hang") -> Agent:
    script = [Turn(tool_calls=[ToolCall(name)] * calls), Turn("done")]
    return Agent("agent", model=ScriptedModel(script), tools=tools, tool_concurrency=100)


def opened(*agents: Agent) -> Runtime:
    return Runtime(None, agents=agents, clock=clock())


def told(result: RunResult) -> list[str]:
    return [message.text for message in result.messages[2:-1]]


def test_threads_that_ignore_their_deadline_are_counted_until_they_end(logs: Logs) -> None:
    async def body(gate: Gate) -> None:
        async with opened(agent(hanging(gate), calls=3)) as rt:
            assert rt.abandoned_threads == 0
            await rt.run("agent", "x")
            assert rt.abandoned_threads == 3
            gate.open()
            await asyncio.sleep(1)  # virtual: the threads come first
            assert rt.abandoned_threads == 0
        names = [entry["event"] for entry in logs]
        assert names.count("thread_abandoned") == 3
        assert names.count("abandoned_thread_ended") == 3

    with Gate() as gate:
        run_virtual(body(gate))


def test_with_too_many_of_them_sync_calls_are_refused_until_some_end() -> None:
    @tool(read_only=True)
    def quick() -> str:
        """Be quick."""
        return "quick"

    @tool(read_only=True)
    async def on_the_loop(ctx: ToolContext) -> str:
        """Need no thread."""
        return "no thread"

    async def body(gate: Gate) -> None:
        filling = agent(hanging(gate), calls=MAX_ABANDONED)
        calls = [ToolCall("quick"), ToolCall("on_the_loop")]
        script = [Turn(tool_calls=calls), Turn("done")]
        other = Agent("other", model=ScriptedModel(script), tools=[quick, on_the_loop])
        async with opened(filling, other) as rt:
            await rt.run("agent", "x")
            assert rt.abandoned_threads == MAX_ABANDONED
            refused, answered = told(await rt.run("other", "x", run_id="one"))
            assert "32 threads" in refused
            assert "no thread" in answered
            failed = [
                it.event.error.kind
                for it in rt.log.read(run_stream("one"))
                if isinstance(it.event, ToolCallFailed)
            ]
            assert failed == ["no_threads"]
            gate.open()
            await asyncio.sleep(1)  # virtual: the threads come first
            assert rt.abandoned_threads == 0
            assert "quick" in told(await rt.run("other", "x"))[0]

    with Gate() as gate:
        run_virtual(body(gate))


def test_a_refused_call_is_retried_and_goes_through_once_threads_have_ended() -> None:
    async def body(gate: Gate) -> None:
        @tool(read_only=True, retry=Retry(1, delay=60.0, max_delay=60.0))
        def patient() -> str:
            """Wait for a thread."""
            return "in the end"

        filling = agent(hanging(gate), calls=MAX_ABANDONED)
        script = [Turn(tool_calls=[ToolCall("patient")]), Turn("done")]
        other = Agent("other", model=ScriptedModel(script), tools=[patient])
        async with opened(filling, other) as rt:
            await rt.run("agent", "x")
            run = await rt.start("other", "x")
            await asyncio.sleep(5)
            gate.open()
            assert "in the end" in told(await run.result())[0]

    with Gate() as gate:
        run_virtual(body(gate))


def test_the_step_of_an_async_tool_is_counted_too_when_its_thread_is_left_behind() -> None:
    async def body(gate: Gate) -> None:
        @tool(timeout=1, read_only=True)
        async def stepping(ctx: ToolContext) -> None:
            """Do a step that hangs."""
            await ctx.step("one", gate.wait)

        async with opened(agent(stepping, name="stepping")) as rt:
            await rt.run("agent", "x")
            await asyncio.sleep(1)
            assert rt.abandoned_threads == 1

    with Gate() as gate:
        run_virtual(body(gate))


def test_what_has_not_begun_when_it_is_abandoned_never_begins() -> None:
    threads = AbandonedThreads()
    call = threads.call()
    call.abandon()
    assert threads.count == 0, "it has no thread"
    assert not call.begin()


def test_a_thread_is_counted_once_and_never_after_its_end() -> None:
    threads = AbandonedThreads()
    call = threads.call()
    assert call.begin()
    for _ in range(2):
        call.abandon()
    assert threads.count == 1
    for _ in range(2):
        call.end()
    assert threads.count == 0
    call.abandon()
    assert threads.count == 0
