"""Writes that are refused because another one was faster: what was decided is decided again."""

from __future__ import annotations

import asyncio
from itertools import groupby

from outlive.actors import Agent, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.testing import Simulation, World


@tool(in_doubt="retry")
async def wait(ctx: ToolContext) -> str:
    """Wait a second."""
    ctx.deps.record("waiting", ctx.idempotency_key)
    await asyncio.sleep(1)
    return "waited"


def waiting(world: World) -> list[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("wait")]), Turn(text="done")])
    return [Agent("agent", model=model, tools=[wait])]


def names(sim: Simulation, run_id: str) -> list[str]:
    """Each kind of event once, if there are some in a row."""
    return [name for name, _ in groupby(type(event).__name__ for event in sim.events(run_id))]


def test_a_recovery_whose_write_is_refused_is_decided_again() -> None:
    with Simulation(waiting) as sim:
        run_id = sim.start("agent", "go")
        sim.loop.run_until(lambda: bool(sim.world.ledger))
        sim.crash()
        sim.disk.overtake()
        assert sim.result(run_id).output == "done"
        assert names(sim, run_id)[4:7] == ["ToolResultIgnored", "RunRecovered", "ToolCallStarted"]


def test_an_outcome_whose_write_is_refused_is_recorded_all_the_same() -> None:
    with Simulation(waiting) as sim:
        run_id = sim.start("agent", "go")
        sim.loop.run_until(lambda: bool(sim.world.ledger))
        sim.disk.overtake()
        assert sim.result(run_id).output == "done"
        assert names(sim, run_id)[4:6] == ["ToolResultIgnored", "ToolCallCompleted"]
        assert sim.world.count("waiting") == 1
