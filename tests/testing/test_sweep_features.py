"""What agents can do besides calling tools survives a crash at each of its points."""

from __future__ import annotations

import pytest

from tests.testing.scenarios import Case, sweep
from tests.testing.scenarios_features import CASES, FUNCTIONS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_survives_a_crash_at_every_point(case: Case) -> None:
    swept = sweep(case, functions=FUNCTIONS)
    print(f"{case.name}: {swept}")
    assert swept.deaths >= 2 * len(swept.points)
