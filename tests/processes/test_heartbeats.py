"""A heartbeat that is due each second, while the processes that own it are killed in turn.

`--seconds N` says for how long; the default is what CI can afford.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outlive.events import (
    FireSkipped,
    HeartbeatFired,
    InstantsPassed,
    LmdbReader,
    RunStarted,
    heartbeat_stream,
)
from tests.processes.conftest import Member
from tests.support.views import records_of

SECOND = 1_000_000_000


@pytest.mark.slow
def test_each_second_has_one_decision_whoever_is_killed(
    process: Callable[..., Member], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    seconds = float(str(pytestconfig.getoption("--seconds"))) / 2
    members = [process(), process()]
    for member in members:
        member.hear("open")
    fields = {"agent_id": "echo", "prompt": "p", "cron": "* * * * * *", "timezone": "UTC"}
    members[0].say("create heartbeat", "h", fields)
    assert members[0].hear("created") == ("created", "hb_h", "active")
    ends = time.monotonic() + seconds
    killed = 0
    while time.monotonic() < ends or killed < 2:
        _fires_some_more(tmp_path / "data", 2)
        members.pop(0).kill()
        killed += 1
        members.append(process())
        members[-1].hear("open")
    _fires_some_more(tmp_path / "data", 2)

    reader = LmdbReader(tmp_path / "data")
    decided, runs = _decisions(reader), _runs(reader)
    reader.close()
    instants = sorted(instant for first, last in decided for instant in range(first, last + 1))
    whole = list(range(instants[0], instants[-1] + 1))
    assert instants == whole, "an instant was lost, or decided twice"
    assert len(runs) == len(set(runs)), "a fire was run twice"


def _fires_some_more(data: Path, number: int) -> None:
    """Wait until so many fires more are on record."""

    async def wait() -> None:
        reader = LmdbReader(data)
        stream, left = heartbeat_stream("hb_h"), number
        async with asyncio.timeout(30), reader.follow(stream, after=reader.version(stream)) as it:
            async for recorded in it:
                left -= isinstance(recorded.event, HeartbeatFired)
                if not left:
                    break
        reader.close()

    asyncio.run(wait())


def _decisions(reader: LmdbReader) -> list[tuple[int, int]]:
    """Return the instants with a decision, in seconds: first and last of each."""
    found: list[tuple[int, int]] = []
    stream, after = heartbeat_stream("hb_h"), reader.version(heartbeat_stream("none"))
    while page := reader.read(stream, after=after):
        for recorded in page:
            event = recorded.event
            if isinstance(event, HeartbeatFired | FireSkipped):
                found.append((event.due_ns // SECOND, event.due_ns // SECOND))
            elif isinstance(event, InstantsPassed):
                found.append((event.first_ns // SECOND, event.last_ns // SECOND))
                assert event.count == event.last_ns // SECOND - event.first_ns // SECOND + 1
        after = page[-1].version
    return found


def _runs(reader: LmdbReader) -> list[int]:
    """Return the fires whose runs have begun."""
    return [
        event.fire.fire
        for record in records_of(reader)
        for event in record.events
        if isinstance(event, RunStarted) and event.fire is not None
    ]
