"""Closing: what is queued becomes durable, tools have a moment, and the rest is left for later."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from outlive.actors import Agent, Runtime, ScriptedModel, Tool, ToolCall, ToolContext, Turn, tool
from outlive.events import InvalidDefinition, LogClosed, MemoryLog, run_stream
from tests.support import Machine, clock, run_virtual

began: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    """Each test notes anew which tools were begun."""
    began.clear()


@tool(in_doubt="fail")
async def slow(ctx: ToolContext, seconds: float) -> str:
    """Take so long."""
    began.append(ctx.call_id)
    await asyncio.sleep(seconds)
    return f"after {seconds}"


def calling(*seconds: float, at_once: int = 10) -> Agent:
    calls = [ToolCall("slow", {"seconds": it}) for it in seconds]
    model = ScriptedModel([Turn(tool_calls=calls), Turn("done")])
    return Agent("agent", model=model, tools=[slow], tool_concurrency=at_once)


async def begin(rt: Runtime) -> None:
    await rt.start("agent", "x", run_id="one")
    await asyncio.sleep(1)


def outcomes(machine: Machine) -> list[str]:
    wanted = ("tool-call-completed", "tool-call-failed")
    return [kind for kind in machine.kinds("one") if kind in wanted]


def test_a_tool_that_ends_in_time_has_its_result_recorded_and_is_not_in_doubt() -> None:
    machine, agent = Machine(), calling(4.0)
    machine.run(begin, agent)
    assert machine.clock.seconds == pytest.approx(4.0, abs=0.2)
    assert outcomes(machine) == ["tool-call-completed"]
    result = machine.run(lambda rt: rt.result("one"), agent)
    assert result.messages[2].text == '"after 4.0"' or "after 4.0" in result.messages[2].text
    assert began == ["0.0"]


def test_a_tool_that_does_not_end_in_time_is_cancelled_and_left_to_recovery() -> None:
    machine, agent = Machine(), calling(60.0)
    machine.run(begin, agent)
    assert machine.clock.seconds == pytest.approx(6.0, abs=0.2)
    assert outcomes(machine) == []
    machine.run(lambda rt: rt.result("one"), agent)
    assert outcomes(machine) == ["tool-call-failed"], "in doubt, as its policy says"


def test_tools_that_were_about_to_begin_are_begun_so_that_no_doubt_is_left() -> None:
    machine, agent = Machine(), calling(2.0, 1.0, 1.0, at_once=1)
    machine.run(begin, agent)
    assert outcomes(machine) == ["tool-call-completed"] * 3
    assert machine.clock.seconds == pytest.approx(4.0, abs=0.2)
    assert machine.kinds("one")[-1] == "model-call-started", "which is left to the next opening"
    assert machine.run(lambda rt: rt.result("one"), agent).output == "done"


def test_model_calls_are_cut_off_at_once() -> None:
    agent = Agent("agent", model=ScriptedModel([Turn("too late", delay=60.0)]))
    machine = Machine()
    machine.run(begin, agent)
    assert machine.clock.seconds == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("patience", "seconds"), [(0, 1.0), (2.5, 3.5), (timedelta(seconds=30), 31.0)]
)
def test_the_moment_is_as_long_as_was_said(patience: Any, seconds: float) -> None:
    async def body() -> float:
        rt = Runtime(None, agents=[calling(600.0)], clock=clock(), close_timeout=patience)
        async with rt:
            await begin(rt)
        return clock().seconds

    assert run_virtual(body()) == pytest.approx(seconds, abs=0.2)


@pytest.mark.parametrize("patience", [-1, "5", float("inf"), float("nan"), timedelta(seconds=-1)])
def test_a_moment_that_cannot_be_is_refused(patience: Any) -> None:
    with pytest.raises(InvalidDefinition, match="close_timeout"):
        Runtime(None, close_timeout=patience)


def test_who_waits_for_a_result_that_comes_in_time_gets_it_and_others_are_told() -> None:
    async def body() -> None:
        agents = [calling(3.0)]
        rt = Runtime(None, agents=agents, clock=clock())
        await rt.__aenter__()
        await rt.start("agent", "x", run_id="one")
        waiting = asyncio.ensure_future(rt.result("one"))
        await asyncio.sleep(1)
        closing = asyncio.ensure_future(rt.close())
        await asyncio.sleep(1)
        with pytest.raises(LogClosed):
            await rt.start("agent", "x", run_id="two")
        await closing
        with pytest.raises(LogClosed):
            await waiting

    run_virtual(body())


def test_a_close_during_a_close_waits_for_the_same_end_and_cancelling_one_ends_neither() -> None:
    async def body() -> None:
        rt = Runtime(None, agents=[calling(60.0)], clock=clock())
        await rt.__aenter__()
        await begin(rt)
        first, second = (asyncio.ensure_future(rt.close()) for _ in range(2))
        await asyncio.sleep(2)
        first.cancel()
        await asyncio.sleep(1)
        assert first.cancelled()
        assert not second.done()
        await second
        assert clock().seconds == pytest.approx(6.0, abs=0.2)
        await rt.close()
        assert clock().seconds == pytest.approx(6.0, abs=0.2), "once more is nothing"

    run_virtual(body())


def test_what_was_queued_is_durable_when_it_is_closed() -> None:
    async def body() -> None:
        log = MemoryLog(clock=clock())
        rt = Runtime(None, agents=[calling(0.0)], clock=clock(), log=log)
        await rt.__aenter__()
        starts = [asyncio.ensure_future(rt.start("agent", "x", run_id=f"r{n}")) for n in range(200)]
        await asyncio.sleep(0)
        await rt.close()
        await asyncio.gather(*starts)
        assert all(log.version(run_stream(f"r{n}")) for n in range(200))

    run_virtual(body())


def test_two_runtimes_in_a_process_do_not_meet() -> None:
    async def body() -> None:
        one = Runtime(None, agents=[calling(2.0)], clock=clock())
        two = Runtime(None, agents=[calling(3.0)], clock=clock())
        async with two:
            async with one:
                await one.start("agent", "x", run_id="same")
                await two.start("agent", "y", run_id="same")
                await asyncio.sleep(0.5)
            assert not [it for it in two.live() if it.version == 0]
            result = await two.result("same")
            assert (result.output, result.messages[0].text) == ("done", "y")
            with pytest.raises(LogClosed):
                await one.result("same")

    run_virtual(body())


class Mad(BaseException):
    """Nothing that anybody expects."""


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Mad()], ids=repr
)
def test_whatever_one_run_raises_no_other_run_and_no_other_runtime_notices(
    error: BaseException,
) -> None:
    @tool(read_only=True)
    async def rage() -> str:
        """Raise."""
        raise error

    @tool(read_only=True)
    def rage_in_thread() -> str:
        """Raise."""
        raise error

    tools: list[Tool[..., Any]] = [rage, rage_in_thread, slow]
    script = [Turn(tool_calls=[ToolCall("rage"), ToolCall("rage_in_thread")]), Turn("well")]
    raging = Agent("raging", model=ScriptedModel(script), tools=tools)
    broken = Agent("broken", model=ScriptedModel([Turn("as I", error=error)]))

    async def body() -> None:
        async with (
            Runtime(None, agents=[raging, broken, calling(1.0)], clock=clock()) as rt,
            Runtime(None, agents=[calling(2.0)], clock=clock()) as other,
        ):
            calm = await rt.start("agent", "x")
            elsewhere = await other.start("agent", "x")
            assert (await rt.run("raging", "x")).output == "well"
            assert (await rt.run("broken", "x")).status == "failed"
            assert (await calm.result()).output == "done"
            assert (await elsewhere.result()).output == "done"

    run_virtual(body())
