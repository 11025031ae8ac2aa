"""What does a durable run cost: 5 model and 5 tool steps that do nothing, 200 bytes each?

Ours is `Runtime.run` with a scripted model and an async tool, everything durable (fsync on)
before it is acted upon. The floor is pykka, msgspec and LMDB by hand, 11 durable commits and no
feature: one by one an actor that commits by itself, at once one actor a run in flight and one
thread that groups commits (each the faster of the two ways). Times are from the call to the
result. One by one counts per-run latency; at once counts finished runs a second.

LMDB makes two flushes a commit: an `fdatasync` of the data, then the meta page, written through
a descriptor opened with O_DSYNC. So flushes are twice the growth of `last_txnid`, and
`strace -f -c` counts half as many `fdatasync`. Bytes are the growth over many runs of the pages
in use, and of the file, which includes free pages that the next runs use again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._bench import (
    Report,
    Row,
    Target,
    finish,
    middle,
    options,
    ratio,
    ratio_at_best,
    report,
    scratch,
    take_turns,
)
from benchmarks._durable_runs import Floor, Ours, floor_runs, run_many
from benchmarks._floor import BareStore
from benchmarks._profile import profile
from benchmarks._space import Space, space


class Sizes(msgspec.Struct, frozen=True):
    """How many runs, for each number of runs at once."""

    one_by_one: int = 200
    at_once: tuple[int, ...] = (50, 1_000)
    runs: int = 1_000
    cost_runs: int = 1_000


QUICK: Final = Sizes(one_by_one=100, runs=500, at_once=(50, 200), cost_runs=200)


class _Cost(msgspec.Struct, frozen=True):
    """What a run leaves in the file, and how often it flushes."""

    commits: float
    bytes_in_use: float
    bytes_of_file: float

    def row(self, side: str, at_once: int) -> Row:
        """Return it as a row of a table."""
        return {
            "side": side,
            "at once": at_once,
            "commits a run": self.commits,
            "flushes a run": 2 * self.commits,
            "bytes in use a run": self.bytes_in_use,
            "bytes of file a run": self.bytes_of_file,
        }


def _cost(runs: int, before: Space, after: Space, *, besides: int = 0) -> _Cost:
    """Return the cost of `runs` runs; `besides` transactions were not theirs."""
    return _Cost(
        (after.transactions - before.transactions - besides) / runs,
        (after.used_bytes - before.used_bytes) / runs,
        (after.file_bytes - before.file_bytes) / runs,
    )


def _our_cost(parent: Path, runs: int, at_once: int) -> _Cost:
    with scratch(parent) as folder:
        asyncio.run(run_many(folder, 0, 1))
        made = space(folder)
        asyncio.run(run_many(folder, 0, 1, warm=False))
        opened = space(folder)
        asyncio.run(run_many(folder, runs, at_once, warm=False))
        opening = opened.transactions - made.transactions
        return _cost(runs, opened, space(folder), besides=opening)


def _floor_cost(parent: Path, runs: int, at_once: int) -> _Cost:
    with scratch(parent) as folder:
        with BareStore(folder):
            pass
        before = space(folder)
        floor_runs(folder, runs, at_once)
        return _cost(runs, before, space(folder))


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure speed for each number of runs at once, then what a run costs."""
    speed: list[Row] = []
    figures: dict[int, tuple[float, float]] = {}
    for at_once in (1, *sizes.at_once):
        runs = sizes.one_by_one if at_once == 1 else max(sizes.runs, at_once)
        ours, floor = Ours(folder, runs, at_once), Floor(folder, runs, at_once)
        mine, other = take_turns(rounds, ours, floor)
        compared = ratio(mine, other)
        figures[at_once] = middle(ours.rates), compared
        speed.append(
            {
                "at once": at_once,
                "runs/s": middle(ours.rates),
                "p50 ms": ours.percentile(0.5),
                "p99 ms": ours.percentile(0.99),
                "floor runs/s": middle(floor.rates),
                "floor p50 ms": floor.percentile(0.5),
                "floor p99 ms": floor.percentile(0.99),
                "ratio": compared,
                "at best": ratio_at_best(mine, other, least=at_once == 1),
            }
        )
    few = sizes.at_once[0]
    cost = _our_cost(folder, sizes.cost_runs, 1)
    costs = [cost.row("ours", 1), _floor_cost(folder, sizes.cost_runs, 1).row("floor", 1)]
    costs.append(_our_cost(folder, sizes.cost_runs, few).row("ours", few))
    costs.append(_floor_cost(folder, sizes.cost_runs, few).row("floor", few))
    targets = [
        Target(
            what="run of 10 steps: time one by one, beside the floor",
            unit="x",
            measured=figures[1][1],
            target=3.0,
            aim=1.8,
        ),
        Target(
            what=f"run of 10 steps: rate at {few} at once",
            unit="runs/s",
            measured=figures[few][0],
            target=1_000,
            aim=2_000,
            at_most=False,
        ),
        Target(
            what="run of 10 steps: commits",
            unit="a run",
            measured=cost.commits,
            target=12,
            aim=11,
        ),
        Target(
            what="run of 10 steps: bytes in use",
            unit="KB a run",
            measured=cost.bytes_in_use / 1_000,
            target=6,
            aim=5,
        ),
    ]
    notes = [
        "ratio: one by one the median time of a run beside the floor's, at once the rate;",
        "at best: the same of each side's best round, as on a machine with nothing else to do",
    ]
    tables = {"speed": speed, "what a run costs": costs}
    return report(
        "durable_run",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables=tables,
        targets=targets,
        notes=notes,
    )


def main(arguments: Sequence[str] | None = None) -> Report | None:
    """Measure, or profile, as the command line says."""
    given = options(__doc__, arguments, profile=True)
    sizes = QUICK if given.quick else Sizes()
    if given.profile:
        profile(run_many, given.folder, sizes.runs)
        return None
    return finish(measure(sizes, given.folder, given.rounds or (2 if given.quick else 9)), given)


if __name__ == "__main__":
    main()
