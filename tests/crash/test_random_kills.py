"""Real processes, killed with SIGKILL at random instants, again and again.

`--kills N` says how often (a share falls to each seed); the default is what CI can afford.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from outlive.events import (
    LmdbLog,
    LmdbReader,
    Position,
    Record,
    RunCompleted,
    RunRecovered,
    RunStarted,
    ToolCallCompleted,
)
from outlive.events.ids import id_of
from outlive.projections import read_run
from tests.crash import worker

SEEDS = (1, 2, 3, 4)
# A fork server that has imported everything: a new process is up in milliseconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.crash.worker"])


class Kept:
    """What was acknowledged to this process, which is never killed."""

    def __init__(self) -> None:
        self.started: set[str] = set()
        self.results: dict[str, tuple[str, str]] = {}
        self.opened = 0

    def take(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("open",):
                self.opened += 1
            case ("started", run_id):
                self.started.add(run_id)
            case ("result", run_id, status, output):
                assert self.results.setdefault(run_id, (status, output)) == (status, output)
            case _:
                raise AssertionError(message)


def take_all(pipe: Connection, kept: Kept) -> None:
    """Take what the process sends, until it ends."""
    try:
        while pipe.poll(60):
            kept.take(pipe.recv())
    except EOFError:
        pass


def drain(pipe: Connection, kept: Kept) -> None:
    """Take what the process had sent before it died."""
    try:
        while pipe.poll():
            kept.take(pipe.recv())
    except (EOFError, OSError):
        pass


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_killed_whenever_nothing_acknowledged_is_lost_and_nothing_done_twice(
    seed: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills: int = int(str(pytestconfig.getoption("--kills"))) // len(SEEDS)
    rng, kept = random.Random(seed), Kept()
    worker_args = (str(tmp_path),)

    # given: a log, and an observer in a process of its own
    LmdbLog(tmp_path / "data").close()
    here, there = PROCESSES.Pipe()
    observing = PROCESSES.Process(target=worker.observer, args=(*worker_args, there), daemon=True)
    observing.start()
    assert here.recv() == "ready"

    # when: owners are killed at random instants: at start, in recovery, in the middle of work
    for round in range(kills):
        mine, theirs = PROCESSES.Pipe()
        process = PROCESSES.Process(
            target=worker.owner,
            args=(*worker_args, theirs, seed * 100_000 + round, False),
            daemon=True,
        )
        process.start()
        theirs.close()
        deadline = time.monotonic() + rng.choice((0.005, 0.03, 0.08, 0.15)) * rng.random() * 2
        while (left := deadline - time.monotonic()) > 0:
            if mine.poll(left):
                try:
                    kept.take(mine.recv())
                except EOFError:
                    break
        process.kill()
        process.join()
        drain(mine, kept)
        mine.close()

    # then: the last owner brings everything to its end
    (tmp_path / "ids").write_text("\n".join(sorted(kept.started)))
    mine, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(
        target=worker.owner, args=(*worker_args, theirs, 0, True), daemon=True
    )
    process.start()
    theirs.close()
    take_all(mine, kept)
    process.join(30)
    assert process.exitcode == 0
    assert kept.opened > 0
    assert set(kept.results) >= kept.started

    check_log(tmp_path, kept)
    check_account(tmp_path)
    check_observer(tmp_path, here, observing)


def check_log(folder: Path, kept: Kept) -> None:
    """Everything acknowledged is there, once, and every run is completed."""
    reader = LmdbReader(folder / "data")
    assert reader.open_entries() == []
    runs = {id_of(record.stream) for record in records_of(reader)}
    assert runs >= kept.started
    recovered = 0
    for run_id in runs:
        events = [recorded.event for recorded in read_run(reader, run_id)]
        expected = ("completed", f"{run_id} has walked and dug")
        assert kept.results.get(run_id, expected) == expected
        assert sum(isinstance(event, RunStarted) for event in events) == 1
        assert isinstance(events[0], RunStarted)
        assert events[0].input == f"task of {run_id}"
        assert isinstance(events[-1], RunCompleted)
        completed = Counter(e.call_id for e in events if isinstance(e, ToolCallCompleted))
        assert set(completed.values()) <= {1}
        assert len(completed) == 2 * worker.TURNS
        recovered += sum(isinstance(event, RunRecovered) for event in events)
    assert recovered > 0, "the kills hit nothing"
    reader.close()


def records_of(reader: LmdbReader) -> Iterator[Record]:
    """Return all records of the log."""
    after = Position(0)
    while page := reader.read_all(after=after):
        yield from page
        after = page[-1].position


def check_account(folder: Path) -> None:
    """The outside world's account: what was durable was never done again."""
    stepped: set[tuple[str, ...]] = set()
    completed: set[tuple[str, ...]] = set()
    keys: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for line in (folder / "account").read_text().splitlines():
        match line.split():
            case ["body", run_id, call_id, _, key]:
                assert (run_id, call_id) not in completed, f"{line}: completed before"
                keys[run_id, call_id].add(key)
            case ["step", *step]:
                assert tuple(step) not in stepped, f"{line}: was done before"
            case ["stepped", *step]:
                stepped.add(tuple(step))
            case ["completed", run_id, call_id]:
                completed.add((run_id, call_id))
            case ["over", _]:
                pass
            case _:
                raise AssertionError(line)
    assert stepped
    assert all(len(found) == 1 for found in keys.values()), "a key changed between attempts"
    every = {key for found in keys.values() for key in found}
    assert len(every) == len(keys), "two calls share a key"


def check_observer(folder: Path, pipe: Connection, process: Any) -> None:
    """The observer saw each event of the log once, in order, whoever had written it."""
    reader = LmdbReader(folder / "data")
    pipe.send(reader.head)
    process.join(30)
    assert process.exitcode == 0
    seen = [line.split() for line in (folder / "observed").read_text().splitlines()]
    expected: list[list[str]] = []
    versions: Counter[str] = Counter()
    for record in records_of(reader):
        for recorded in record.recorded():
            versions[recorded.stream] += 1
            assert recorded.version == versions[recorded.stream], "a version is missing"
            row = (recorded.stream, recorded.version, recorded.position)
            expected.append([str(word) for word in row])
    assert seen == expected
    reader.close()
