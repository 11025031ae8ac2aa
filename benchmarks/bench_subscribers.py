"""What do a hundred observers cost a busy log, and what does a reader that stays?

50 writers append as fast as they are answered, one event of 200 characters a commit, fsync on.
Nobody follows the log, or 100 observers do, 10 of them slow (a pause of 50 ms after each 500
records), in another process or on the very loop of the writers. Each observer checks that it
gets every record once, in order. Told are acknowledged commits a second, and how long after the
last of them the last observer was through. On the writers' loop, observers take the loop's
time: a hundred deliveries a commit; what is measured there is deliveries. Nothing is promised:
writers and observers share the machine's cores, whatever they are.

A reader that stays in its snapshot keeps pages from being used again. Told is by how much the
data file grows a commit with and without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks._bench import (
    Report,
    Row,
    finish,
    middle,
    options,
    ratio,
    report,
    scratch,
    take_turns,
)
from benchmarks._subscribers import Sizes, busy, grown_bytes

QUICK: Final = Sizes(commits=4_000, grown_commits=500)
_PLACES: Final = {"": "nobody", "other process": "other process", "same process": "same process"}


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure each place, then the growth of the file."""
    behind: dict[str, list[float]] = {where: [] for where in _PLACES}

    def side(where: str) -> Callable[[], float]:
        def once() -> float:
            with scratch(folder) as empty:
                found = busy(empty, sizes, where)
            behind[where].append(found.behind_ms)
            return found.commits_per_second

        return once

    figures = take_turns(rounds, *(side(where) for where in _PLACES))
    rows: list[Row] = []
    for (where, name), rates in zip(_PLACES.items(), figures, strict=True):
        count = sizes.observers if where else 0
        rows.append(
            {
                "observers in": name,
                "observers": count or None,
                "commits/s": middle(rates),
                "of those without": ratio(rates, figures[0]),
                "deliveries/s": middle(rates) * count if where == "same process" else None,
                "last one behind, ms": middle(behind[where]) if where else None,
            }
        )
    growth: list[Row] = []
    for held in (False, True):
        with scratch(folder) as empty:
            growth.append(
                {
                    "a reader stays": "yes" if held else "no",
                    "commits": sizes.grown_commits,
                    "file grows, bytes a commit": grown_bytes(empty, sizes, held=held),
                }
            )
    return report(
        "subscribers",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={"a busy log and its observers": rows, "a snapshot that is held": growth},
        targets=[],
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (1 if given.quick else 3)), given)


if __name__ == "__main__":
    main()
