"""How long after a commit does an observer have its events, here and in another process?

A run's stream gets one event of 200 characters at a time, 200 a second; 1 or 50 observers
follow it, in the owner's event loop or all in one other process (`LmdbReader.follow`). Times
are percentiles over all events and observers: from the acknowledgement (the commit's callback
on the owner's loop), and from the append, which includes the flush. fsync is on. An observer
may have the event before the owner has handled the acknowledgement.

The floor is the bare wake-up at the same rate, with the same observers: `call_soon_threadsafe`
from a thread here, a datagram to another process there, without log, read or decoding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks._bench import Report, Row, Target, finish, options, percentile, report, scratch
from benchmarks._observe_sides import (
    Latencies,
    Sizes,
    floor_here,
    floor_there,
    ours_here,
    ours_there,
)

QUICK: Final = Sizes(events=100)


_Side = Callable[[Path, Sizes, int, Latencies], Awaitable[None]]
_PLACES: Final[dict[str, tuple[_Side, _Side]]] = {
    "same process": (ours_here, floor_here),
    "other process": (ours_there, floor_there),
}
_PROMISES: Final = {"same process": (5.0, 2.0), "other process": (20.0, 8.0)}


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure both places with each number of observers."""
    rows: list[Row] = []
    targets: list[Target] = []
    for place, sides in _PLACES.items():
        for observers in sizes.observers:
            ours, floor = Latencies(), Latencies()
            for turn in range(2 * rounds):
                side, found = ((sides[0], ours), (sides[1], floor))[turn % 2]
                with scratch(folder) as empty:
                    asyncio.run(_run(side, empty, sizes, observers, found))
            rows.append(
                {
                    "observers in": place,
                    "observers": observers,
                    "from ack p50 ms": percentile(ours.from_ack, 0.5),
                    "p99 ms": percentile(ours.from_ack, 0.99),
                    "from append p50 ms": percentile(ours.from_append, 0.5),
                    "p99 ms ": percentile(ours.from_append, 0.99),
                    "floor p50 ms": percentile(floor.from_ack, 0.5),
                    "floor p99 ms": percentile(floor.from_ack, 0.99),
                }
            )
            target, aim = _PROMISES[place]
            targets.append(
                Target(
                    what=f"observers: p99 from the commit, {observers} in {place}",
                    unit="ms",
                    measured=percentile(ours.from_ack, 0.99),
                    target=target,
                    aim=aim,
                )
            )
    tables = {"from a commit to its observers": rows}
    return report(
        "observe",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables=tables,
        targets=targets,
    )


async def _run(side: _Side, folder: Path, sizes: Sizes, observers: int, found: Latencies) -> None:
    await side(folder, sizes, observers, found)


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (1 if given.quick else 2)), given)


if __name__ == "__main__":
    main()
