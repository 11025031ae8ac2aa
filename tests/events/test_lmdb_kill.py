"""A process that appends is killed at random instants; what it had acknowledged is there."""

from __future__ import annotations

import random
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from outlive.events import ModelDelta, Position, Recorded, StreamId, Version, run_stream
from outlive.events.lmdb_store import LmdbLog
from outlive.events.lmdb_store.verify import verify_here
from outlive.testing.kills import Victim
from tests.events.appender import append
from tests.events.chain import first_broken
from tests.events.compacting import append_and_compact
from tests.events.lmdb_files import blob_problems, stored_records


def rounds(config: pytest.Config) -> int:
    """Each test takes a share of the kills; the later ones read ever longer logs."""
    return int(str(config.getoption("--kills"))) // 10


def killed_after(
    path: Path,
    seed: int,
    commits: int,
    program: Callable[[Connection, str, int], None] = append,
) -> dict[StreamId, int]:
    """Let it append, kill it once it has told that many commits, return what it told."""
    process = Victim(program, str(path), seed)
    told = [process.hear("told") for _ in range(commits)]
    assert process.kill()
    told += process.heard()
    process.end()
    acknowledged: dict[StreamId, int] = {}
    for _, stream, version in told:
        acknowledged[stream] = max(acknowledged.get(stream, 0), version)
    return acknowledged


def test_what_was_acknowledged_survives_a_kill_at_any_instant(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    chance = random.Random(7)
    acknowledged: dict[StreamId, int] = {}
    for round_number in range(rounds(pytestconfig)):
        # From before the first append on: the epoch is told first.
        told = killed_after(tmp_path, round_number, chance.choice((1, 2, 20, 200, 400)))
        assert told.pop(StreamId("epoch")) == 2 * round_number + 1
        acknowledged.update(told)

        log = LmdbLog(tmp_path)
        assert not log.clean or round_number == 0
        assert log.epoch == 2 * round_number + 2
        for stream, version in acknowledged.items():
            assert log.version(stream) >= version
        versions: dict[StreamId, Version] = {}
        position, count = Position(0), 0
        while records := log.read_all(after=position, limit=10_000):
            position = records[-1].position
            for record in records:
                count += 1
                assert record.first_version == versions.get(record.stream, 0) + 1
                versions[record.stream] = record.last_version
        assert count == log.head
        for stream, version in versions.items():
            assert log.version(stream) == version
            found = log.read(stream, after=Version(max(version - 100, 0)))
            assert found[-1].version == version
        log.close()
        assert first_broken(stored_records(tmp_path)) is None
        assert blob_problems(tmp_path) == []


def test_a_kill_at_any_instant_of_a_compaction_leaves_a_valid_log(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    chance = random.Random(11)
    acknowledged: dict[StreamId, int] = {}
    dropped = 0
    for round_number in range(rounds(pytestconfig)):
        commits = chance.choice((1, 5, 20, 60))
        told = killed_after(tmp_path, round_number, commits, append_and_compact)
        assert told.pop(run_stream("epoch")) == 2 * round_number + 1
        dropped += told.pop(run_stream("compacted"), 0)
        acknowledged.update(told)

        assert verify_here(tmp_path).ok
        log = LmdbLog(tmp_path)
        for stream, version in acknowledged.items():
            assert log.version(stream) >= version
        facts = {stream: events_left(log, stream) for stream in acknowledged}
        log.compact()
        for stream, left in facts.items():
            kept = events_left(log, stream)
            # What stood between two of its parts goes now; nothing else does.
            assert [one for one in left if not isinstance(one.event, ModelDelta)] == [
                one for one in kept if not isinstance(one.event, ModelDelta)
            ]
            assert {one.version for one in kept} <= {one.version for one in left}
        log.close()
        assert verify_here(tmp_path).ok
    assert dropped


def events_left(log: LmdbLog, stream: StreamId) -> list[Recorded]:
    found: list[Recorded] = []
    while page := log.read(stream, after=found[-1].version if found else Version(0), limit=1_000):
        found += page
    return found
