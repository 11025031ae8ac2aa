"""A process is killed at each point there is; what another one finds is whole."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import pytest

from outlive.events import failpoints
from outlive.events.lmdb_store import LmdbLog
from outlive.events.lmdb_store.durability import Durability
from outlive.testing.kills import Victim
from tests.events.chain import first_broken
from tests.events.killed_at import append, entry_of, events_of, stream_of, victim
from tests.events.lmdb_files import blob_problems, stored_records

HERE = {"append", "batch"}
"""Groups whose points `killed_at.victim` comes by, and is killed there."""

ELSEWHERE = {"command", "owner", "offset", "view"}
"""Groups whose points are come by in tests/processes/test_kills_at_points.py."""

POINTS = [name for name in failpoints.NAMES if name.partition(".")[0] not in ELSEWHERE]


def killed(
    path: Path, point: str, nth: int, durability: Durability = "sync"
) -> dict[str, list[int]]:
    """Have a process append until it dies at the point; return what it told, by word."""
    process = Victim(victim, str(path), point, nth, durability)
    told: dict[str, list[int]] = {"asked": [], "told": [], "followed": []}
    try:
        with suppress(EOFError):
            while True:
                word, number = process.hear(*told, timeout=60)
                told[word].append(number)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.end()
    return told


@pytest.mark.parametrize("nth", [1, 2, 17])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_leaves_all_that_was_acknowledged_and_nothing_in_halves(
    tmp_path: Path, point: str, nth: int
) -> None:
    check(tmp_path, killed(tmp_path, point, nth))


@pytest.mark.parametrize("point", ["batch.committed", "batch.answered", "append.queued"])
def test_a_relaxed_log_loses_nothing_by_a_kill_either(tmp_path: Path, point: str) -> None:
    check(tmp_path, killed(tmp_path, point, 40, "relaxed"))


def check(path: Path, found: dict[str, list[int]]) -> None:
    """Compare what a process had told with what is there, and go on with it."""
    asked, told = len(found["asked"]), len(found["told"])

    log = LmdbLog(path)
    assert (log.epoch, log.clean) == (2, False)
    there = int(log.head)
    assert told <= there <= asked
    assert len(found["followed"]) <= there
    for number, record in enumerate(log.read_all(limit=10_000), 1):
        assert record.stream == stream_of(number)
        assert list(record.events) == events_of(number)
        assert record.commit_id == number.to_bytes(16, "big")
    last = {stream_of(number): number for number in range(1, there + 1)}
    rows = {stream: entry_of(number) for stream, number in last.items()}
    assert dict(log.open_entries()) == {stream: row for stream, row in rows.items() if row}

    for number in range(told + 1, asked + 1):  # Unacknowledged: it may be in, or not.
        assert append(log, number).result(20).position == number
    assert log.head == asked
    append(log, asked + 1).result(20)
    log.close()
    assert first_broken(stored_records(path)) is None
    assert blob_problems(path) == []
