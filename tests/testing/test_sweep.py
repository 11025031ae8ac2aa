"""Runs survive a crash at each of their points, and the sweep says when they do not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from outlive.actors import Agent, EchoModel, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.testing import Client, SimulationFailed, World, assert_survives_crashes
from tests.testing.scenarios import CASES, Case
from tests.testing.scenarios_people import PEOPLE


@pytest.mark.parametrize("case", [*CASES, *PEOPLE], ids=lambda case: case.name)
def test_a_run_survives_a_crash_at_every_point(case: Case) -> None:
    sweep = assert_survives_crashes(
        case.play,
        case.agents,
        at_most_once=case.at_most_once,
        promise=case.promise,
        second_crashes=case.second_crashes,
    )
    print(f"{case.name}: {sweep}")
    assert sweep.deaths >= 2 * len(sweep.points)


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
    assert f"pytest '{here}' --outlive-seed=0 --outlive-crash-points=9:kill" in text
