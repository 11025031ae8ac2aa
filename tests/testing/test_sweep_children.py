"""Runs with child runs survive a crash at each of their points, together."""

from __future__ import annotations

import pytest

from outlive.testing import assert_survives_crashes
from tests.testing.scenarios import Case
from tests.testing.scenarios_children import CHILDREN


@pytest.mark.parametrize("case", CHILDREN, ids=lambda case: case.name)
def test_a_family_of_runs_survives_a_crash_at_every_point(case: Case) -> None:
    sweep = assert_survives_crashes(
        case.play,
        case.agents,
        at_most_once=case.at_most_once,
        promise=case.promise,
        second_crashes=case.second_crashes,
    )
    print(f"{case.name}: {sweep}")
    assert sweep.deaths >= 2 * len(sweep.points)
