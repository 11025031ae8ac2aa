"""Runs survive a crash at each of their points, and the sweep says when they do not."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import pytest

from outlive.actors import Agent, EchoModel, ScriptedModel, Tool, ToolCall, ToolContext, Turn, tool
from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.run import entity
from outlive.actors.run.commands import CompleteToolCall, RunCommand
from outlive.actors.run.decide import decide
from outlive.events import RunEvent, RunState
from outlive.testing import Client, SimulationFailed, World, assert_survives_crashes
from tests.actors import worker_tools
from tests.testing.scenarios import CASES, Case, sweep
from tests.testing.scenarios_people import PEOPLE


@pytest.mark.parametrize("case", [*CASES, *PEOPLE], ids=lambda case: case.name)
def test_a_run_survives_a_crash_at_every_point(case: Case) -> None:
    swept = sweep(case)
    print(f"{case.name}: {swept}")
    assert swept.deaths >= 2 * len(swept.points)


def test_a_run_whose_actor_fails_and_is_rebuilt_survives_crashes_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed: dict[int, RunCommand] = {}

    def decide_badly(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
        if isinstance(command, CompleteToolCall) and id(command) not in failed:
            failed[id(command)] = command
            raise ZeroDivisionError("as each result comes in")
        return decide(state, command)

    monkeypatch.setattr(entity.RUN, "decide", decide_badly)
    case = next(case for case in CASES if case.name == "parallel tools")
    swept = assert_survives_crashes(case.play, case.agents, second_crashes=1)
    assert swept.deaths >= 2 * len(swept.points)


def test_nothing_of_a_process_that_died_stays_in_memory() -> None:
    def alive() -> int:
        gc.collect()
        return sum(isinstance(one, EventSourcedActor) for one in gc.get_objects())

    # given: what other tests have left
    before = alive()
    # when: many processes die, with commits and tools on their way
    case = next(case for case in CASES if case.name == "parallel tools")
    assert assert_survives_crashes(case.play, case.agents).deaths > 20
    # then
    assert alive() <= before


def test_tools_in_processes_of_their_own_survive_crashes_too() -> None:
    def agents(world: World) -> list[Agent]:
        calls = [ToolCall("gathers", {"n": 3}), ToolCall("whoami", {"n": 2})]
        model = ScriptedModel([Turn(tool_calls=calls), Turn("done")])
        tools: list[Tool[..., Any]] = [worker_tools.gathers, worker_tools.whoami]
        return [Agent("agent", model=model, tools=tools)]

    swept = assert_survives_crashes(one_run, agents, second_crashes=1)
    assert swept.deaths >= 2 * len(swept.points)


async def nothing(client: Client) -> None:
    """Do nothing."""


def test_a_scenario_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="does nothing"):
        assert_survives_crashes(nothing, [Agent("agent", model=EchoModel())])


@tool(in_doubt="retry")
async def send(ctx: ToolContext) -> str:
    """Send a mail, under a new key each time."""
    ctx.deps.record("mail", f"{ctx.idempotency_key} {ctx.attempt}")
    return "sent"


def careless(world: World) -> Sequence[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("send")]), Turn(text="done")])
    return [Agent("agent", model=model, tools=[send])]


async def one_run(client: Client) -> str:
    return (await client.run("agent", "go", run_id="one")).output


def test_a_failure_says_what_where_and_how_to_see_it_again() -> None:
    with pytest.raises(SimulationFailed) as failed:
        assert_survives_crashes(one_run, careless)
    text = str(failed.value)
    assert "effect 'mail' happened under 2 keys, without a crash under 1" in text
    assert "seed 0\nkill at point 9, after effect 'mail'" in text
    assert "owner 2 run-one v5 RunRecovered" in text
    here = "tests/testing/test_sweep.py::test_a_failure_says_what_where_and_how_to_see_it_again"
    assert f"pytest {here} --outlive-seed=0 --outlive-crash-points=9:kill" in text
