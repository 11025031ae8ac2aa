"""How soon does a background task begin, and how many are done a second, however many wait?

One by one: nothing else runs or waits. `from enqueue` is from the call of `rt.tasks.enqueue` until
the tool's body is entered: the request, its start and both being durable lie in between. `from its
return` is from the instant at which the caller knows that the task is there until then. `from a
model` is from a model's answer that calls the tool until the same instant: the answer is made
durable first, in the run. A durable commit by hand, bare LMDB with both of its flushes, is told
beside them.

All at once: from the first `enqueue` until the ends of all tasks are durable, 20 at once. Tasks
that do nothing are enqueued by 200 callers at the same time, and told as a rate. Those that wait
for 50 ms are enqueued by one caller, one after the other, and compared with the ideal, in which a
slot is never free. CPU is that of the whole process, a task.

In line: CPU of the process for one dispatch (a task's end, and the next one's start) while so many
others wait.

Killed: a process has 20 tasks in their tools and others that wait, and gets a SIGKILL. Measured is
from spawning the next process, interpreter start and imports included, until 20 tools have been
entered again, with their recovery durable.

Everything of ours is durable (fsync on). The figures of Mastra were taken once, on the machine for
which the targets are: a durable commit by hand took 0.09 ms on it. So 0.5 ms is 0.56 of Mastra's;
`--mastra FOLDER` measures it here, in turn with ours, and compares (see _mastra.py). Mastra flushes
its file 15 times for 300 tasks, ours once or more for each.
"""

from __future__ import annotations

import asyncio
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

from benchmarks._background import (
    MANY_CALLERS,
    Took,
    all_at_once,
    dispatch_some,
    one_by_one,
    write_queue,
)
from benchmarks._bench import (
    Report,
    Row,
    Target,
    finish,
    middle,
    options,
    percentile,
    report,
    scratch,
)
from benchmarks._floor import BareStore, Done, FloorEvent
from benchmarks._mastra import Mastra

_ROOT: Final = Path(__file__).parents[1]
_NAP_S: Final = 0.05
_BEGIN_MS: Final = 0.5
_MASTRA_BEGIN_MS: Final = 0.9  # on the machine for which the targets are
_ELSEWHERE: Final[list[Row]] = [
    {
        "": "Mastra 1.71 (LibSQL)",
        "begins after": f"{_MASTRA_BEGIN_MS} ms",
        "tasks that do nothing": "396/s",
        "1,000 tasks of 50 ms": "42.8 s, growing with the queue",
        "after a SIGKILL": "20 running: failed; of 50 queued 30 stay pending for ever",
    }
]


class Sizes(msgspec.Struct, frozen=True):
    """How many tasks, and how many of them at once."""

    one_by_one: int = 300
    tasks: int = 1_000
    at_once: int = 20
    waiting: tuple[int, int] = (100, 100_000)
    dispatches: int = 3_000  # about a second of work: fewer tell of the machine
    killed: int = 10_000


QUICK: Final = Sizes(one_by_one=50, tasks=200, waiting=(100, 5_000), dispatches=200, killed=500)


def _commit_ms(folder: Path, commits: int) -> list[float]:
    """Return how many milliseconds each of some durable commits takes by hand."""
    row: list[FloorEvent] = [Done()]
    found: list[float] = []
    with scratch(folder) as place, BareStore(place) as store:
        for number in range(commits):
            began_ns = time.perf_counter_ns()
            store.commit(1, number + 1, row)
            found.append((time.perf_counter_ns() - began_ns) / 1e6)
    return found


def _one_by_one(
    sizes: Sizes, folder: Path, rounds: int, mastra: Mastra | None
) -> tuple[list[Row], float, float, float | None]:
    """Return a table, the p50 from `enqueue` and from its return, and the first to Mastra's."""
    names = ("enqueue", "its return", "a model", "a commit by hand")
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    elsewhere: list[tuple[list[float], list[float]]] = []
    ratios: list[float] = []
    for _ in range(rounds):
        with scratch(folder) as place:
            begins = asyncio.run(one_by_one(place, sizes.one_by_one))
        commits = _commit_ms(folder, sizes.one_by_one)
        measured = (begins.asked, begins.acknowledged, begins.called, commits)
        for samples, one in zip(found.values(), measured, strict=True):
            samples.append(one)
        if mastra is not None:
            elsewhere.append(mastra.begins_ms(sizes.one_by_one))
            ratios.append(percentile(begins.asked, 0.5) / percentile(elsewhere[-1][0], 0.5))
    if mastra is not None:
        found[f"enqueue of Mastra {mastra.version}"] = [asked for asked, _ in elsewhere]
        found["its return there"] = [acknowledged for _, acknowledged in elsewhere]
    rows: list[Row] = [
        {
            "from": name,
            "p50 ms": middle([percentile(one, 0.5) for one in samples]),
            "p99 ms": middle([percentile(one, 0.99) for one in samples]),
            "least ms": min(min(one) for one in samples),
        }
        for name, samples in found.items()
    ]
    asked, acknowledged = (
        middle([percentile(one, 0.5) for one in found[name]]) for name in names[:2]
    )
    return rows, asked, acknowledged, middle(ratios) if ratios else None


def _all_at_once(
    sizes: Sizes, folder: Path, rounds: int, nap: float, *, callers: int
) -> list[Took]:
    found: list[Took] = []
    for _ in range(rounds):
        with scratch(folder) as place:
            work = all_at_once(place, sizes.tasks, sizes.at_once, nap, callers=callers)
            found.append(asyncio.run(work))
    return found


