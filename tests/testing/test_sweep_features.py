"""What agents can do besides calling tools survives a crash at each of its points."""

from __future__ import annotations

import pytest

from outlive.testing import assert_survives_crashes
from tests.testing.scenarios import Case
from tests.testing.scenarios_features import CASES, FUNCTIONS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_survives_a_crash_at_every_point(case: Case) -> None:
    sweep = assert_survives_crashes(
        case.play,
        case.agents,
        functions=FUNCTIONS,
        at_most_once=case.at_most_once,
        promise=case.promise,
        second_crashes=case.second_crashes,
    )
    print(f"{case.name}: {sweep}")
    assert sweep.deaths >= 2 * len(sweep.points)
