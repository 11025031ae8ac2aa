"""A quarantined run is released from another process: done once, also without an owner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from outlive.events import (
    LmdbLog,
    LmdbReader,
    ModelCallStarted,
    OpenEntry,
    RunCompleted,
    RunRecovered,
    RunStarted,
    failpoints,
    run_stream,
)
from outlive.events.ids import NO_VERSION
from outlive.projections import read_run
from tests.processes.conftest import Member

Make = Callable[..., Member]
STREAM = run_stream("r")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which the run `r` is quarantined: it was taken up too often."""
    log = LmdbLog(tmp_path / "data")
    started = [
        RunStarted(agent_id="worker", input="go"),
        ModelCallStarted(model="scripted", messages=1),
    ]
    row = OpenEntry(kind="run", status="quarantined", owes=True, reason="too often")
    log.append(STREAM, started, expected_version=NO_VERSION, entry=row).result(5)
    log.close()
    return tmp_path / "data"


def opened(make: Make, **options: object) -> Member:
    member = make(**options)
    assert member.hear("open")[0] == "open"
    return member


def visitor(make: Make) -> Member:
    return opened(make, role="visitor", agents=False)


def release(member: Member, run_id: str = "r") -> object:
    return member.ask("steer", "release", run_id, {}, answer="steered")


def recoveries(folder: Path) -> int:
    """Return how often the run was taken up; it has come to its end, and nothing is left to do."""
    reader = LmdbReader(folder)
    try:
        events = [recorded.event for recorded in read_run(reader, "r")]
        assert isinstance(events[-1], RunCompleted)
        assert reader.submitted() == []
        assert reader.open_entries() == []
    finally:
        reader.close()
    return sum(isinstance(event, RunRecovered) for event in events)


def test_it_is_released_by_the_owner_for_a_visitor(process: Make, folder: Path) -> None:
    opened(process)
    asks = visitor(process)
    assert asks.ask("result", "r") == ("result", "r", "quarantined")
    assert release(asks) == ("steered", "release", True)
    assert asks.ask("result", "r") == ("result", "r", "completed")
    over = {"kind": "run", "run_id": "r", "status": "completed"}
    assert release(asks) == ("error", "NotQuarantined", over)
    assert release(asks, "nobody") == ("error", "RunNotFound", {"run_id": "nobody"})
    assert recoveries(folder) == 1


def test_without_an_owner_it_waits_for_the_next(process: Make, folder: Path) -> None:
    asks = visitor(process)
    assert release(asks) == ("steered", "release", False)
    assert asks.ask("result", "r") == ("result", "r", "quarantined")
    asks.say("observe", "r")
    opened(process)
    assert asks.hear("observed")[0] == "observed"
    assert recoveries(folder) == 1


def test_what_is_not_quarantined_is_told_without_an_owner_too(process: Make) -> None:
    owner = opened(process)
    asks = visitor(process)
    assert asks.ask("start", "r", "asking", answer="started")[0] == "started"
    assert asks.ask("result", "r") == ("result", "r", "suspended")
    owner.kill()
    waits = {"kind": "run", "run_id": "r", "status": "suspended"}
    assert release(asks) == ("error", "NotQuarantined", waits)


def test_one_whose_agent_is_not_there_is_blocked_from_then_on(process: Make, folder: Path) -> None:
    owner = opened(process, agents=False)
    asks = visitor(process)
    assert release(asks) == ("steered", "release", True)
    assert asks.ask("result", "r") == ("result", "r", "blocked")
    stays = {"kind": "run", "run_id": "r", "status": "blocked"}
    assert release(asks) == ("error", "NotQuarantined", stays)
    owner.ask("close", answer="closed")
    assert opened(process).ask("result", "r") == ("result", "r", "completed")
    assert recoveries(folder) == 1


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", [p for p in failpoints.NAMES if p.startswith("batch.")])
def test_an_owner_that_dies_while_it_releases_leaves_it_to_the_next(
    process: Make, folder: Path, point: str, nth: int
) -> None:
    owner = opened(process, die_at=(point, nth))
    stands_by = opened(process)
    stands_by.say("steer", "release", "r", {})
    owner.wait_for_death()
    assert stands_by.hear("steered")[:2] == ("steered", "release")
    stands_by.say("observe", "r")  # It may be released only when there is an owner again.
    assert stands_by.hear("observed")[0] == "observed"
    assert recoveries(folder) in (1, 2)  # The owner may have died after it took the run up.
