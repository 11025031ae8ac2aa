"""Background tasks, many at once and many in line, while their processes are killed at random.

`--seconds N` says for how long; the default is what CI can afford.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.events import LmdbReader
from outlive.testing.kills import assert_survives_kills, records_of
from tests.processes.background import Order


@pytest.mark.parametrize(("seed", "processes", "freezes"), [(1, 1, 0.0), (2, 2, 0.3)])
def test_tasks_of_processes_that_are_killed_end_once_are_told_once_and_keep_their_order(
    seed: int, processes: int, freezes: float, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    seconds = float(str(pytestconfig.getoption("--seconds"))) / 2
    report = assert_survives_kills(
        "tests.processes.background:make",
        folder=tmp_path,
        seed=seed,
        seconds=seconds,
        processes=processes,
        freezes=freezes,
        every=0.5,
        runs_at_once=14 // processes,
    )
    print(report)
    assert report.owners > 1
    assert report.tasks_at_once > 10
    reader = LmdbReader(tmp_path / "log")
    order = Order(records_of(reader))
    reader.close()
    print(f"{order.longest} in line, {order.in_turn} starts in turn")
    assert not order.problems, "\n".join(order.problems)
    assert order.longest > 20
    assert order.in_turn > 20
