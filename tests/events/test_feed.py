from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from outlive.events import LogClosed, Position, Record, Recorded, StreamId, Subscription, Version
from outlive.events.feed import LONGEST_QUEUE, QUEUE_LIMIT, Feed
from outlive.events.subscription import follow_all, follow_stream
from outlive.testing.log_contract.filling import A, delta, run, versions


def record(number: int) -> Record:
    return Record(
        position=Position(number),
        stream=A,
        first_version=Version(number),
        recorded_at_ns=0,
        epoch=1,
        commit_id=bytes(16),
        events=tuple(delta(str(number))),
        hash=bytes(32),
    )


class Source:
    """A feed with the log behind it, as a store publishes: written first, then pushed."""

    def __init__(self) -> None:
        self.feed = Feed()
        self.records: list[Record] = []
        self.reads = 0
        self.before_read: list[Callable[[], None]] = []  # each is done once
        self.after_read: list[Callable[[], None]] = []

    def publish(self, count: int, *, bytes_each: int | None = None) -> None:
        new = [record(len(self.records) + number + 1) for number in range(count)]
        self.records += new
        self.feed.publish(new, None if bytes_each is None else [bytes_each] * count)

    @property
    def kept(self) -> int:
        """How many records the feed keeps for those who follow the whole log."""
        return self.feed._all.kept_count  # pyright: ignore[reportPrivateUsage]

    def follow(self) -> Subscription[Recorded]:
        return follow_stream(self.feed, A, Version(0), self.read)

    def follow_all(self) -> Subscription[Record]:
        return follow_all(self.feed, Position(0), self.read_all)

    def read_all(self, after: Position, limit: int) -> list[Record]:
        self.reads += 1
        # A page of the log is bounded in bytes, too: one that is not full is not the last one.
        return self.records[after : after + min(limit, 100)]

    def read(self, _: StreamId, after: Version, limit: int) -> list[Recorded]:
        self.reads += 1
        while self.before_read:
            self.before_read.pop()()
        found = [found for one in self.records for found in one.recorded(after=after)]
        while self.after_read:
            self.after_read.pop()()
        return found[:limit]


def refuse() -> None:
    raise PermissionError


async def take(follower: AsyncIterator[Recorded], count: int) -> list[int]:
    return versions([await anext(follower) for _ in range(count)])


def test_a_record_that_is_pushed_while_the_log_is_read_comes_once() -> None:
    async def work() -> None:
        source = Source()
        source.publish(2)
        follower = source.follow()
        source.before_read.append(lambda: source.publish(1))  # in the log and in the queue
        source.after_read.append(lambda: source.publish(1))  # in the queue alone
        assert await take(follower, 4) == [1, 2, 3, 4]
        source.publish(1)
        assert await take(follower, 1) == [5]
        assert source.reads == 1

    run(work())


def test_a_queue_that_overflows_during_the_read_is_made_good_by_another_read() -> None:
    async def work() -> None:
        source = Source()
        source.publish(1)
        follower = source.follow()
        source.after_read.append(lambda: source.publish(QUEUE_LIMIT + 5))
        assert await take(follower, QUEUE_LIMIT + 6) == list(range(1, QUEUE_LIMIT + 7))

    run(work())


@pytest.mark.parametrize(
    ("behind", "bytes_each", "reads"),
    [
        (LONGEST_QUEUE, 200, 0),
        (LONGEST_QUEUE + 1, 200, 1),
        (32, 1 << 20, 0),
        (33, 1 << 20, 1),
        (QUEUE_LIMIT, None, 0),
        (QUEUE_LIMIT + 1, None, 1),
    ],
)
def test_small_records_are_kept_for_one_who_is_slow_and_large_ones_are_read_again(
    behind: int, bytes_each: int | None, reads: int
) -> None:
    async def work() -> None:
        # given: a follower that waits for what comes
        source = Source()
        source.publish(1)
        follower = source.follow_all()
        await follower.batch()
        waiting = asyncio.ensure_future(follower.batch())
        await asyncio.sleep(0)
        read_before = source.reads
        # when: so much comes before it has its turn
        for _ in range(behind):
            source.publish(1, bytes_each=bytes_each)
        # then: it takes that from the queue, or the first of it from the log
        found = await waiting
        assert found == source.records[1 : 1 + (100 if reads else behind)]
        assert source.reads - read_before == reads

    run(work())


