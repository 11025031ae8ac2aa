"""People answer, agree, decline, resolve and cancel while processes are killed and frozen.

`--seconds N` says for how long; the default is what CI can afford.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.testing.kills import assert_survives_kills


@pytest.mark.parametrize(("seed", "processes"), [(1, 2), (2, 3)])
def test_what_people_say_to_processes_that_are_killed_is_heard_once(
    seed: int, processes: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    seconds = float(str(pytestconfig.getoption("--seconds"))) / 2
    report = assert_survives_kills(
        "tests.processes.questions:make",
        folder=tmp_path,
        seed=seed,
        seconds=seconds,
        processes=processes,
        freezes=0.4,
        every=0.25,
    )
    print(report)
    assert report.said > 0
    assert report.owners > 1
