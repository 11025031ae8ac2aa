"""Runs with background tasks survive a crash at each of their points, together."""

from __future__ import annotations

import pytest

from outlive.actors import TaskHooks
from outlive.projections import TaskInfo
from outlive.testing import World, assert_survives_crashes
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
