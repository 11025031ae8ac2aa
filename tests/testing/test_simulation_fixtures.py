"""The pytest fixtures around simulations."""

from __future__ import annotations

from collections.abc import Callable

from outlive.actors import Agent, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.testing import Agents, Client, Point, Scenario, SimulationFactory, World


@tool(in_doubt="retry")
async def greet(ctx: ToolContext) -> str:
    """Greet somebody."""
    ctx.deps.record("greeting", ctx.idempotency_key)
    return "hello"


def agents(world: World) -> list[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("greet")]), Turn(text="greeted")])
    return [Agent("greeter", model=model, tools=[greet])]


def test_a_simulation_is_driven_from_a_plain_test(
    simulation: SimulationFactory, world: World
) -> None:
    sim = simulation(agents)
    run_id = sim.start("greeter", "go")
    sim.crash()
    sim.advance("3d")
    assert sim.result(run_id).output == "greeted"
    (_,) = world.counts("greeting")  # twice at most, under one key
    assert sim.clock.now.day == 4


def test_the_points_of_a_scenario_can_be_gone_through_by_hand(
    simulation: SimulationFactory,
    crash_points: Callable[[Scenario, Agents], list[Point]],
) -> None:
    async def scenario(client: Client) -> str:
        return (await client.run("greeter", "go")).output

    points = crash_points(scenario, agents)
    assert [point.number for point in points] == list(range(1, len(points) + 1))
    for point in points:
        sim = simulation(agents, crash_at={point.number: "kill"})
        assert sim.drive(scenario(sim.client)) == "greeted"
        assert sim.deaths == 1


def test_a_scenario_with_stand_ins_has_points_too(
    crash_points: Callable[..., list[Point]],
) -> None:
    async def scenario(client: Client) -> str:
        return (await client.run("greeter", "go")).output

    made: list[World] = []

    def deps(world: World) -> World:
        made.append(world)
        return world

    assert crash_points(scenario, agents, deps=deps)
    assert made


def test_simulations_may_share_a_world_side_by_side(
    simulation: SimulationFactory, world: World
) -> None:
    doomed, other = simulation(agents, crash_at={9: "kill"}), simulation(agents)
    assert other.result(other.start("greeter", "go", run_id="other")).output == "greeted"
    assert doomed.result(doomed.start("greeter", "go", run_id="doomed")).output == "greeted"
    assert (doomed.deaths, other.deaths) == (1, 0)
    assert sorted(world.counts("greeting").values()) == [1, 2]
