"""How many events a second does the log take, durably, and how close is that to bare LMDB?

`LmdbLog.append`, awaited, by 1, 10 and 50 writers on one event loop, each with a stream of its
own and 1, 10 or 100 events a commit (`ModelDelta`, 200 characters). fsync is on: an
acknowledged event survives power loss. Beside it bare LMDB in one thread, without any waiting:
the same rows, hashes included, as many commits a transaction as there are writers. `ratio` is
ours / bare in the same round (median), `at best` the same of each side's best round.
`commits a transaction` says how well waiting commits were grouped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._bare_log import BareLog
from benchmarks._bench import (
    Options,
    Report,
    Row,
    Target,
    finish,
    middle,
    options,
    percentile,
    ratio,
    ratio_at_best,
    report,
    scratch,
    take_turns,
)
from benchmarks._space import space
from outlive.events import LmdbLog, ModelDelta, Version, run_stream

EVENT: Final = ModelDelta(text="x" * 200)


class Sizes(msgspec.Struct, frozen=True):
    """How much is written: `commits` for one event each, fewer where they hold more."""

    commits: int = 10_000
    writers: tuple[int, ...] = (1, 10, 50)
    batches: tuple[int, ...] = (1, 10, 100)

    def commits_of(self, batch: int, writers: int) -> int:
        """Return how many commits to time: about the same duration for all."""
        share = min(1.0, (0.2 + writers / 50) / batch**0.5)
        return max(int(self.commits * share) // writers, 1) * writers


QUICK: Final = Sizes(commits=2_000)


class _Ours:
    """One setting of our side: figures of all its rounds."""

    def __init__(self, folder: Path, writers: int, batch: int, commits: int) -> None:
        self._folder = folder
        self._writers, self._batch, self._commits = writers, batch, commits
        self.waits_ms: list[float] = []
        self.flushes: list[float] = []

    def __call__(self) -> float:
        with scratch(self._folder) as folder:
            with_nothing = _transactions(folder)
            events_a_second = asyncio.run(self._write(folder))
            written = space(folder).transactions - with_nothing
            self.flushes.append(self._commits / max(written, 1))
        return events_a_second

    async def _write(self, folder: Path) -> float:
        log = LmdbLog(folder)
        log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
        events = (EVENT,) * self._batch
        waits_ns: list[int] = []

        async def writer(number: int) -> None:
            stream, version = run_stream(str(number)), 0
            for _ in range(self._commits // self._writers):
                asked_ns = time.perf_counter_ns()
                await log.append(stream, events, expected_version=Version(version))
                waits_ns.append(time.perf_counter_ns() - asked_ns)
                version += len(events)

        started_ns = time.perf_counter_ns()
        await asyncio.gather(*(writer(number) for number in range(self._writers)))
        took_ns = time.perf_counter_ns() - started_ns
        await asyncio.to_thread(log.close)
        self.waits_ms += [wait / 1e6 for wait in waits_ns]
        return self._commits * self._batch * 1e9 / took_ns


def _transactions(folder: Path) -> int:
    """Return how many transactions it takes to make a log, and to open and close it again."""
    LmdbLog(folder).close()
    made = space(folder).transactions
    LmdbLog(folder).close()
    return 2 * space(folder).transactions - made


def _bare(parent: Path, writers: int, batch: int, commits: int) -> float:
    events = (EVENT,) * batch

    def group() -> Iterator[tuple[int, Sequence[ModelDelta], int]]:
        for number in range(1, writers + 1):
            yield number, events, time.time_ns()

    with scratch(parent) as folder, BareLog(folder) as log:
        started_ns = time.perf_counter_ns()
        for _ in range(commits // writers):
            log.write(group())
        return commits * batch * 1e9 / (time.perf_counter_ns() - started_ns)


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure each number of writers with each size of commit."""
    rows: list[Row] = []
    ratios: dict[tuple[int, int], float] = {}
    for writers in sizes.writers:
        for batch in sizes.batches:
            commits = sizes.commits_of(batch, writers)
            ours = _Ours(folder, writers, batch, commits)

            def bare(writers: int = writers, batch: int = batch, commits: int = commits) -> float:
                return _bare(folder, writers, batch, commits)

            mine, floor = take_turns(rounds, ours, bare)
            ratios[writers, batch] = ratio(mine, floor)
            rows.append(
                {
                    "writers": writers,
                    "events a commit": batch,
                    "events/s": middle(mine),
                    "bare LMDB": middle(floor),
                    "ratio": ratios[writers, batch],
                    "at best": ratio_at_best(mine, floor, least=False),
                    "p50 ms": percentile(ours.waits_ms, 0.5),
                    "p99 ms": percentile(ours.waits_ms, 0.99),
                    "commits a transaction": middle(ours.flushes),
                }
            )
    most, least = max(sizes.writers), min(sizes.batches)
    target = Target(
        what=f"log: events/s with {most} writers, beside bare LMDB",
        unit="x",
        measured=ratios[most, least],
        target=0.5,
        aim=0.7,
        at_most=False,
    )
    return report(
        "log",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={"appends": rows},
        targets=[target],
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given: Options = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (2 if given.quick else 9)), given)


if __name__ == "__main__":
    main()