def _in_line(sizes: Sizes, folder: Path, rounds: int) -> dict[int, list[float]]:
    """Return the CPU microseconds of a dispatch, by how many others wait."""
    found: dict[int, list[float]] = {}
    with scratch(folder) as place:
        for waiting in sizes.waiting:
            written = place / f"written-{waiting}"
            asyncio.run(write_queue(written, waiting + sizes.dispatches + sizes.at_once))
        for turn in range(2 * rounds):  # The least of each is compared: it takes a few to find.
            for waiting in sizes.waiting[:: 1 if turn % 2 else -1]:
                copied = place / "copied"
                shutil.copytree(place / f"written-{waiting}", copied)
                cpu_us = asyncio.run(dispatch_some(copied, sizes.dispatches, sizes.at_once))
                found.setdefault(waiting, []).append(cpu_us)
                shutil.rmtree(copied)
    return found


def _killed(sizes: Sizes, folder: Path, rounds: int) -> list[float]:
    """Return the milliseconds from spawning a process until it has all slots at work."""
    found: list[float] = []
    # Installed packages are compiled once; the first process here does that, too.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with scratch(folder) as place:
        for program in ("queue", *["again"] * rounds):
            arguments = (program, place / "log", sizes.killed + sizes.at_once, sizes.at_once)
            command = [sys.executable, "-m", "benchmarks._tasks_process", *map(str, arguments)]
            spawned_ns = time.monotonic_ns()
            with subprocess.Popen(
                command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError(f"{process.args!r} ended with {process.wait()}")
                os.kill(process.pid, signal.SIGKILL)
            found.append((int(line) - spawned_ns) / 1e6)
    return found[1:]


def _of_mastra(sizes: Sizes, mastra: Mastra) -> list[Row]:
    """Return what many tasks at once take there, each measured once."""
    return [
        {
            "tasks": f"{sizes.tasks:,} {name}",
            "s": seconds,
            "tasks/s": sizes.tasks / seconds,
        }
        for name, nap in (("that do nothing", 0.0), ("of 50 ms", _NAP_S))
        for seconds in [mastra.all_s(sizes.tasks, sizes.at_once, nap)]
    ]


def measure(sizes: Sizes, folder: Path, rounds: int, mastra: Mastra | None = None) -> Report:
    """Measure one thing after the other, each so many rounds; and Mastra, if it is there."""
    begins, asked, acknowledged, beside = _one_by_one(sizes, folder, rounds, mastra)
    idle = _all_at_once(sizes, folder, rounds, 0.0, callers=MANY_CALLERS)
    napping = _all_at_once(sizes, folder, rounds, _NAP_S, callers=1)
    rate = middle([sizes.tasks / took.seconds for took in idle])
    ideal = -(-sizes.tasks // sizes.at_once) * _NAP_S
    slower = middle([took.seconds for took in napping]) / ideal
    many: list[Row] = [
        {
            "tasks": name,
            "s": middle([took.seconds for took in found]),
            "at best": min(took.seconds for took in found),
            "ideal, s": best,
            "tasks/s": middle([sizes.tasks / took.seconds for took in found]),
            "CPU a task, us": middle([took.cpu_us for took in found]),
        }
        for name, found, best in (
            (f"{sizes.tasks:,} that do nothing", idle, None),
            (f"{sizes.tasks:,} of 50 ms", napping, ideal),
        )
    ]
    theirs: dict[str, list[Row]] = {}
    if mastra is not None:
        theirs[f"all at once: Mastra {mastra.version}"] = _of_mastra(sizes, mastra)
    in_line = _in_line(sizes, folder, rounds)
    few, lots = (min(in_line[waiting]) for waiting in sizes.waiting)
    lines: list[Row] = [
        {"others that wait": waiting, "CPU, us": middle(found), "at best": min(found)}
        for waiting, found in in_line.items()
    ]
    killed = _killed(sizes, folder, rounds)
    again: list[Row] = [
        {"others that wait": sizes.killed, "ms": middle(killed), "at best": min(killed)}
    ]
    targets = [
        Target(
            what="a background task begins, once it is acknowledged: p50",
            unit="ms",
            measured=acknowledged,
            target=_BEGIN_MS,
        ),
        Target(
            what="a background task begins, from the request, durable: p50",
            unit="ms",
            measured=asked,
            target=_BEGIN_MS,
        ),
        Target(
            what="background tasks that do nothing",
            unit="a second",
            measured=rate,
            target=2_000.0,
            at_most=False,
        ),
        Target(
            what=f"{sizes.tasks:,} background tasks of 50 ms, {sizes.at_once} at once",
            unit="x the ideal",
            measured=slower,
            target=1.1,
        ),
        Target(
            what=f"CPU of a dispatch: {sizes.waiting[1]:,} in line, to {sizes.waiting[0]:,}",
            unit="x",
            measured=lots / few,
            target=1.1,
        ),
        Target(
            what=f"{sizes.at_once} tasks run again after a SIGKILL, {sizes.killed:,} in line",
            unit="ms",
            measured=middle(killed),
            target=500.0,
        ),
    ]
    if beside is not None:
        ratio = Target(
            what="a background task begins: p50 of ours, durable, to Mastra's",
            unit="x",
            measured=beside,
            target=_BEGIN_MS / _MASTRA_BEGIN_MS,
        )
        targets.insert(2, ratio)
    return report(
        "tasks",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={
            "one by one": begins,
            "all at once": many,
            **theirs,
            "a dispatch, in line": lines,
            "killed: from spawn to all slots at work": again,
            "elsewhere": _ELSEWHERE,
        },
        targets=targets,
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments, mastra=True)
    sizes = QUICK if given.quick else Sizes()
    rounds = given.rounds or (2 if given.quick else 3)
    mastra = None if given.mastra is None else Mastra(given.mastra, given.folder)
    return finish(measure(sizes, given.folder, rounds, mastra), given)


if __name__ == "__main__":
    main()
