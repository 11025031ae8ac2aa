"""How soon is a large log open and all its open runs taken up, and what does an idle owner cost?

The folder holds 5 million events of finished runs and 100 runs whose process was killed in a
tool call. Measured is from entering `Runtime` in a process that has imported everything, first
until it is open, then until all 100 runs are in their tool again, each with its recovery
durable (fsync on). All files are in memory. After each opening the process is killed.

Idle is an owner whose 100 runs wait in their tools: its CPU time over a minute, as a share of
one core.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._bench import Report, Row, Target, finish, middle, options, report, scratch
from benchmarks._history import old_log

_ROOT: Final = Path(__file__).parents[1]


class Sizes(msgspec.Struct, frozen=True):
    """Events in the log, runs that are open, and how long it is watched standing idle."""

    old_events: tuple[int, ...] = (220_000, 5_000_000)
    runs: int = 100
    idle_seconds: float = 60.0


QUICK: Final = Sizes(old_events=(220_000,), idle_seconds=2.0)


@contextmanager
def _process(module: str, *arguments: object) -> Generator[subprocess.Popen[str]]:
    """Run a module in a process of its own, killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with {process.wait()}")
    return line


def _open(folder: Path, runs: int) -> tuple[float, float]:
    """Return the milliseconds until the folder is open, and until all runs are taken up."""
    with _process("_opener", folder, runs) as process:
        opened_ms, taken_up_ms = map(float, _line(process).split())
    return opened_ms, taken_up_ms


def _idle(folder: Path, runs: int, seconds: float) -> float:
    """Return the share of a core that an idle owner uses."""
    with _process("_opener", folder, runs) as process:
        _line(process)
        assert process.stdin is not None
        print(seconds, file=process.stdin, flush=True)
        return float(_line(process))


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure each number of events; idle in the largest log."""
    rows: list[Row] = []
    taken_up, idle = 0.0, 0.0
    for events in sizes.old_events:
        kept = old_log(folder, events)
        with scratch(folder) as place:
            mine = place / "log"
            shutil.copytree(kept, mine)
            with _process("_recovery_ours", "start", mine, "open", sizes.runs) as process:
                _line(process)
            found = [_open(mine, sizes.runs) for _ in range(rounds)]
            if events == sizes.old_events[-1]:
                idle = _idle(mine, sizes.runs, sizes.idle_seconds)
        taken_up = middle([each[1] for each in found])
        rows.append(
            {
                "events in the log": events,
                "open runs": sizes.runs,
                "open after, ms": middle([each[0] for each in found]),
                "all taken up after, ms": taken_up,
                "slowest": max(each[1] for each in found),
            }
        )
    targets = [
        Target(
            what=f"opening: {sizes.old_events[-1]:,} events, {sizes.runs} open runs taken up after",
            unit="ms",
            measured=taken_up,
            target=300.0,
            aim=100.0,
        ),
        Target(
            what=f"an idle owner of {sizes.runs} waiting runs: CPU",
            unit="% of a core",
            measured=100 * idle,
            target=0.5,
            aim=0.2,
        ),
    ]
    return report(
        "open",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={"from entering the runtime": rows},
        targets=targets,
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (2 if given.quick else 5)), given)


if __name__ == "__main__":
    main()
