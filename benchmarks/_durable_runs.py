"""The two sides of `bench_durable_run`: runs with Outlive, and the same by hand."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pykka

from benchmarks._bench import middle, percentile, scratch
from benchmarks._floor import BareStore, GroupStore, Store, begin, go_on
from benchmarks._workload import AGENT, agent
from outlive.actors import Runtime


class Side:
    """Runs a number of runs, some at once; keeps how long each took."""

    def __init__(self, parent: Path, runs: int, at_once: int) -> None:
        self._parent = parent
        self.runs, self.at_once = runs, at_once
        self.waits_ms: list[float] = []
        self.rates: list[float] = []

    def __call__(self) -> float:
        """Return a figure of one round: one by one the median time of a run, else the rate."""
        with scratch(self._parent) as folder:
            waits_ns, took_ns = self._run(folder)
        self.waits_ms += [wait / 1e6 for wait in waits_ns]
        self.rates.append(self.runs * 1e9 / took_ns)
        return middle(waits_ns) if self.at_once == 1 else self.rates[-1]

    def _run(self, folder: Path) -> tuple[list[int], int]:
        raise NotImplementedError

    def percentile(self, share: float) -> float:
        """Return how many milliseconds this share of all runs took at most."""
        return percentile(self.waits_ms, share)


class Ours(Side):
    """With Outlive."""

    def _run(self, folder: Path) -> tuple[list[int], int]:
        return asyncio.run(run_many(folder, self.runs, self.at_once))


async def run_many(
    folder: Path, runs: int, at_once: int, *, warm: bool = True
) -> tuple[list[int], int]:
    """Do runs; return what each took, and what all took, in nanoseconds."""
    waits_ns: list[int] = []
    left = iter(range(runs))
    async with Runtime(folder, agents=[agent()]) as runtime:

        async def worker() -> None:
            for _ in left:
                asked_ns = time.perf_counter_ns()
                result = await runtime.run(AGENT, "go")
                waits_ns.append(time.perf_counter_ns() - asked_ns)
                assert result.finish_reason == "max_steps", result

        if warm:
            await runtime.run(AGENT, "go")
        started_ns = time.perf_counter_ns()
        await asyncio.gather(*(worker() for _ in range(min(at_once, runs))))
        return waits_ns, time.perf_counter_ns() - started_ns


class _FloorRun(pykka.ThreadingActor):
    """An actor with a thread of its own, that does one run after another."""

    use_daemon_thread = True

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def on_receive(self, message: range) -> list[int]:
        """Do the runs of these numbers; answer how long each took."""
        waits_ns: list[int] = []
        for number in message:
            started_ns = time.perf_counter_ns()
            begin(self._store, number)
            go_on(self._store, number, 0)
            waits_ns.append(time.perf_counter_ns() - started_ns)
        return waits_ns


class Floor(Side):
    """By hand."""

    def _run(self, folder: Path) -> tuple[list[int], int]:
        return floor_runs(folder, self.runs, self.at_once)


def floor_runs(folder: Path, runs: int, at_once: int) -> tuple[list[int], int]:
    """Do runs; return what each took, and what all took, in nanoseconds."""
    with BareStore(folder) if at_once == 1 else GroupStore(folder) as store:
        actors = [_FloorRun.start(store) for _ in range(min(at_once, runs))]
        started_ns = time.perf_counter_ns()
        if at_once == 1:
            waits_ns = [_asked(actors[0], number) for number in range(runs)]
        else:
            answers = [
                actor.ask(range(first, runs, len(actors)), block=False)
                for first, actor in enumerate(actors)
            ]
            waits_ns = [wait for answer in answers for wait in answer.get()]
        took_ns = time.perf_counter_ns() - started_ns
        for actor in actors:
            actor.stop()
    return waits_ns, took_ns


def _asked(actor: pykka.ActorRef[_FloorRun], number: int) -> int:
    asked_ns = time.perf_counter_ns()
    actor.ask(range(number, number + 1))
    return time.perf_counter_ns() - asked_ns
