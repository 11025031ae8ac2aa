"""Following a stream or the whole log, live."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from outlive.events import (
    EventLog,
    LogClosed,
    Position,
    Version,
)
from outlive.events.feed import QUEUE_LIMIT
from outlive.events.subscription import READ_LIMIT
from outlive.testing.log_contract.filling import (
    NONE,
    A,
    B,
    C,
    Filler,
    delta,
    run,
    take,
    texts,
    versions,
)
from outlive.testing.log_contract.store import StoreContract

L = TypeVar("L", bound=EventLog)


class FollowingContract(StoreContract[L]):
    """Who follows gets everything once, in order, and then what comes."""

    def test_a_follower_gets_what_is_there_and_then_what_comes(self, log: EventLog) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.numbered(3)
            async with log.follow(A) as follower:
                assert versions(await take(follower, 3)) == [1, 2, 3]
                coming = asyncio.ensure_future(take(follower, 2))
                await asyncio.sleep(0)
                filler.append("4", "5").result(5)
                assert versions(await coming) == [4, 5]

        run(work())

    def test_a_follower_begins_after_a_version(self, log: EventLog) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.append("1", "2", "3").result(5)
            async with log.follow(A, after=Version(2)) as follower:
                assert versions(await take(follower, 1)) == [3]
                filler.append("4").result(5)
                assert versions(await take(follower, 1)) == [4]

        run(work())

    def test_a_stream_may_be_followed_before_it_exists(self, log: EventLog) -> None:
        async def work() -> None:
            async with log.follow(A) as follower:
                coming = asyncio.ensure_future(take(follower, 1))
                await asyncio.sleep(0)
                Filler(log, B).numbered(2)
                Filler(log, A).numbered(1)
                assert texts(await coming) == ["1"]

        run(work())

    def test_the_whole_log_is_followed_by_position(self, log: EventLog) -> None:
        async def work() -> None:
            Filler(log, A).numbered(2)
            async with log.follow_all(after=Position(1)) as follower:
                assert (await anext(follower)).position == 2
                coming = asyncio.ensure_future(anext(follower))
                await asyncio.sleep(0)
                Filler(log, B).numbered(1)
                record = await coming
                assert (record.position, record.stream) == (3, B)
                assert record == log.read_all(after=Position(2))[0]

        run(work())

    def test_a_live_record_is_the_one_that_is_read_later(self, log: EventLog) -> None:
        async def work() -> None:
            async with log.follow_all() as follower:
                coming = asyncio.ensure_future(anext(follower))
                await asyncio.sleep(0)
                log.append(
                    A, delta("1", "2"), expected_version=NONE, cause="m", correlation_id="c"
                ).result(5)
                assert [await coming] == log.read_all()

        run(work())

    @pytest.mark.parametrize("first", [0, 1, READ_LIMIT - 1, READ_LIMIT, READ_LIMIT + 1])
    def test_nothing_is_lost_or_repeated_between_the_log_and_what_is_live(
        self, log: EventLog, first: int
    ) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.numbered(first)
            followers = [log.follow(A, after=Version(after)) for after in (0, first // 2)]
            taken = [
                asyncio.ensure_future(take(one, first + 300 - one_after))
                for one, one_after in zip(followers, (0, first // 2), strict=True)
            ]
            for count in range(300):
                filler.append(str(filler.version + 1))
                if count % 7 == 0:
                    await asyncio.sleep(0)
            for found, after in zip(taken, (0, first // 2), strict=True):
                assert versions(await found) == list(range(after + 1, first + 301))
            for follower in followers:
                await follower.aclose()

        run(work())

    def test_a_follower_that_falls_behind_its_queue_reads_the_log_again(
        self, log: EventLog
    ) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.numbered(1)
            async with log.follow(A) as slow:
                found = await take(slow, 1)
                for _ in range(3):
                    filler.numbered(QUEUE_LIMIT + 10)
                    found += await take(slow, 5)
                found += await take(slow, filler.version - len(found))
                assert versions(found) == list(range(1, filler.version + 1))
                filler.numbered(2)
                assert versions(await take(slow, 2)) == [filler.version - 1, filler.version]

        run(work())

    def test_many_followers_get_the_same(self, log: EventLog) -> None:
        async def work() -> None:
            streams = [A, B, C]
            followers = [log.follow(streams[number % 3]) for number in range(60)]
            taken = [asyncio.ensure_future(take(one, 50)) for one in followers]
            fillers = [Filler(log, stream) for stream in streams]
            for _ in range(25):
                for filler in fillers:
                    filler.append(str(filler.version + 1), str(filler.version + 2))
                await asyncio.sleep(0)
            for found in taken:
                assert versions(await found) == list(range(1, 51))
            for follower in followers:
                await follower.aclose()

        run(work())

    def test_a_follower_that_is_closed_while_it_waits_comes_to_its_end(self, log: EventLog) -> None:
        async def work() -> None:
            follower, other = log.follow(A), log.follow(A)
            waiting = asyncio.ensure_future(anext(follower))
            beside = asyncio.ensure_future(anext(other))
            await asyncio.sleep(0)
            await follower.aclose()
            await follower.aclose()
            with pytest.raises(StopAsyncIteration):
                await waiting
            Filler(log).numbered(1)
            assert (await beside).version == 1
            await other.aclose()

        run(work())

    def test_a_follower_that_is_cancelled_goes_on_later(self, log: EventLog) -> None:
        async def work() -> None:
            filler, follower = Filler(log), log.follow(A)
            waiting = asyncio.ensure_future(anext(follower))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            filler.numbered(2)
            assert versions(await take(follower, 2)) == [1, 2]
            await follower.aclose()

        run(work())

    def test_followers_end_when_the_log_is_closed(self, log: EventLog) -> None:
        async def work() -> None:
            Filler(log).numbered(1)
            fresh, waiting = log.follow(A), log.follow(B)
            ended = asyncio.ensure_future(anext(waiting))
            await take(fresh, 1)
            await asyncio.sleep(0)
            log.close()
            for late in (ended, anext(fresh), anext(log.follow(A))):
                with pytest.raises(LogClosed):
                    await late

        run(work())

    def test_a_follower_that_was_dropped_is_forgotten(self, log: EventLog) -> None:
        async def work() -> None:
            filler = Filler(log)
            filler.numbered(1)
            async for _ in log.follow(A):
                break
            filler.numbered(1)
            async with log.follow(A, after=Version(1)) as follower:
                assert versions(await take(follower, 1)) == [filler.version]

        run(work())
