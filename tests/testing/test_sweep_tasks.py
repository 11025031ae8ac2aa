"""Runs with background tasks survive a crash at each of their points, together."""

from __future__ import annotations

import pytest

from outlive.testing import assert_survives_crashes
from tests.testing.scenarios import Case
from tests.testing.scenarios_tasks import TASKS


@pytest.mark.parametrize("case", TASKS, ids=lambda case: case.name)
def test_tasks_and_their_run_survive_a_crash_at_every_point(case: Case) -> None:
    sweep = assert_survives_crashes(
        case.play,
        case.agents,
        at_most_once=case.at_most_once,
        promise=case.promise,
        second_crashes=case.second_crashes,
        background_tasks=case.background_tasks,
    )
    print(f"{case.name}: {sweep}")
    assert sweep.deaths >= 2 * len(sweep.points)
