"""A hundred observers on a busy log: none holds the writer up, misses a record or repeats one."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from outlive.events import EventLog, LmdbLog, MemoryLog, Record, Subscription, run_stream
from outlive.events.feed import QUEUE_LIMIT
from outlive.testing.log_contract.filling import A, Filler, run
from tests.events.programs import Program

OBSERVERS, SLOW, RECORDS = 100, 10, 3 * QUEUE_LIMIT

OBSERVE = """
    import asyncio, sys
    from outlive.events import LmdbReader
    path, observers, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    async def one(reader, slow):
        found = []
        async with reader.follow_all() as records:
            async for record in records:
                found.append(record.position)
                begun.add(id(found))
                if len(begun) == observers and 1 == found[-1]:
                    print("following", flush=True)
                if len(found) == count:
                    return found
                if slow:
                    await asyncio.sleep(0)  # Its turn, and everybody else's, between two records.

    begun = set()

    async def work():
        reader = LmdbReader(path)
        all = await asyncio.gather(*(one(reader, number < 10) for number in range(observers)))
        assert all == [list(range(1, count + 1))] * observers
        print("nothing lost, nothing twice", flush=True)
        reader.close()

    asyncio.run(work())
"""


@pytest.fixture(params=["memory", "lmdb"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[EventLog]:
    log: EventLog = MemoryLog() if request.param == "memory" else LmdbLog(tmp_path)
    yield log
    log.close()


def held(subscription: Subscription[Record]) -> int:
    """How many records it keeps for itself."""
    return len(subscription._ready)  # pyright: ignore[reportPrivateUsage]


def test_slow_observers_fall_back_to_reading_and_nobody_else_notices(log: EventLog) -> None:
    async def work() -> None:
        subscriptions = [log.follow_all() for _ in range(OBSERVERS)]
        seen: list[list[int]] = [[] for _ in subscriptions]

        async def take(number: int, count: int) -> None:
            for _ in range(count):
                seen[number].append((await anext(subscriptions[number])).position)

        # given: all follow, live
        filler = Filler(log)
        filler.numbered(1)
        await asyncio.gather(*(take(number, 1) for number in range(OBSERVERS)))

        # when: much is committed, and the slow ones take one record at a time
        step = QUEUE_LIMIT // 4
        for _ in range(RECORDS // step):
            filler.numbered(step)  # acknowledged, whoever is how far
            await asyncio.gather(*(take(number, 1) for number in range(SLOW)))
            await asyncio.gather(*(take(number, step) for number in range(SLOW, OBSERVERS)))
            assert max(held(one) for one in subscriptions) <= QUEUE_LIMIT

        # then: the slow ones catch up, and everybody has had everything, once, in order
        left = RECORDS + 1 - len(seen[0])
        assert left > 2 * QUEUE_LIMIT
        await asyncio.gather(*(take(number, left) for number in range(SLOW)))
        assert seen == [list(range(1, RECORDS + 2))] * OBSERVERS
        filler.numbered(1)
        await asyncio.gather(*(take(number, 1) for number in range(OBSERVERS)))
        for subscription in subscriptions:
            await subscription.aclose()

    run(work())


def test_observers_of_many_streams_and_of_all_get_what_is_theirs(log: EventLog) -> None:
    async def work() -> None:
        streams = [run_stream(str(number)) for number in range(20)]
        of_streams = [(stream, log.follow(stream)) for stream in streams for _ in range(4)]
        of_all = [log.follow_all() for _ in range(20)]
        fillers = [Filler(log, stream) for stream in streams]
        for round_number in range(40):
            for filler in fillers:
                filler.append(str(round_number))
            if round_number % 7 == 0:
                await asyncio.gather(*(anext(one) for one in of_all), anext(of_streams[0][1]))
        Filler(log, A).numbered(1)
        for stream, events in of_streams:
            start = events.offset
            found = [await anext(events) for _ in range(40 - start)]
            assert [one.version for one in found] == list(range(start + 1, 41))
            assert {one.stream for one in found} == {stream}
        for records in of_all:
            positions = [(await anext(records)).position for _ in range(801 - records.offset)]
            assert positions == list(range(7, 802))

    run(work())


def test_a_hundred_observers_in_another_process_lose_nothing(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    Filler(log).numbered(1)
    with Program(OBSERVE, tmp_path, OBSERVERS, 1_000) as program:
        assert program.line() == "following"
        for _ in range(9):
            Filler(log).numbered(111)
        assert program.line() == "nothing lost, nothing twice"
        assert program.end() == 0
    log.close()
