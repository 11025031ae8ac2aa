"""How soon after a SIGKILL are all interrupted runs finished?

A process starts runs of 5 model and 5 tool steps and is killed while each waits inside its third
tool call, so that about half of each run is left (6 commits, the recovery's included). The
folder holds a million older events. Measured is from spawning the next process to the commit
that ends the last run: interpreter start and imports included, fsync on, all files in memory.

The folder of older events is made once and kept in the temporary folder. From 10,000 runs on
there are at most two rounds.

The floor is a program of LMDB and msgspec that scans its table of open runs, beside as many old
events, and makes the 5 commits that are left of each run, one after another.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
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
    report,
    scratch,
    take_turns,
)
from benchmarks._floor import COMMITS, PAYLOAD, Answered, BareStore, Done, FloorEvent
from benchmarks._history import old_log

_ROOT: Final = Path(__file__).parents[1]
_PATIENCE_SECONDS: Final = 300


class Sizes(msgspec.Struct, frozen=True):
    """How many runs are interrupted, and how many events the folder holds already."""

    runs: tuple[int, ...] = (100, 1_000, 10_000)
    old_events: int = 1_000_000


QUICK: Final = Sizes(runs=(100, 1_000), old_events=100_000)


def _spawn(module: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with {process.wait()}")
    return line.strip()


class _Side:
    """Interrupts runs in one folder and has them finished, again and again."""

    def __init__(self, module: str, folder: Path, runs: int, first: int) -> None:
        self._module, self._folder, self._runs = module, folder, runs
        self._next = first

    def __call__(self) -> float:
        first = self._next
        self._next += self._runs
        with _spawn(self._module, "start", self._folder, first, self._runs) as writer:
            _line(writer)
            os.kill(writer.pid, signal.SIGKILL)
        spawned_ns = time.monotonic_ns()
        with _spawn(self._module, "recover", self._folder, first, self._runs) as reader:
            done_ns = int(_line(reader))
            if reader.wait(_PATIENCE_SECONDS):
                raise RuntimeError(f"{reader.args!r} ended with {reader.returncode}")
        return (done_ns - spawned_ns) / 1e9


def _floor_log(folder: Path, events: int) -> int:
    """Write finished runs with about `events` events; return how many runs."""
    runs = events // (2 * COMMITS)
    with BareStore(folder) as store, store.env.begin(write=True) as txn:
        row: list[FloorEvent] = [Answered(0, PAYLOAD), Done()]
        for run in range(runs):
            for number in range(COMMITS):
                store.put(txn, run, number, row)
    return runs


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure each number of interrupted runs."""
    rows: list[Row] = []
    seconds: dict[int, float] = {}
    kept = old_log(folder, sizes.old_events)
    with scratch(folder) as place:
        ours_folder, floor_folder = place / "ours", place / "floor"
        shutil.copytree(kept, ours_folder)
        floor_folder.mkdir()
        first = _floor_log(floor_folder, sizes.old_events)
        for runs in sizes.runs:
            turns = rounds if runs <= 1_000 else min(rounds, 2)
            ours = _Side("_recovery_ours", ours_folder, runs, first)
            floor = _Side("_recovery_floor", floor_folder, runs, first)
            mine, other = take_turns(turns, ours, floor)
            first += turns * runs
            seconds[runs] = middle(mine)
            rows.append(
                {
                    "interrupted runs": runs,
                    "all finished after, s": seconds[runs],
                    "slowest": max(mine),
                    "floor, s": middle(other),
                    "ratio": ratio(mine, other),
                    "runs/s": runs / seconds[runs],
                }
            )
    targets = [
        Target(
            what=f"recovery: {runs:,} interrupted runs finished after",
            unit="s",
            measured=seconds[runs],
            target=1.5,
            aim=0.8,
        )
        for runs in sizes.runs
        if runs == 1_000
    ]
    tables = {"from spawn to the end of the last run": rows}
    return report(
        "recovery",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables=tables,
        targets=targets,
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (2 if given.quick else 5)), given)


if __name__ == "__main__":
    main()
