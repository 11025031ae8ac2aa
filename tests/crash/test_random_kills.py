"""One process at a time on a folder, killed with SIGKILL at random instants, again and again.

`--kills N` says how often (a share falls to each seed); the default is what CI can afford.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from outlive.events import LmdbReader, Recorded, RunCompleted, ToolCallCompleted, ToolStepCompleted
from outlive.events.ids import id_of
from outlive.projections import read_run, run_result
from outlive.testing.kills import Ledger, assert_survives_kills, records_of
from tests.crash import moles

SEEDS = (1, 2, 3, 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_killed_whenever_nothing_acknowledged_is_lost_and_nothing_done_twice(
    seed: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills: int = int(str(pytestconfig.getoption("--kills"))) // len(SEEDS)
    report = assert_survives_kills(
        "tests.crash.moles:make",
        folder=tmp_path,
        seed=seed,
        kills=kills,
        processes=1,
        freezes=0,
        runs_at_once=8,
        every=0.15,
        inputs=[f"task {number}" for number in range(9)],
    )
    print(report)
    assert report.opened > 1
    assert report.recoveries > 0, "the kills hit nothing"
    reader = LmdbReader(tmp_path / "log")
    runs = {
        id_of(record.stream): read_run(reader, id_of(record.stream))
        for record in records_of(reader)
        if record.first_version == 1
    }
    for run_id, events in runs.items():
        assert run_result(reader, run_id).output == f"{run_id} has walked and dug"
        assert any(isinstance(each.event, RunCompleted) for each in events)
        completed = {
            each.event.call_id for each in events if isinstance(each.event, ToolCallCompleted)
        }
        assert len(completed) == 2 * moles.TURNS
    reader.close()
    check_account(tmp_path, runs)


def check_account(folder: Path, runs: dict[str, list[Recorded]]) -> None:
    """The outside world's account: what was seen to be durable was never done again."""
    stepped: set[tuple[object, ...]] = set()
    completed: set[tuple[object, ...]] = set()
    keys: defaultdict[tuple[object, ...], set[object]] = defaultdict(set)
    ledger = Ledger(folder / "ledger")
    for line in ledger.account.lines():
        match line:
            case ("body", run_id, call_id, key):
                assert (run_id, call_id) not in completed, f"{line}: completed before"
                keys[run_id, call_id].add(key)
            case ("step", *step):
                assert tuple(step) not in stepped, f"{line}: was done before"
            case ("stepped", *step):
                stepped.add(tuple(step))
            case ("seen", str(run_id), int(version), _):
                match runs[run_id][version - 1].event:
                    case ToolCallCompleted(call_id=call_id):
                        completed.add((run_id, call_id))
                    case ToolStepCompleted(call_id=call_id, key=key):
                        stepped.add((run_id, call_id, key))
                    case _:
                        pass
            case _:
                pass
    ledger.close()
    assert stepped
    assert completed
    assert all(len(found) == 1 for found in keys.values()), "a key changed between attempts"
    every = {key for found in keys.values() for key in found}
    assert len(every) == len(keys), "two calls share a key"
