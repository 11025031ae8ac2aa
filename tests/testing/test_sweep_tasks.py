"""Runs with background tasks survive a crash at each of their points, together."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest

from outlive.actors import Agent, Background, ScriptedModel, TaskHooks, ToolCall, Turn
from outlive.events import AlreadyOver
from outlive.projections import TaskInfo
from outlive.testing import Simulation, World, assert_survives_crashes
from tests.testing.scenarios import Case, sweep
from tests.testing.scenarios_tasks import TASKS, crawl, for_the_runtime


@pytest.mark.parametrize("case", TASKS, ids=lambda case: case.name)
def test_tasks_and_their_run_survive_a_crash_at_every_point(case: Case) -> None:
    swept = sweep(case)
    print(f"{case.name}: {swept}")
    assert swept.deaths >= 2 * len(swept.points)


def test_tools_and_hooks_of_the_runtime_survive_too() -> None:
    worlds: list[World] = []

    def deps(world: World) -> World:
        worlds.append(world)
        return world

    def heard(info: TaskInfo) -> None:
        worlds[-1].record("heard", f"{info.tool} {info.status}")

    swept = assert_survives_crashes(
        for_the_runtime,
        [],
        deps=deps,
        tools=[crawl],
        task_hooks=TaskHooks(on_task_complete=heard),
        second_crashes=1,
    )
    assert swept.deaths >= 2 * len(swept.points)


@pytest.mark.parametrize("detached", [False, True])
def test_a_run_may_be_cancelled_before_its_task_has_begun_and_at_any_other_time(
    detached: bool,
) -> None:
    def agents(world: World) -> list[Agent]:
        calls = [ToolCall("crawl", {"seconds": 5.0})]
        model = ScriptedModel([Turn(tool_calls=calls), Turn("done")])
        background = {"crawl": Background(detached=detached)}
        return [Agent("agent", model=model, tools=[crawl], background=background)]

    ends: Counter[str] = Counter()
    for steps in range(40):
        with Simulation(agents, seed=2) as simulation:
            simulation.start("agent", "go", run_id="one")
            simulation.go_on(steps)
            with suppress(AlreadyOver):
                simulation.drive(simulation.client.cancel("one"))
            simulation.run_until_idle()
            if simulation.task_events("one:0.0"):
                info = simulation.run(lambda rt: rt.tasks.get("one:0.0"))
                ends[info.status] += 1
    assert "succeeded" in ends if detached else "cancelled" in ends
    assert not (detached and "cancelled" in ends)
