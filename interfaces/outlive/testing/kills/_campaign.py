"""Kills and freezes processes that share a folder, at random instants, and begins them anew."""

from __future__ import annotations

import random
import signal
import time
from contextlib import suppress
from typing import Final

from outlive.events import failpoints
from outlive.testing.kills._disk import SmallDisk
from outlive.testing.kills._observer import observe
from outlive.testing.kills._plan import Plan
from outlive.testing.kills._victim import Victim
from outlive.testing.kills._worker import FAILED, finish, work

_LULLS: Final = (0.05, 0.3, 0.8, 1.5)  # shares of `every`: at opening, recovering, in the middle
_AT_A_POINT: Final = 0.1  # of the processes kill themselves at a point, rather than at an instant
_POINTS: Final = [name for name in failpoints.NAMES if not name.startswith("offset.")]
_AN_OBSERVER: Final = 0.05  # of the kills
_FULL: Final = 0.03  # of the strikes fill the disk, where there is one
_FROZEN: Final = (0.1, 0.6, 2.4)  # leases that one stays frozen
_FULL_S: Final = (0.05, 0.3, 1.0)


class Campaign:
    """What is done to the processes. Decisions come from the seed alone."""

    def __init__(self, plan: Plan, disk: SmallDisk | None) -> None:
        self._plan, self._disk = plan, disk
        self._rng = random.Random(plan.seed)
        self._workers: list[Victim] = []
        self._observer: Victim | None = None
        self._armed: set[Victim] = set()
        self._thaw_at: dict[Victim, float] = {}
        self._free_at = 0.0
        self._made = 0
        self.kills = self.freezes = self.full_disks = 0
        self._failed = False
        self.died: list[str] = []
        """What processes ended with that nobody has killed."""

    def play(self) -> float:
        """Kill and freeze, for as long as planned; return how many seconds that took."""
        begun = time.monotonic()
        end = None if self._plan.seconds is None else begun + self._plan.seconds
        try:
            while not self._is_enough(end):
                self._fill_up()
                self._let_live(self._plan.every * self._rng.choice(_LULLS) * self._rng.random() * 2)
                self._strike()
        finally:
            self._free_disk()
            for worker in self._workers:
                worker.end()
        return time.monotonic() - begun

    def _is_enough(self, end: float | None) -> bool:
        """Whether to stop: after what was planned, or at the first thing that should not be."""
        if self._failed:
            return True
        if end is not None and time.monotonic() >= end:
            return True
        return self._plan.kills is not None and self.kills >= self._plan.kills

    def finish(self) -> str:
        """Let one process finish everything. Returns why it did not; empty if it did."""
        self._made += 1
        finisher = Victim(finish, self._plan, self._made)
        try:
            code = finisher.wait(self._plan.finish_within)
        except TimeoutError:
            return f"one process alone did not finish within {self._plan.finish_within:g} s"
        finally:
            finisher.end()
        return f"the process that was to finish ended with {code}" if code else ""

    def finish_observer(self, head: int) -> str:
        """Let the observer come to the head. Returns why it did not; empty if it did."""
        observer = self._observer
        if observer is None or observer.exit_code is not None:
            observer = Victim(observe, self._plan)
        try:
            observer.say("head", head)
            code = observer.wait(self._plan.finish_within)
        except (TimeoutError, OSError) as error:
            return f"the observer did not get to the head: {error}"
        finally:
            observer.end()
        return f"the observer ended with {code}" if code else ""

    def _fill_up(self) -> None:
        """Begin processes in the place of those that are dead."""
        for worker in self._workers[:]:
            if worker.exit_code is not None:
                self._bury(worker)
        while len(self._workers) < self._plan.processes:
            self._made += 1
            die_at = None
            if self._rng.random() < _AT_A_POINT:
                die_at = self._rng.choice(_POINTS), self._rng.randint(1, 30)
            worker = Victim(work, self._plan, self._made, die_at)
            self._workers.append(worker)
            if die_at is not None:
                self._armed.add(worker)
        if self._observer is None:
            self._observer = Victim(observe, self._plan)

    def _bury(self, worker: Victim) -> None:
        """It is dead, and not by our hand: has it killed itself as it was told?"""
        if worker.exit_code == -signal.SIGKILL and worker in self._armed:
            self.kills += 1
        else:
            self._failed = True
            if worker.exit_code != FAILED:  # That one has noted why.
                self.died.append(f"process {worker.pid} ended with {worker.exit_code}, unasked")
        self._remove(worker)

    def _remove(self, worker: Victim) -> None:
        worker.end()
        self._workers.remove(worker)
        self._armed.discard(worker)
        self._thaw_at.pop(worker, None)

    def _let_live(self, seconds: float) -> None:
        """Let time pass; those whose time it is are thawed meanwhile, and the disk freed."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for worker in [each for each, at in self._thaw_at.items() if at <= now]:
                worker.thaw()
                del self._thaw_at[worker]
            if self._disk is not None and self._disk.full and self._free_at <= now:
                self._free_disk()
            if now >= end:
                return
            coming = [end, *self._thaw_at.values()]
            if self._disk is not None and self._disk.full:
                coming.append(self._free_at)
            time.sleep(max(min(coming) - now, 0))

    def _strike(self) -> None:
        drawn, worker = self._rng.random(), self._rng.choice(self._workers)
        if self._disk is not None and drawn < _FULL and not self._disk.full:
            self._free_at = time.monotonic() + self._rng.choice(_FULL_S)
            self._disk.fill()
            self.full_disks += self._disk.full
        elif self._rng.random() < self._plan.freezes:
            if worker.frozen or worker.exit_code is not None:
                return
            worker.freeze()
            self.freezes += 1
            lease = self._plan.lease
            self._thaw_at[worker] = time.monotonic() + lease * self._rng.choice(_FROZEN)
        elif self._rng.random() < _AN_OBSERVER and self._observer is not None:
            self._observer.end()
            self._observer = None
            self.kills += 1
        elif worker.kill():
            self.kills += 1
            self._remove(worker)

    def _free_disk(self) -> None:
        if self._disk is not None and self._disk.full:
            self._disk.free()

    def close(self) -> None:
        """Kill whoever lives."""
        for each in (*self._workers, self._observer):
            if each is not None:
                with suppress(OSError):
                    each.end()
