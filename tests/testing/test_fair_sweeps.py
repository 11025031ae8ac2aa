"""A sweep finds nothing wrong with agents that are right, of whatever shape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    ModelRequest,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
)
from outlive.actors import tool as make_tool
from outlive.projections import ToolMessage
from outlive.testing import (
    Client,
    Outcome,
    Scenario,
    Simulation,
    World,
    assert_survives_crashes,
)


def with_tools(*tools: Tool[..., Any]) -> Callable[[World], Sequence[Agent]]:
    """An agent that calls each of these tools once, all at the same time."""

    def agents(world: World) -> Sequence[Agent]:
        calls = Turn(tool_calls=[ToolCall(tool.name) for tool in tools])
        return [Agent("agent", model=ScriptedModel([calls, Turn("done")]), tools=tools)]

    return agents


async def one_run(client: Client) -> object:
    return (await client.run("agent", "go")).output


@make_tool(idempotent=True, timeout=20)
async def patient(ctx: ToolContext) -> int:
    """Do many things in turn, none of which may take long."""

    async def fetch(number: int) -> int:
        await asyncio.sleep(0.2)
        return number

    total = 0
    for number in range(20):
        total += await asyncio.wait_for(fetch(number), 1)
        total += await asyncio.create_task(fetch(number))
    return total


@make_tool(idempotent=True, timeout=5)
def patient_in_a_thread(ctx: SyncToolContext) -> str:
    """Do two things in a thread."""
    ctx.deps.sleep(1)
    first = ctx.step("first", lambda: ctx.deps.put("first", ctx.key_for("first"), "one"))
    ctx.deps.sleep(1)
    return f"{first}, two"


def test_another_order_lets_no_deadline_pass_that_would_not_pass_otherwise() -> None:
    agents = with_tools(patient, patient_in_a_thread)
    assert_survives_crashes(one_run, agents, orders=20, fates=["kill"], second_crashes=0)


async def result_of_a_run(client: Client) -> object:
    return await client.run("agent", "go")


async def results_of_runs_side_by_side(client: Client) -> object:
    return await asyncio.gather(*[client.run("agent", "go") for _ in range(3)])


@pytest.mark.parametrize("scenario", [result_of_a_run, results_of_runs_side_by_side])
def test_a_scenario_may_return_results_of_runs_whose_ids_are_drawn(scenario: Scenario) -> None:
    assert_survives_crashes(scenario, with_tools(note), fates=["kill"], second_crashes=0)


@make_tool(in_doubt="retry")
async def note(ctx: ToolContext) -> str:
    """Note something."""
    ctx.deps.record("note", ctx.idempotency_key)
    return "noted"


@make_tool(in_doubt="fail")
async def launch(ctx: ToolContext) -> str:
    """Launch, never twice."""
    ctx.deps.record("launch", ctx.idempotency_key)
    return "launched"


def asks_for_help_in_doubt(world: World) -> Sequence[Agent]:
    """An agent whose model does something else when it is told that nobody knows."""

    def answer(request: ModelRequest) -> Turn:
        last = request.messages[-1]
        if request.step == 0:
            return Turn(tool_calls=[ToolCall("launch")])
        if isinstance(last, ToolMessage) and last.error is not None:
            return Turn(tool_calls=[ToolCall("note")])
        return Turn("done")

    return [Agent("agent", model=ScriptedModel(answer), tools=[launch, note])]


def test_what_is_done_about_a_doubt_is_left_to_the_promise() -> None:
    def launched_or_noted(calm: Outcome, stormy: Outcome) -> None:
        assert stormy.returned == "done"
        assert sum(stormy.effects.values()) in (1, 2)

    assert_survives_crashes(
        one_run,
        asks_for_help_in_doubt,
        at_most_once=["launch"],
        promise=launched_or_noted,
        second_crashes=1,
    )


@make_tool(read_only=True)
async def ask(ctx: ToolContext) -> str:
    """Ask a person."""
    return await ctx.suspend("what", answer_type=str)


def test_who_looks_on_from_a_process_that_froze_idle_is_served_by_the_next_one() -> None:
    """It has nothing to write that would tell it that another one owns the log."""
    with Simulation(with_tools(ask)) as sim:
        run_id = sim.start("agent", "go")

        async def look_on() -> list[str]:
            return [type(event).__name__ async for event in sim.client.observe(run_id)]

        looking = sim.spawn(look_on())
        assert sim.result(run_id).status == "suspended"
        sim.advance("1s")
        sim.freeze()
        sim.run(lambda rt: rt.resume(run_id, "that"))
        assert sim.result(run_id).output == "done"
        sim.thaw()
        sim.advance("5s")
        assert looking.result()[-1] == "RunCompleted"
