"""Runs with child runs survive a crash at each of their points, together."""

from __future__ import annotations

import pytest

from tests.testing.scenarios import Case, sweep
from tests.testing.scenarios_children import CHILDREN


@pytest.mark.parametrize("case", CHILDREN, ids=lambda case: case.name)
def test_a_family_of_runs_survives_a_crash_at_every_point(case: Case) -> None:
    swept = sweep(case)
    print(f"{case.name}: {swept}")
    assert swept.deaths >= 2 * len(swept.points)
