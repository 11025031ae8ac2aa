"""Are heartbeats on time, and what do ten thousand of them cost?

Created: by one caller, 500 at a time, each durable (fsync on) when it is acknowledged; once with
an expression of its own each, and once, in another folder, with one that all share. Reopened:
until `Runtime` is open with all of them, none of which is due soon. Idle: CPU time of that
process as a share of one core.

Late: 10,000 heartbeats of which 100 are due each second, of an agent that answers at once; from
when an instant is due to its `HeartbeatFired` being decided, as the log has it. At once: 1,000
that are due in the same second; until the last of their runs has started. They were created within
the five seconds before, and so are in memory; to bring in those that are not takes longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

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
from outlive.actors import Agent, EchoModel, Runtime
from outlive.events import HeartbeatFired, Position, Record, RunStarted

_TOGETHER: Final = 500

T = TypeVar("T")


class Sizes(msgspec.Struct, frozen=True):
    """How many heartbeats, how many are due each second, how many at once, how long to watch.

    The first ones are due `ahead` seconds after they are created, and longer if those are many.
    """

    heartbeats: int = 10_000
    each_second: int = 100
    at_once: int = 1_000
    seconds: float = 20.0
    ahead: float = 3.0


QUICK: Final = Sizes(heartbeats=500, each_second=20, at_once=100, seconds=3.0)


def _runtime(folder: Path) -> Runtime:
    return Runtime(folder, agents=[Agent("echo", model=EchoModel())])


async def _create(rt: Runtime, number: int, crons: list[str]) -> float:
    """Create heartbeats; return how many a second."""
    began = time.perf_counter()
    for start in range(0, number, _TOGETHER):
        await asyncio.gather(
            *(
                rt.heartbeats.create(
                    id=f"h{n}",
                    agent_id="echo",
                    prompt="hello",
                    cron=crons[n % len(crons)],
                    timezone="UTC",
                )
                for n in range(start, min(start + _TOGETHER, number))
            )
        )
    return number / (time.perf_counter() - began)


def _distinct(number: int) -> list[str]:
    """Return so many expressions, none of which is due within a month from now."""
    month = (datetime.now(UTC) + timedelta(days=62)).month
    days = [f"{n % 60} {n // 60 % 24} {n // 1_440 % 28 + 1} {month} *" for n in range(number)]
    assert len(set(days)) == number
    return days


async def _standing(folder: Path, sizes: Sizes) -> tuple[float, float, float, float]:
    """Return creations a second, distinct and common; seconds to reopen; and the idle share."""
    async with _runtime(folder / "common") as rt:
        common = await _create(rt, sizes.heartbeats, ["0 0 1 1 *"])
    folder /= "distinct"
    async with _runtime(folder) as rt:
        distinct = await _create(rt, sizes.heartbeats, _distinct(sizes.heartbeats))
    began = time.perf_counter()
    async with _runtime(folder) as rt:
        reopened = time.perf_counter() - began
        await asyncio.sleep(1.0)
        used, began = time.process_time(), time.perf_counter()
        await asyncio.sleep(sizes.seconds)
        idle = (time.process_time() - used) / (time.perf_counter() - began)
        assert not rt.live()
    return distinct, common, reopened, idle


async def _late(folder: Path, sizes: Sizes) -> list[float]:
    """Return by how many milliseconds each fire was late."""
    period = sizes.heartbeats / sizes.each_second
    begin = datetime.now(UTC) + timedelta(seconds=sizes.ahead + sizes.heartbeats / 800)
    async with _runtime(folder) as rt:
        for start in range(0, sizes.heartbeats, _TOGETHER):
            await asyncio.gather(
                *(
                    rt.heartbeats.create(
                        agent_id="echo",
                        prompt="hello",
                        every=period,
                        starts_at=begin + timedelta(seconds=n / sizes.each_second),
                    )
                    for n in range(start, min(start + _TOGETHER, sizes.heartbeats))
                )
            )
        await asyncio.sleep((begin - datetime.now(UTC)).total_seconds() + sizes.seconds)
        fired = [one for _, one in _events(rt, HeartbeatFired)]
        return [(event.at_ns - event.due_ns) / 1e6 for event in fired or [await _first_fire(rt)]]


async def _first_fire(rt: Runtime) -> HeartbeatFired:
    """Wait for a fire, on a machine that does not keep up."""
    _, fired = (await _wait_for(rt, HeartbeatFired, 1))[0]
    return fired


async def _at_once(folder: Path, sizes: Sizes) -> float:
    """Return after how many seconds the last of those that are due together has started."""
    due = datetime.now(UTC) + timedelta(seconds=sizes.ahead + sizes.at_once / 500)
    async with _runtime(folder) as rt:
        for start in range(0, sizes.at_once, _TOGETHER):
            await asyncio.gather(
                *(
                    rt.heartbeats.create(agent_id="echo", prompt="hello", at=due)
                    for _ in range(start, min(start + _TOGETHER, sizes.at_once))
                )
            )
        await asyncio.sleep((due - datetime.now(UTC)).total_seconds() + sizes.ahead)
        started = [at_ns for at_ns, _ in await _wait_for(rt, RunStarted, sizes.at_once)]
        return (max(started) - due.timestamp() * 1e9) / 1e9


async def _wait_for(rt: Runtime, type: type[T], number: int) -> list[tuple[int, T]]:
    """Wait until there are so many events of a type; return when they were recorded, and them."""
    async with rt.log.follow_all() as records:
        while len(found := _events(rt, type)) < number:
            await records.batch()
    assert len(found) == number
    return found


def _events(rt: Runtime, type: type[T]) -> list[tuple[int, T]]:
    return [
        (record.recorded_at_ns, event)
        for record in _records(rt)
        for event in record.events
        if isinstance(event, type)
    ]


def _records(rt: Runtime) -> Iterator[Record]:
    after = Position(0)
    while page := rt.log.read_all(after=after, limit=10_000):
        yield from page
        after = page[-1].position


def measure(sizes: Sizes, folder: Path, rounds: int) -> Report:
    """Measure each of it in a folder of its own."""
    standing: list[tuple[float, float, float, float]] = []
    at_once: list[float] = []
    for _ in range(rounds):
        with scratch(folder) as place:
            standing.append(asyncio.run(_standing(place / "standing", sizes)))
            at_once.append(asyncio.run(_at_once(place / "at_once", sizes)))
    with scratch(folder) as place:
        late = asyncio.run(_late(place / "late", sizes))
    distinct, common, reopened, idle = (
        middle([each[index] for each in standing]) for index in range(4)
    )
    of_all: list[Row] = [
        {
            "heartbeats": sizes.heartbeats,
            "created/s, distinct": distinct,
            "created/s, common": common,
            "reopened after, s": reopened,
            "idle, % of a core": 100 * idle,
        }
    ]
    on_time: list[Row] = [
        {
            "due each second": sizes.each_second,
            "fires": len(late),
            "late p50, ms": percentile(late, 0.5),
            "late p99, ms": percentile(late, 0.99),
            "latest, ms": max(late),
        }
    ]
    together: list[Row] = [{"due at once": sizes.at_once, "started after, s": middle(at_once)}]
    many = f"{sizes.heartbeats:,} heartbeats"
    targets = [
        Target(
            what=f"{many} created, each with an expression of its own",
            unit="/s",
            measured=distinct,
            target=2_000.0,
            at_most=False,
        ),
        Target(
            what=f"{many} created, with a common expression",
            unit="/s",
            measured=common,
            target=5_000.0,
            at_most=False,
        ),
        Target(what=f"{many} reopened", unit="s", measured=reopened, target=1.0),
        Target(
            what=f"{sizes.each_second} due each second, late: 99 of 100",
            unit="ms",
            measured=percentile(late, 0.99),
            target=50.0,
        ),
        Target(
            what=f"{sizes.at_once:,} due at once, all started after",
            unit="s",
            measured=middle(at_once),
            target=0.5,
        ),
        Target(what=f"{many} idle: CPU", unit="% of a core", measured=100 * idle, target=0.5),
    ]
    return report(
        "heartbeats",
        __doc__,
        sizes=sizes,
        rounds=rounds,
        folder=folder,
        tables={"standing": of_all, "on time": on_time, "at once": together},
        targets=targets,
    )


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure as the command line says."""
    given = options(__doc__, arguments)
    sizes = QUICK if given.quick else Sizes()
    return finish(measure(sizes, given.folder, given.rounds or (1 if given.quick else 3)), given)


if __name__ == "__main__":
    main()
