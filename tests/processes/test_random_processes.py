"""Three real processes on one folder, killed and frozen at random instants.

`--seconds N` says for how long; the default is what CI can afford.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from outlive.events import (
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
from tests.processes.conftest import Member

Make = Callable[..., Member]

MEMBERS = 3
SEEDS = (1, 2)


class Driver:
    """Does things to the processes, and keeps what they acknowledged."""

    def __init__(self, make: Make, rng: random.Random) -> None:
        self._make = make
        self._rng = rng
        self.members: list[Member] = []
        self._thaw_at: dict[Member, float] = {}
        self.asked = 0
        self.acknowledged: set[str] = set()
        self.results: dict[str, str] = {}
        self.done: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()

    def play(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            while len(self.members) < MEMBERS:
                self.members.append(self._make(slow=0.1))
            for member, at in list(self._thaw_at.items()):
                if now >= at:
                    self.thaw(member)
            self.act(self._rng.choice(self.members))
            self.listen()
            time.sleep(self._rng.random() * 0.02)  # The processes' own time, not the test's.

    def act(self, member: Member) -> None:
        match self._rng.choices(("start", "again", "result", "freeze", "kill"), (60, 5, 20, 2, 1)):
            case ["start"]:
                self.asked += 1
                member.say("start", f"r{self.asked}", "worker")
            case ["again"] if self.asked:
                member.say("start", f"r{self._rng.randint(1, self.asked)}", "worker")
            case ["result"] if self.acknowledged:
                member.say("result", self._rng.choice(sorted(self.acknowledged)))
            case ["freeze"] if not member.frozen:
                member.freeze()
                self._thaw_at[member] = time.monotonic() + self._rng.choice((0.05, 0.3, 1.2))
                self.done["frozen"] += 1
            case ["kill"]:
                self._thaw_at.pop(member, None)
                member.kill()
                self.listen()
                self.members.remove(member)
                self.done["killed"] += 1
            case _:
                pass

    def thaw(self, member: Member) -> None:
        self._thaw_at.pop(member, None)
        member.thaw()

    def listen(self) -> None:
        for member in self.members:
            for message in member.heard():
                self.take(message)

    def take(self, message: tuple[object, ...]) -> None:
        match message:
            case ("started", str() as run_id, bool()):
                self.acknowledged.add(run_id)
            case ("result", str() as run_id, str() as status):
                assert status == "completed"
                self.results[run_id] = status
            case ("open", str() as role):
                self.roles[role] += 1
            case ("working", _):
                pass
            case ("error", "WriterStuck", _):
                self.done["stuck"] += 1  # Somebody was frozen within a transaction; it was told.
            case _:
                raise AssertionError(message)

    def finish(self) -> None:
        """Let all go on, and bring everything to its end."""
        for member in list(self._thaw_at):
            self.thaw(member)
        survivor = self._make(slow=0.1)
        self.members.append(survivor)
        survivor.hear("open")
        asked: set[str] = set()
        deadline = time.monotonic() + 60
        while not self.acknowledged <= set(self.results):
            assert time.monotonic() < deadline, sorted(self.acknowledged - set(self.results))
            # Others answer still, and a pipe holds only so much.
            for run_id in sorted(self.acknowledged - asked)[:20]:
                survivor.say("result", run_id)
                asked.add(run_id)
            self.listen()
            time.sleep(0.01)
        for member in self.members:
            member.say("close")


@pytest.mark.parametrize("seed", SEEDS)
def test_processes_killed_and_frozen_at_random_lose_nothing_and_do_nothing_twice(
    seed: int, process: Make, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    seconds = float(str(pytestconfig.getoption("--seconds"))) / len(SEEDS)
    driver = Driver(process, random.Random(seed))
    driver.play(seconds)
    driver.finish()
    for member in driver.members:
        while not any(message == ("closed",) for message in member.heard()):
            continue
    reader = LmdbReader(tmp_path / "data")
    records = records_of(reader)
    # No two owners ever wrote in turn.
    epochs = [record.epoch for record in records]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) > 1
    # What was acknowledged is there, and came to its end once.
    assert reader.open_entries() == []
    assert reader.submitted() == []
    runs = {id_of(record.stream) for record in records}
    assert driver.acknowledged <= runs
    recovered = 0
    for run_id in runs:
        events = [recorded.event for recorded in read_run(reader, run_id)]
        assert [type(event) for event in events].count(RunStarted) == 1
        assert isinstance(events[0], RunStarted)
        assert events[0].input == f"task of {run_id}"
        assert [type(event) for event in events].count(ToolCallCompleted) == 1
        assert isinstance(events[-1], RunCompleted)
        recovered += sum(isinstance(event, RunRecovered) for event in events)
    found = f"{len(set(epochs))} owners, {len(runs)} runs, {recovered} recoveries"
    print(f"{driver.asked} starts, {len(driver.acknowledged)} acknowledged; {found}", driver.done)
    reader.close()


def records_of(reader: LmdbReader) -> list[Record]:
    """Return all records of the log."""
    found: list[Record] = []
    while page := reader.read_all(after=found[-1].position if found else Position(0)):
        found += page
    return found