def test_what_everybody_has_taken_is_not_kept() -> None:
    async def work() -> None:
        # given: two followers that wait for what comes, of which one is slow
        source = Source()
        quick, slow = source.follow_all(), source.follow_all()
        waiting = [asyncio.ensure_future(one.batch()) for one in (quick, slow)]
        await asyncio.sleep(0)
        source.publish(1)
        await asyncio.gather(*waiting)
        # when, then: what it has not taken is kept for it
        for _ in range(8):
            source.publish(QUEUE_LIMIT, bytes_each=200)
            assert len(await quick.batch()) == QUEUE_LIMIT
        assert source.kept >= 8 * QUEUE_LIMIT
        # and let go of once it has
        reads = source.reads
        assert len(await slow.batch()) == 8 * QUEUE_LIMIT
        assert source.reads == reads
        source.publish(QUEUE_LIMIT, bytes_each=200)
        assert source.kept == QUEUE_LIMIT
        # and one that is further behind than anything is kept keeps nothing
        await quick.batch()
        for _ in range(20):
            source.publish(QUEUE_LIMIT, bytes_each=200)
            await quick.batch()
        assert source.kept <= 2 * QUEUE_LIMIT
        assert len(await slow.batch()) == 100

    run(work())


def test_however_large_records_are_the_feed_keeps_no_more_than_so_many_bytes() -> None:
    async def work() -> None:
        # given: a follower that takes all that comes
        source = Source()
        follower = source.follow_all()
        # when: records of 1 MiB come, and one that is larger than all that is kept
        for size_bytes in (1 << 20,) * 100 + (64 << 20,):
            source.publish(1, bytes_each=size_bytes)
            assert len(await follower.batch()) == 1
            # then: what it has taken is let go of
            assert source.kept <= 32
        assert source.kept == 1
        # and it has missed none of them
        assert follower.offset == len(source.records)
        assert source.reads == 2  # both before it followed

    run(work())


def test_a_follower_of_all_that_lagged_reads_what_it_missed_and_is_told_the_rest() -> None:
    async def work() -> None:
        # given: a follower of the whole log that has fallen behind its queue
        source = Source()
        follower = source.follow_all()
        source.publish(QUEUE_LIMIT + 100)
        assert len(await follower.batch()) == 100
        source.publish(200)
        # when: it reads on while the log grows
        seen = 100
        while seen < len(source.records):
            seen += len(await follower.batch())
            if seen < QUEUE_LIMIT:
                source.publish(1)
        # then: it has read each page once, and nothing of what comes after
        reads = source.reads
        source.publish(300)
        assert [one.position for one in await follower.batch()] == [
            one.position for one in source.records[-300:]
        ]
        assert source.reads == reads
        assert reads <= len(source.records) // 100 + 1

    run(work())


def test_who_is_behind_gets_to_what_is_pushed_where_the_log_grows_as_fast_as_he_reads() -> None:
    async def work() -> None:
        # given: a follower of the whole log that is ten pages behind
        source = Source()
        follower = source.follow_all()
        source.publish(1)
        await follower.batch()
        source.publish(QUEUE_LIMIT)
        seen, reads = len(await follower.batch()), source.reads
        # when: as much as a page comes while it reads one
        pages = 0
        while seen < len(source.records) - 1:
            pages += 1
            assert pages < 30, "it reads and reads"
            if pages <= 20:
                source.publish(150, bytes_each=200)
            seen += len(await follower.batch())
        # then: it has read what was there, and was told the rest
        assert source.reads - reads <= QUEUE_LIMIT // 100 + 1
        assert follower.offset == len(source.records)

    run(work())


def test_a_failed_read_can_be_tried_again() -> None:
    async def work() -> None:
        source = Source()
        source.publish(1)
        follower = source.follow()
        source.before_read.append(refuse)
        with pytest.raises(PermissionError):
            await anext(follower)
        assert await take(follower, 1) == [1]

    run(work())


