"""Runs with background tasks survive a crash at each of their points, together."""

from __future__ import annotations

import pytest

from tests.testing.scenarios import Case, sweep
from tests.testing.scenarios_tasks import TASKS


@pytest.mark.parametrize("case", TASKS, ids=lambda case: case.name)
def test_tasks_and_their_run_survive_a_crash_at_every_point(case: Case) -> None:
    swept = sweep(case)
    print(f"{case.name}: {swept}")
    assert swept.deaths >= 2 * len(swept.points)
