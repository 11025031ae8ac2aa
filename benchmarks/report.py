"""All promises and what was measured, as a Markdown table.

    python -m benchmarks.report            run every benchmark, then print the table
    python -m benchmarks.report --read     print it from the figures in benchmarks/results/

The figures of each benchmark are kept as JSON in `benchmarks/results/` (`--results DIR`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._bench import Report, number

_HERE: Final = Path(__file__).parent


def names() -> list[str]:
    """Return the benchmarks there are, without `bench_`."""
    return sorted(path.stem.removeprefix("bench_") for path in _HERE.glob("bench_*.py"))


def run(name: str, results: Path, more: Sequence[str]) -> None:
    """Run one benchmark in a process of its own, and keep its figures."""
    command = [sys.executable, "-m", f"benchmarks.bench_{name}"]
    target = str((results / f"{name}.json").resolve())
    subprocess.run([*command, "--json", target, *more], cwd=_HERE.parent, check=True)


def read(results: Path) -> list[Report]:
    """Return the figures that are kept, by name."""
    return [
        msgspec.json.decode(path.read_bytes(), type=Report)
        for path in sorted(results.glob("*.json"))
    ]


def markdown(reports: Sequence[Report]) -> str:
    """Return the promises as a table, and below it where and with what they were measured."""
    lines = ["| | target | aim | measured | benchmark |", "| --- | --- | --- | --- | --- |"]
    for found in reports:
        for target in found.targets:
            sign = "≤" if target.at_most else "≥"
            aim = "" if target.aim is None else f"{sign} {number(target.aim)}"
            measured = f"{number(target.measured)} {target.unit}".strip()
            if not target.met:
                measured = f"**{measured}** (missed)"
            source = f"[{found.benchmark}](benchmarks/bench_{found.benchmark}.py)"
            bound = f"{sign} {number(target.target)} {target.unit}".strip()
            lines.append(f"| {target.what} | {bound} | {aim} | {measured} | {source} |")
    seen: dict[str, list[float]] = {}
    for found in reports:
        where = found.machine
        libraries = ", ".join(f"{name} {version}" for name, version in found.versions.items())
        there = (
            f"{where.cpu}, {where.cores} cores, {where.memory_gib:g} GiB, Linux {where.kernel}, "
            f"{where.filesystem}; {libraries}; {found.date[:10]}."
        )
        seen.setdefault(there, []).append(where.loop_ms)
    machines = [
        f"{there} A million rounds of a Python loop took {_span(ms)} ms there."
        for there, ms in seen.items()
    ]
    return "\n".join([*lines, "", *machines])


def _span(values: list[float]) -> str:
    """Return the least and the greatest, or one number if they look the same."""
    return " to ".join(dict.fromkeys(f"{value:.0f}" for value in (min(values), max(values))))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run or read, then print the table."""
    parser = argparse.ArgumentParser(description="All promises and what was measured.")
    parser.add_argument("--read", action="store_true", help="run nothing, read what is kept")
    parser.add_argument("--results", type=Path, default=_HERE / "results", metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a figure")
    given = parser.parse_args(arguments)
    if not given.read:
        for name in names():
            run(name, given.results, ["--quick"] if given.quick else [])
    print(markdown(read(given.results)))


if __name__ == "__main__":
    main()