def test_a_feed_is_followed_until_the_last_one_leaves() -> None:
    async def work() -> None:
        source = Source()
        one, other = source.follow(), source.follow()
        source.publish(1)
        await take(one, 1)
        await take(other, 1)
        await one.aclose()
        assert source.feed.followed
        assert source.feed.wants(A)
        del other  # Dropped without a word, as `break` does.
        gc.collect()
        assert (source.feed.followed, source.feed.wants(A)) == (False, False)

    run(work())


def test_followers_of_a_loop_that_is_gone_are_forgotten() -> None:
    source = Source()
    kept: list[Subscription[Recorded]] = []

    async def wait_and_leave() -> None:
        follower = source.follow()
        kept.append(follower)
        waiting = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        waiting.cancel()

    async def take_and_leave() -> None:
        follower = source.follow()
        kept.append(follower)
        await take(follower, 1)

    run(wait_and_leave())
    source.publish(1)
    run(take_and_leave())
    source.publish(QUEUE_LIMIT + 2)  # It would never take them.
    assert not source.feed.followed


def test_a_follower_that_gives_up_waiting_again_and_again_leaves_nothing_behind() -> None:
    async def work() -> None:
        source = Source()
        follower = source.follow()
        for _ in range(50):
            waiting = asyncio.ensure_future(anext(follower))
            await asyncio.sleep(0)
            waiting.cancel()
        (topic,) = source.feed._by_stream.values()  # pyright: ignore[reportPrivateUsage]
        assert len(topic.asleep) == 1
        source.publish(1)
        assert await take(follower, 1) == [1]
        await follower.aclose()
        assert not source.feed.followed

    run(work())


def test_what_is_pushed_twice_by_one_owner_and_the_next_comes_once() -> None:
    async def work() -> None:
        source = Source()
        source.publish(1)
        follower = source.follow()
        assert await take(follower, 1) == [1]
        source.publish(2)
        source.feed.publish(source.records)
        source.publish(1)
        assert await take(follower, 3) == [2, 3, 4]

    run(work())


def test_an_error_that_ends_many_followers_does_not_keep_them_alive() -> None:
    async def work() -> None:
        source = Source()
        ended = LogClosed("over")
        source.feed.end(ended)
        for _ in range(10):
            with pytest.raises(LogClosed) as error:
                await anext(source.follow())
            assert error.value is ended
        frames, at = 0, ended.__traceback__
        while at is not None:
            frames, at = frames + 1, at.tb_next
        assert frames < 10

    run(work())


def test_a_follower_that_could_not_be_registered_is_not_counted() -> None:
    async def work() -> None:
        feed = Feed()
        feed.on_follow = refuse
        follower = follow_stream(feed, A, Version(0), Source().read)
        with pytest.raises(PermissionError):
            await anext(follower)
        assert not feed.followed

    run(work())


def test_who_waits_for_a_lull_is_woken_once_on_his_own_loop_when_the_writer_has_one() -> None:
    async def work() -> None:
        source = Source()
        source.publish(2)
        first, second = source.follow(), source.follow()
        woken: list[tuple[str, int]] = []

        def wake(name: str) -> None:
            woken.append((name, threading.get_ident()))

        first.at_lull(lambda: woken.append(("too soon: it has no place yet", 0)))
        for follower, name in ((first, "first"), (second, "second")):
            await take(follower, 2)
            follower.at_lull(lambda: woken.append(("of which the last one holds", 0)))
            follower.at_lull(partial(wake, name))
        await asyncio.to_thread(source.feed.lull)
        await asyncio.to_thread(source.feed.lull)
        await asyncio.sleep(0)
        here = threading.get_ident()
        assert sorted(woken) == [("first", here), ("second", here)]

    run(work())


def test_a_lull_that_nobody_waits_for_any_more_wakes_nobody() -> None:
    woken: list[int] = []
    source = Source()

    async def work() -> None:
        source.publish(1)
        closed, left = source.follow(), source.follow()
        for follower in (closed, left):
            await take(follower, 1)
            follower.at_lull(lambda: woken.append(1))
        await closed.aclose()
        await asyncio.to_thread(source.feed.lull)
        left.at_lull(lambda: woken.append(2))
        await asyncio.sleep(0)

    run(work())
    source.feed.lull()  # The loop is closed.
    assert woken == [1]
