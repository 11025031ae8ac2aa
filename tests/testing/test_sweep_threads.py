"""Threads and the runs on them survive a crash at each of their points, together."""

from __future__ import annotations

import pytest

from outlive.testing import assert_survives_crashes
from tests.testing.scenarios import Case
from tests.testing.scenarios_threads import THREADS


@pytest.mark.parametrize("case", THREADS, ids=lambda case: case.name)
def test_a_thread_and_its_runs_survive_a_crash_at_every_point(case: Case) -> None:
    sweep = assert_survives_crashes(
        case.play,
        case.agents,
        at_most_once=case.at_most_once,
        promise=case.promise,
        second_crashes=1,
    )
    print(f"{case.name}: {sweep}")
    assert sweep.deaths >= 2 * len(sweep.points)
