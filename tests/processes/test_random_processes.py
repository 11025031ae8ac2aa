"""Three real processes on one folder, killed and frozen at random instants.

`--seconds N` says for how long; the default is what CI can afford.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.testing.kills import assert_survives_kills

SEEDS = (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_killed_and_frozen_at_random_lose_nothing_and_do_nothing_twice(
    seed: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    seconds = float(str(pytestconfig.getoption("--seconds"))) / len(SEEDS)
    report = assert_survives_kills(
        "tests.testing.killed_agents:make",
        folder=tmp_path,
        seed=seed,
        seconds=seconds,
        processes=3,
        freezes=0.5,
        every=0.25,
        inputs=("pay", "mail", "book"),
    )
    print(report)
    assert report.owners > 1
    assert report.freezes > 1
