"""The disk that simulated processes share, and the log through which each of them uses it.

A log has a queue that dies with its process, as the real writer's does. What has queued up is
written in one transaction after a moment drawn from the seed, and told after that. With
`durability="relaxed"`, what was written last is not yet synced and a loss of power takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from outlive.events import (
    CODEC,
    CallId,
    Clock,
    Codec,
    Event,
    Fenced,
    LogError,
    LogFailed,
    LogParked,
    OutliveError,
    Record,
    ToolResultIgnored,
)
from outlive.events.commit import Commit, deliver_all
from outlive.events.lmdb_store.durability import Durability
from outlive.events.memory import MemoryLog
from outlive.events.memory_store import MemoryStore
from outlive.events.store import Admitted, admit
from outlive.testing._simulation.loop import SimulationLoop
from outlive.testing._simulation.points import KEPT, Points
from outlive.testing._simulation.process import Process

_LATENCIES: Final = (0.0, 0.0, 0.000_1, 0.000_4, 0.002, 0.02)
"""Seconds from an append to the flush that takes it, of which one is drawn."""


_MORE: Final = 9
_OVERTAKING: Final = ToolResultIgnored(call_id=CallId("0.0"), attempt=0, outcome="failed")


class Disk:
    """What outlives every process. `fail`, `overtake`, `fill`, `stall` make it misbehave."""

    def __init__(
        self,
        *,
        random: Random,
        points: Points,
        durability: Durability = "sync",
        codec: Codec = CODEC,
    ) -> None:
        self.store = MemoryStore(codec=codec, log_id="simulated")
        self.clean = True
        self.writes = 0  # transactions
        self._random = random
        self._points = points
        self._relaxed = durability == "relaxed"
        self._synced = 0
        self._journal: list[tuple[Admitted, int]] = []  # what a loss of power is undone with
        self._fails: list[bool] = []
        self._overtaking: list[Event] = []
        self._stalled = False
        self._full = False
        self._waiting: dict[SimulatedLog, None] = {}

    def fail(self, *, after_write: bool = False) -> None:
        """Make the next write fail, as a bad disk does; its process cannot write any more.

        Args:
            after_write: it is in all the same, and nobody knows.
        """
        self._fails.append(after_write)

    def overtake(self, event: Event = _OVERTAKING) -> None:
        """Let another one append just ahead of the next write to a stream that exists.

        That write is refused with `WrongExpectedVersion`, and so is all that was decided upon
        it; who has decided reads the stream anew. What is appended is one record, of `event` so
        often that nothing on its way has a version that fits by chance. Left out, it is an event
        that changes nothing.
        """
        self._overtaking.append(event)

    def fill(self) -> None:
        """Leave no space: what is appended waits from now on, and starts are refused."""
        self._full = True

    def free(self) -> None:
        """There is space again."""
        self._full = False
        self._go_on()

    def stall(self) -> None:
        """Let writes take for ever from now on."""
        self._stalled = True

    def go_on(self) -> None:
        """Let writes go on."""
        self._stalled = False
        self._go_on()

    def mend(self) -> None:
        """Nothing is wrong with it any more: it has space, and no write fails or waits."""
        self._fails.clear()
        self._stalled = self._full = False
        self._go_on()

    @property
    def full(self) -> bool:
        """Whether there is no space."""
        return self._full

    def _go_on(self) -> None:
        if not self._stalled and not self._full:
            waiting, self._waiting = self._waiting, {}
            for log in waiting:
                log.flush_later()

    def latency(self) -> float:
        """Draw how long a write waits."""
        return self._random.choice(_LATENCIES)

    def lose_power(self) -> int:
        """Forget what was not synced; return how many commits that were."""
        if not self._relaxed:
            return 0
        lost = len(self._journal) - self._synced
        if lost:
            kept = self._journal[: self._synced]
            store = MemoryStore(codec=self.store.codec, log_id=self.store.log_id)
            for admitted, epoch in kept:
                store.apply(admitted, epoch)
            store.epoch, store.offsets = self.store.epoch, self.store.offsets
            self.store, self._journal = store, kept
        return lost

    def may_write(self, log: SimulatedLog, what: str) -> bool:
        """Whether a process goes on to write; or it dies over it, or is frozen."""
        return self._points.come_by(log.process, "before", what) and log.process.goes_on

    def write(
        self, log: SimulatedLog, batch: list[Admitted], what: str
    ) -> list[Record] | LogError | None:
        """Write a batch of one owner's and settle its commits. `what` is said of the point.

        Returns:
            The records that were made; an error, if the write failed; None, if its process died
            over it.
        """
        if log.epoch != self.store.epoch:
            return Fenced(log.epoch, self.store.epoch)
        failing = self._fails.pop(0) if self._fails else None
        if failing is False:
            return LogFailed("the disk failed, as the simulation was told to make it")
        records: list[Record] = []
        for admitted in batch:
            for one in (*self._ahead_of(admitted[0], batch), admitted):
                record = self.store.apply(one, log.epoch)
                if record is not None:
                    records.append(record)
                if self._relaxed:
                    self._journal.append((one, log.epoch))
        self.writes += 1
        if self._relaxed and self._random.random() < 0.5:
            self._synced = len(self._journal)
        if failing:
            for admitted in batch:
                admitted[0].outcome = None
            return LogFailed("the disk failed after it had written, as the simulation was told")
        return records if self._points.come_by(log.process, "after", what) else None

    def _ahead_of(self, commit: Commit, batch: list[Admitted]) -> list[Admitted]:
        """Return what gets in ahead of a commit."""
        version = self.store.version(commit.stream)
        if not self._overtaking or not commit.events or not version:
            return []
        event = self._overtaking.pop(0)
        on_their_way = sum(len(it[0].events) for it in batch if it[0].stream == commit.stream)
        return [
            admit(
                self.store.codec,
                Commit(
                    stream=commit.stream,
                    events=(event,) * (on_their_way + _MORE),
                    expected_version=version,
                    recorded_at_ns=commit.recorded_at_ns,
                ),
            )
        ]

    def wait(self, log: SimulatedLog) -> bool:
        """Whether a log has to wait; it is told when it can go on."""
        if self._stalled or self._full:
            self._waiting[log] = None
            return True
        return False


class SimulatedLog(MemoryLog):
    """A process's log on a `Disk`."""

    def __init__(self, disk: Disk, process: Process, loop: SimulationLoop, clock: Clock) -> None:
        super().__init__(clock=clock, store=disk.store, clean=disk.clean)
        disk.clean = False
        self.process: Final = process
        self._disk = disk
        self._loop = loop
        self._queue: list[Admitted] = []
        self._flushing = False
        self._failure: LogError | None = None
        self._on_failure: list[Callable[[LogError], None]] = []

    @property
    def trouble(self) -> OutliveError | None:
        """Why appends wait for the time being."""
        return LogParked("simulated", "the disk is full") if self._disk.full else None

    def on_failure(self, callback: Callable[[LogError], None]) -> None:
        """Call `callback` when this owner cannot write any more."""
        self._on_failure.append(callback)

    def _take(self, admitted: Admitted) -> None:
        if not self.process.alive:
            return  # It is the same as if it had not been called.
        if self._failure is not None:
            admitted[0].error = self._failure
            deliver_all((admitted[0],), self._deliver)
            return
        self._queue.append(admitted)
        self.flush_later()

    def flush_later(self) -> None:
        """Write what has queued up, after a moment."""
        if not self._flushing and self._queue:
            self._flushing = True
            context = self.process.context.copy()
            self._loop.call_later(self._disk.latency(), self._flush, context=context)

    def _flush(self) -> None:
        self._flushing = False
        if self._disk.wait(self):
            return
        batch, self._queue = self._queue, []
        commits = [admitted[0] for admitted in batch]
        what = f"commit {describe(commits)}"
        if not self._disk.may_write(self, what):
            self._queue = batch  # Of one that is frozen: it goes on from here.
            self.flush_later()
            return
        written = self._disk.write(self, batch, what)
        if written is None:
            return
        if isinstance(written, LogError):
            self._fail(commits, written)
            return
        deliver_all(commits, self._deliver)
        wanted = [record for record in written if self._feed.wants(record.stream)]
        if wanted:
            self._feed.publish(wanted)
        self.flush_later()

    def look_who_owns_it(self) -> None:
        """Find out whether another process is the owner now, though there is nothing to write."""
        if self._failure is None and not self._closed and self.epoch != self.store.epoch:
            self._fail([], Fenced(self.epoch, self.store.epoch))

    def _fail(self, commits: list[Commit], error: LogError) -> None:
        """End it: settle these, all that is queued, and all that comes."""
        self._failure = error
        left = [*commits, *(admitted[0] for admitted in self._queue)]
        self._queue.clear()
        for commit in left:
            commit.error = error
        deliver_all(left, self._deliver)
        self._feed.end(error)
        for callback in self._on_failure:
            callback(error)

    def close(self) -> None:
        """Write what has queued up, in good order."""
        if not self._closed and self.process.alive and self._failure is None:
            while self._queue and self.process.goes_on and not self._disk.wait(self):
                self._flush()
            self._disk.clean = self._has_written_all()
        super().close()

    def _has_written_all(self) -> bool:
        """Whether nothing is left to write; a process that dies of its last write leaves it."""
        done = not self._queue and self.process.alive and self._failure is None
        return done and self.epoch == self.store.epoch


def describe(commits: list[Commit]) -> str:
    """Say what commits hold, for people."""
    text = ""
    for commit in commits:
        kinds = "+".join([type(event).__name__ for event in commit.events]) or "row"
        text += f"{', ' if text else ''}{kinds} of {commit.stream}"
        if len(text) > KEPT:
            break
    return text if len(text) <= KEPT else text[: KEPT - 1] + "…"
