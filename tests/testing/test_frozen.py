"""A process that is frozen at a point stops just there; what follows it does when it is thawed."""

from __future__ import annotations

from collections.abc import Callable

from outlive.actors import Agent, ScriptedModel, SyncToolContext, ToolCall, ToolContext, Turn, tool
from outlive.testing import Client, Simulation, World, crash_points


@tool(in_doubt="retry")
async def look(ctx: ToolContext) -> str:
    """Look something up."""
    ctx.deps.record("look", ctx.idempotency_key)
    return "seen"


@tool(in_doubt="retry")
def look_in_thread(ctx: SyncToolContext) -> str:
    """Look something up, in a thread."""
    ctx.deps.record("look", ctx.idempotency_key)
    return "seen"


def looking(world: World) -> list[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("look")]), Turn("done")])
    return [Agent("agent", model=model, tools=[look])]


def looking_in_thread(world: World) -> list[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("look_in_thread")]), Turn("done")])
    return [Agent("agent", model=model, tools=[look_in_thread])]


async def one_run(client: Client) -> str:
    return (await client.run("agent", "go", run_id="one")).output


def frozen_at(point: str, agents: Callable[[World], list[Agent]]) -> Simulation:
    """Play a run whose first process is frozen at a point, until all is over."""
    number = next(p.number for p in crash_points(one_run, agents) if point in str(p))
    with Simulation(agents, crash_at={number: "freeze"}) as simulation:
        assert simulation.drive(one_run(simulation.client)) == "done"
        simulation.run_until_idle()
    return simulation


def who(simulation: Simulation) -> list[int]:
    """Return by which processes something was looked up, in order."""
    return [happened.process for happened in simulation.world.ledger]


def test_before_a_commit_nothing_is_written_and_later_it_is_refused() -> None:
    simulation = frozen_at("before commit ToolCallCompleted", looking)
    assert who(simulation) == [1, 2], "what came of the first was not recorded"


def test_after_a_commit_it_is_written() -> None:
    assert who(frozen_at("after commit ToolCallCompleted", looking)) == [1]


def test_before_an_effect_of_a_tool_in_a_thread_it_has_not_happened_yet() -> None:
    simulation = frozen_at("before effect 'look'", looking_in_thread)
    assert who(simulation) == [2, 1], "the first did it when another one had"


def test_before_a_model_call_the_model_has_not_been_asked_yet() -> None:
    def model_first(world: World) -> list[Agent]:
        return [Agent("agent", model=ScriptedModel([Turn("done")]))]

    simulation = frozen_at("before model call 0", model_first)
    passed = [point.what for point in simulation.points.passed if "model call 0" in point.what]
    assert passed[:2] == 2 * ["model call 0 of one"]
    assert passed.count("TextDelta of model call 0 of one") == 2
