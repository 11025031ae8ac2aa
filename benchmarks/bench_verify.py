"""How long does it take to find out that a log is what was written?

`verify` of logs of a million events: pages from outside, then the chain of hashes and all
tables, in a process of its own, its start included. Records hold 1 and 2 events of 150 bytes,
in streams of 3,000 events; what was waiting was written in one transaction, of 1,000 commits
or of 50 (then rows are smaller, and there are more pages to look at).

The floor is what cannot be left out: both hashes of each record, over the same bytes, in
memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import blake2b
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
from outlive.events import Commit, LmdbLog, ModelDelta, Version, run_stream, verify

EVENT: Final = ModelDelta(text="x" * 125)
_EVENTS_A_STREAM: Final = 3_000
_HEADER_BYTES: Final = 50


class Sizes(msgspec.Struct, frozen=True):
    """How much is verified."""

    events: int = 1_000_000
    groups: tuple[int, ...] = (1_000, 50)


QUICK: Final = Sizes(events=50_000)


def write(folder: Path, events: int, group: int) -> int:
    """Write a log with so many events, `group` commits at a time; return the commits."""
    log = LmdbLog(folder)
    versions = [0] * group
    commits, left, generation = 0, events, 0
    last: Commit | None = None
    while left > 0:
        for number in range(group):
            stream = run_stream(f"{generation}.{number}")
            count = min(commits % 2 + 1, left)
            if not count:
                break
            last = log.append(stream, (EVENT,) * count, expected_version=Version(versions[number]))
            versions[number] += count
            left -= count
            commits += 1
        if last is not None:
            last.result()
        if versions[0] >= _EVENTS_A_STREAM:
            versions, generation = [0] * group, generation + 1
    log.close()
    return commits


def _ours(folder: Path, events: int) -> float:
    started_ns = time.perf_counter_ns()
    found = verify(folder)
    took_s = (time.perf_counter_ns() - started_ns) / 1e9
    assert (found.status, found.events) == ("ok", events), found
    return took_s


def _floor(events: int) -> float:
    """Hash as much, record by record."""
    payloads = [msgspec.msgpack.encode((EVENT,) * count) for count in (1, 2)]
    header, before = bytes(_HEADER_BYTES), bytes(32)
    started_ns = time.perf_counter_ns()
    for position in range(events * 2 // 3):
        digest = blake2b(payloads[position % 2], digest_size=32).digest()
        before = blake2b(
            before + position.to_bytes(8, "big") + header + digest, digest_size=32
        ).digest()
    return (time.perf_counter_ns() - started_ns) / 1e9


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure with each size of the transactions."""
    rows: list[Row] = []
    slowest = 0.0
    for group in sizes.groups:
        with scratch(folder) as data:
            commits = write(data, sizes.events, group)

            def ours(data: Path = data) -> float:
                return _ours(data, sizes.events)

            mine, floor = take_turns(rounds, ours, lambda: _floor(sizes.events))
            slowest = max(slowest, middle(mine))
            rows.append(
                {
                    "commits a transaction": group,
                    "events": sizes.events,
                    "records": commits,
                    "MB": round((data / "log" / "data.mdb").stat().st_size / 1e6),
                    "s": middle(mine),
                    "events/s": sizes.events / middle(mine),
                    "hashes alone, s": middle(floor),
                    "ratio": ratio(mine, floor),
                }
            )
    target = Target(
        what=f"verify: {sizes.events:,} events", unit="s", measured=slowest, target=5.0, aim=3.0
    )
    return report(
        "verify",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={"verifying": rows},
        targets=[target],
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (1 if given.quick else 5)), given)


if __name__ == "__main__":
    main()
