"""What do runs cost that wait, and how soon does one go on whose question is answered?

Each run has made a model call and is in a tool that asks a question. Memory is anonymous memory
of the process at rest, above the same process with an empty log: of the one that has started
all the runs, and of one that has opened their folder anew. Opening is from entering `Runtime` in
a process that has imported everything, until it is open, and until a first answer given then has
reached its tool. An answer is from `resume` until the tool has it, one by one; in between lie
the run's way back into memory and a durable commit (fsync on).

Runs that wait for a retry in an hour are measured alike: of a process in which their model has
said that it is busy, and when it has opened their folder anew.

The figures of others were taken once on the same machine, with 10,000 runs that wait: they are
there for the order of magnitude.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
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
    percentile,
    report,
    scratch,
)

_ROOT: Final = Path(__file__).parents[1]
_ELSEWHERE: Final[list[Row]] = [
    {
        "": "LangGraph 1.2 (SQLite)",
        "memory a waiting run": "none",
        "all wait again after a restart": "at once",
        "an answer": "0.85 ms",
    },
    {
        "": "DBOS 3.4 (PostgreSQL)",
        "memory a waiting run": "15 KB",
        "all wait again after a restart": "38 s",
        "an answer": "",
    },
]


class Sizes(msgspec.Struct, frozen=True):
    """How many runs wait, and how many of them are answered in each round."""

    runs: tuple[int, ...] = (10_000, 100_000)
    answers: int = 200


QUICK: Final = Sizes(runs=(1_000,), answers=50)
_MEMORY_MB: Final = {10_000: 20.0, 100_000: 60.0}


def _figures(*arguments: object) -> list[float]:
    """Run a process of `_suspended_runs`; return what it prints."""
    command = [sys.executable, "-m", "benchmarks._suspended_runs", *map(str, arguments)]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def _waiting(folder: Path, runs: int, answers: int, rounds: int) -> Row:
    """Have runs wait in a folder; open it anew each round, and answer some of them."""
    before_kib, asked_kib = _figures("ask", folder / "asked", runs)
    _figures("ask", folder / "empty", 0)
    _, _, _, empty_kib, *_ = _figures("answer", folder / "empty", 0, 0, 0)
    opened: list[float] = []
    first: list[float] = []
    memory: list[float] = []
    cpu: list[float] = []
    p50: list[float] = []
    p99: list[float] = []
    for _ in range(rounds):
        opened_ms, first_ms, _, kib, cpu_ms, *answered = _figures(
            "answer", folder / "asked", runs, answers, len(opened) * (answers + 1)
        )
        opened.append(opened_ms)
        first.append(first_ms)
        memory.append(kib)
        cpu.append(cpu_ms)
        p50.append(percentile(answered, 0.5))
        p99.append(percentile(answered, 0.99))
    shutil.rmtree(folder / "asked")
    return {
        "waiting runs": runs,
        "asked: memory, MB": (asked_kib - before_kib) * 1024 / 1e6,
        "opened: memory, MB": (middle(memory) - empty_kib) * 1024 / 1e6,
        "open after, ms": middle(opened),
        "first answer after, ms": middle(first),
        "answer p50, ms": middle(p50),
        "at best": min(p50),
        "p99": middle(p99),
        "CPU to the run's end, ms": middle(cpu),
    }


def _retrying(folder: Path, runs: int) -> Row:
    """Have runs wait for a retry of their model."""
    before_kib, waiting_kib = _figures("retry", folder / "retrying", runs)
    opened_kib, _ = _figures("retry", folder / "retrying", 0)
    shutil.rmtree(folder / "retrying")
    return {
        "waiting runs": runs,
        "memory, MB": (waiting_kib - before_kib) * 1024 / 1e6,
        "opened: memory, MB": (opened_kib - before_kib) * 1024 / 1e6,
    }


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure each number of waiting runs."""
    rows: list[Row] = []
    for runs in sizes.runs:
        with scratch(folder) as place:
            rows.append(_waiting(place, runs, sizes.answers, rounds))
    with scratch(folder) as place:
        retrying = _retrying(place, sizes.runs[0])
    targets = [
        Target(
            what=f"{row['waiting runs']:,} suspended runs: memory above an empty runtime",
            unit="MB",
            measured=max(_number(row, "asked: memory, MB"), _number(row, "opened: memory, MB")),
            target=_MEMORY_MB.get(runs, 20.0),
        )
        for runs, row in zip(sizes.runs, rows, strict=True)
    ]
    targets += [
        Target(
            what=f"{sizes.runs[0]:,} runs that retry in an hour: memory above an empty runtime",
            unit="MB",
            measured=max(_number(retrying, "memory, MB"), _number(retrying, "opened: memory, MB")),
            target=20.0,
        ),
        Target(
            what=f"{sizes.runs[0]:,} suspended runs: an answer reaches its tool after, p50",
            unit="ms",
            measured=_number(rows[0], "answer p50, ms"),
            target=1.0,
        ),
        Target(
            what=f"{sizes.runs[0]:,} suspended runs: reopened and a first one answered after",
            unit="ms",
            measured=_number(rows[0], "first answer after, ms"),
            target=500.0,
        ),
    ]
    return report(
        "suspended",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={
            "waiting for a person": rows,
            "waiting for a retry in an hour": [retrying],
            "elsewhere, 10,000 waiting": _ELSEWHERE,
        },
        targets=targets,
    )


def _number(row: Row, column: str) -> float:
    value = row[column]
    assert isinstance(value, int | float)
    return float(value)


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (2 if given.quick else 3)), given)


if __name__ == "__main__":
    main()
