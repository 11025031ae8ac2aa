"""What every benchmark shares: options, figures, the machine, a table and JSON.

A benchmark module asks one question. It has `Sizes` (how much is measured), `measure` (which
returns a `Report`) and `main`. Ours and the floor take turns in one process, round by round,
and medians of the rounds are told: on a shared machine nothing else can be compared.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil, log10
from pathlib import Path
from statistics import median
from typing import TypeVar

import msgspec

from benchmarks._machine import Machine, machine, versions

Cell = str | int | float | None
Row = dict[str, Cell]
S = TypeVar("S", bound=msgspec.Struct)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure should come to. `aim` is what we would be glad of."""

    what: str
    unit: str
    measured: float
    target: float
    aim: float | None = None
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether the figure keeps its promise."""
        within = self.measured <= self.target
        return within if self.at_most else self.measured >= self.target


class Report(msgspec.Struct, kw_only=True):
    """What one benchmark has found: tables by their titles, rows of the same columns."""

    benchmark: str
    question: str
    tables: dict[str, list[Row]]
    targets: list[Target]
    sizes: dict[str, Cell]
    rounds: int
    machine: Machine
    versions: dict[str, str]
    date: str
    notes: list[str] = []


class Options(msgspec.Struct):
    """What was asked for on the command line."""

    json: Path | None
    quick: bool
    rounds: int | None
    folder: Path
    profile: bool
    mastra: Path | None = None


def options(
    doc: str | None,
    arguments: Sequence[str] | None = None,
    *,
    profile: bool = False,
    mastra: bool = False,
) -> Options:
    """Read the command line that all have; `--profile` and `--mastra` where they are offered."""
    question = (doc or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a figure")
    parser.add_argument("--rounds", type=int, help="turns that ours and the floor take")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where the data goes (default: %(default)s); tmpfs makes a flush cost nothing",
    )
    if profile:
        parser.add_argument("--profile", action="store_true", help="show where our time goes")
    if mastra:
        parser.add_argument(
            "--mastra", type=Path, metavar="FOLDER", help="measure the Mastra in there as well"
        )
    given = parser.parse_args(arguments)
    return Options(
        json=given.json,
        quick=given.quick,
        rounds=given.rounds,
        folder=given.dir,
        profile=profile and given.profile,
        mastra=given.mastra if mastra else None,
    )


@contextmanager
def scratch(parent: Path) -> Generator[Path]:
    """Give a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="outlive-bench-", dir=parent) as name:
        yield Path(name)


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that at least `share` (0 to 1) of all do not exceed."""
    ordered = sorted(samples)
    return ordered[max(ceil(share * len(ordered)), 1) - 1]


def middle(samples: Sequence[float]) -> float:
    """Return the median."""
    return float(median(samples))


def take_turns(rounds: int, *sides: Callable[[], float]) -> list[list[float]]:
    """Call the sides in turn, `rounds` times, each first as often; return their figures."""
    figures: list[list[float]] = [[] for _ in sides]
    order = list(zip(sides, figures, strict=True))
    for turn in range(rounds):
        for side, found in order if turn % 2 == 0 else reversed(order):
            found.append(side())
    return figures


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """Return the median over the rounds of ours / floor: what disturbs both cancels out."""
    return middle([mine / other for mine, other in zip(ours, floor, strict=True)])


def ratio_at_best(ours: Sequence[float], floor: Sequence[float], *, least: bool) -> float:
    """Return ours / floor, each in its best round: what a machine with less to do would show."""
    return min(ours) / min(floor) if least else max(ours) / max(floor)


def report(
    name: str,
    doc: str | None,
    *,
    sizes: msgspec.Struct,
    rounds: int,
    folder: Path,
    tables: dict[str, list[Row]],
    targets: list[Target],
    notes: Sequence[str] = (),
) -> Report:
    """Put the figures together with where, when and with what they were taken."""
    return Report(
        benchmark=name,
        question=(doc or "").partition("\n")[0],
        tables=tables,
        targets=targets,
        sizes={key: _plain(value) for key, value in msgspec.structs.asdict(sizes).items()},
        rounds=rounds,
        machine=machine(folder),
        versions=versions(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=list(notes),
    )


def finish(found: Report, given: Options) -> Report:
    """Print the report, and write it down if that was asked for."""
    show(found)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    return found


def show(found: Report) -> None:
    """Print a report for people."""
    where = found.machine
    print(f"\n{found.benchmark}: {found.question}")
    print(f"  {where.cpu}, {where.cores} cores, {where.memory_gib:g} GiB, Linux {where.kernel}")
    print(f"  data on {where.filesystem}; medians of {found.rounds} rounds; {found.date}")
    print(f"  a loop of a million rounds of Python took {where.loop_ms:g} ms")
    print("  " + ", ".join(f"{name} {number}" for name, number in found.versions.items()))
    print("  " + ", ".join(f"{name}={value}" for name, value in found.sizes.items()))
    for title, rows in found.tables.items():
        print(f"\n  {title}\n{indent(table(rows))}")
    if found.targets:
        print("\n" + indent(table([_judged(target) for target in found.targets])))
    for note in found.notes:
        print(f"  {note}")


def _judged(target: Target) -> Row:
    sign = "<=" if target.at_most else ">="
    return {
        "promise": f"{target.what}, {target.unit}" if target.unit else target.what,
        "target": f"{sign} {number(target.target)}",
        "aim": "" if target.aim is None else f"{sign} {number(target.aim)}",
        "measured": target.measured,
        "": "kept" if target.met else "MISSED",
    }


def table(rows: Sequence[Row]) -> str:
    """Return rows as aligned columns: numbers to the right, text to the left."""
    columns = list(rows[0])
    texts = [[number(row[column]) for column in columns] for row in rows]
    right = [any(isinstance(row[column], int | float) for row in rows) for column in columns]
    widths = [max(len(text) for text in column) for column in zip(columns, *texts, strict=True)]
    lines = [columns, ["-" * width for width in widths], *texts]
    return "\n".join(
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def indent(text: str) -> str:
    """Return text two columns further in."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def number(value: Cell) -> str:
    """Return a number with three digits that say something, and thousands apart."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 1_000:
        return f"{round(value):,}"
    digits = 2 if not value else min(max(2 - int(log10(abs(value)) // 1), 0), 4)
    return f"{value:.{digits}f}"


def _plain(value: object) -> Cell:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple | list):
        return " ".join(str(item) for item in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # of anything
    return str(value)
