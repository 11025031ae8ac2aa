"""Who watches the clock for entities that wait for an instant."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable

from outlive.actors.timers import Timers
from outlive.events import StreamId
from tests.support import SECOND, START_NS, clock, run_virtual

A, B, C = StreamId("run-a"), StreamId("run-b"), StreamId("run-c")


class Watch:
    """Timers, and when each entity was woken."""

    def __init__(self) -> None:
        self.woken: list[tuple[float, str]] = []
        self.timers = Timers(clock(), self._wake)

    def _wake(self, stream: StreamId, now_ns: int) -> None:
        assert now_ns >= clock().now_ns()
        self.woken.append((clock().seconds, stream))

    def set(self, stream: StreamId, seconds: float | None) -> None:
        at_ns = None if seconds is None else START_NS + round(seconds * SECOND)
        self.timers.set(stream, at_ns)


def watch(body: Callable[[Watch], Awaitable[None]]) -> None:
    async def run() -> None:
        await body(Watch())

    run_virtual(run())


def test_each_is_woken_at_its_instant_exactly_and_once() -> None:
    async def body(watch: Watch) -> None:
        watch.set(B, 20)
        watch.set(A, 10.000000001)
        watch.set(C, 20)
        await asyncio.sleep(1_000)
        assert watch.woken == [(10.000000001, A), (20.0, B), (20.0, C)]

    watch(body)


def test_a_new_instant_takes_the_place_of_the_old_one() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, 10)
        watch.set(A, 30)
        watch.set(B, 30)
        watch.set(B, 10)
        await asyncio.sleep(1_000)
        assert watch.woken == [(10.0, B), (30.0, A)]

    watch(body)


def test_no_instant_is_no_waking() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, 10)
        watch.set(A, None)
        watch.set(B, None)
        watch.set(C, 5)
        await asyncio.sleep(1_000)
        assert watch.woken == [(5.0, C)]

    watch(body)


def test_the_same_instant_again_wakes_once_and_after_it_rang_another_time() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, 10)
        watch.set(A, 10)
        await asyncio.sleep(20)
        assert watch.woken == [(10.0, A)]
        watch.set(A, 10)
        await asyncio.sleep(1)
        assert watch.woken == [(10.0, A), (20.0, A)]

    watch(body)


def test_taken_back_and_set_again_to_the_same_instant_it_wakes_once() -> None:
    async def body(watch: Watch) -> None:
        for _ in range(3):
            watch.set(A, 10)
            watch.set(A, None)
        watch.set(A, 10)
        await asyncio.sleep(20)
        assert watch.woken == [(10.0, A)]

    watch(body)


def test_an_instant_that_is_past_wakes_at_once_but_not_from_within() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, -100)
        assert watch.woken == []
        await asyncio.sleep(0.001)
        assert watch.woken == [(0.0, A)]

    watch(body)


def test_who_sets_an_instant_while_being_woken_is_woken_again_and_holds_up_nobody() -> None:
    async def run() -> None:
        woken: list[StreamId] = []

        def wake(stream: StreamId, now_ns: int) -> None:
            woken.append(stream)
            if stream == A and len(woken) < 10:
                timers.set(A, now_ns)

        timers = Timers(clock(), wake)
        timers.set(A, START_NS)
        timers.set(B, START_NS)
        await asyncio.sleep(1)
        assert woken == [A, B, *[A] * 8]

    run_virtual(run())


def test_an_error_in_one_waking_is_not_the_others_trouble() -> None:
    async def run() -> None:
        woken: list[StreamId] = []

        def wake(stream: StreamId, now_ns: int) -> None:
            if stream == A:
                raise ValueError("boom")
            woken.append(stream)

        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        timers = Timers(clock(), wake)
        timers.set(A, START_NS)
        timers.set(B, START_NS)
        timers.set(C, START_NS + SECOND)
        await asyncio.sleep(2)
        assert woken == [B, C]

    run_virtual(run())


def test_one_whose_waking_failed_is_woken_again_five_seconds_later() -> None:
    async def run() -> None:
        woken: list[tuple[float, StreamId]] = []

        def wake(stream: StreamId, _: int) -> None:
            woken.append((clock().seconds, stream))
            if stream == B and clock().seconds == 0:
                timers.set(B, START_NS + 20 * SECOND)
            if len(woken) <= 3:
                raise ValueError("boom")

        timers = Timers(clock(), wake)
        timers.set(A, START_NS)
        timers.set(B, START_NS)
        await asyncio.sleep(21)
        assert woken == [(0.0, A), (0.0, B), (5.0, A), (10.0, A), (20.0, B)]

    run_virtual(run())


def test_a_wall_clock_that_is_set_forward_is_noticed_within_a_minute() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, 3_600)
        await asyncio.sleep(30)
        clock().set_forward(3_600)
        await asyncio.sleep(31)
        assert watch.woken == [(60.0, A)]

    watch(body)


def test_a_wall_clock_that_is_set_back_makes_nobody_wait_longer() -> None:
    async def run() -> None:
        woken: list[tuple[float, StreamId, int]] = []

        def wake(stream: StreamId, now_ns: int) -> None:
            woken.append((clock().seconds, stream, now_ns))

        timers = Timers(clock(), wake)
        timers.set(A, START_NS + 30 * SECOND)
        await asyncio.sleep(10)
        clock().set_forward(-7_200)
        timers.set(B, clock().now_ns() + 5 * SECOND)
        timers.set(C, clock().now_ns() + 50 * SECOND)
        await asyncio.sleep(1_000)
        b_at_ns = START_NS + 15 * SECOND - 7_200 * SECOND
        assert woken == [
            (15.0, B, b_at_ns),
            (30.0, A, START_NS + 30 * SECOND),  # It is its instant for who is woken.
            (60.0, C, b_at_ns + 45 * SECOND),
        ]

    run_virtual(run())


def test_a_wall_clock_that_was_wrong_for_a_while_wakes_nobody_too_early_after_that() -> None:
    async def body(watch: Watch) -> None:
        clock().set_forward(36_000)
        watch.set(A, 36_010)
        clock().set_forward(-36_000)
        watch.set(B, 20)
        await asyncio.sleep(1_000)
        assert [stream for _, stream in watch.woken] == [A, B]
        assert [at for at, _ in watch.woken] == [10.0, 20.0]

    watch(body)


def test_after_the_close_nobody_is_woken() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, 10)
        watch.timers.close()
        await asyncio.sleep(100)
        assert watch.woken == []

    watch(body)


def test_who_asks_after_the_close_is_not_woken_either() -> None:
    async def body(watch: Watch) -> None:
        watch.timers.close()
        watch.set(A, 10)
        assert watch.timers.at(A) is None
        await asyncio.sleep(100)
        assert watch.woken == []

    watch(body)


def test_who_closes_while_being_woken_ends_it_for_those_behind_as_well() -> None:
    async def run() -> None:
        woken, busy = list[StreamId](), BusyClock()

        def wake(stream: StreamId, _: int) -> None:
            woken.append(stream)
            if stream == A:
                timers.close()
                timers.set(B, START_NS)
                busy.busy_ns += SECOND  # Its slice is over: what is left is put off.

        timers = Timers(busy, wake)
        for stream in (A, B, C):
            timers.set(stream, START_NS)
        await asyncio.sleep(1)
        assert woken == [A]

    run_virtual(run())


def test_instants_that_are_taken_back_are_not_kept_until_they_come() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, 40)
        tracemalloc.start()
        try:
            for number in range(20_000):
                stream = StreamId(f"run-{number}")
                watch.set(stream, 86_400 + number)
                watch.set(stream, None)
            kept_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept_bytes < 1_000_000
        await asyncio.sleep(100_000)
        assert watch.woken == [(40.0, A)]

    watch(body)


def test_who_is_set_after_all_others_were_taken_back_does_not_wait_for_their_instants() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, 70)
        watch.set(B, 75)
        watch.set(A, None)
        watch.set(B, None)
        await asyncio.sleep(61)
        watch.set(C, 80)
        await asyncio.sleep(100)
        assert watch.woken == [(80.0, C)]

    watch(body)


def test_an_interruption_is_handed_on_and_those_behind_are_woken_when_the_loop_goes_on() -> None:
    async def run() -> None:
        woken, told = list[StreamId](), list[str]()

        class Interrupted(BaseException):
            pass

        def wake(stream: StreamId, _: int) -> None:
            if stream == A:
                raise Interrupted
            woken.append(stream)

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(repr(context["exception"])))
        timers = Timers(clock(), wake)
        timers.set(A, START_NS)
        timers.set(B, START_NS)
        timers.set(C, START_NS + SECOND)
        await asyncio.sleep(2)
        assert told == ["Interrupted()"]
        assert woken == [B, C]

    run_virtual(run())


def test_whoever_sees_that_the_clock_was_set_forward_has_those_woken_who_are_due_by_that() -> None:
    async def body(watch: Watch) -> None:
        watch.set(A, 3_600)
        await asyncio.sleep(1)
        clock().set_forward(3_600)
        watch.set(B, 86_400)
        await asyncio.sleep(1)
        assert watch.woken == [(1.0, A)]

    watch(body)


def test_ten_thousand_instants_ring_in_order() -> None:
    async def body(watch: Watch) -> None:
        for number in range(10_000):
            watch.set(StreamId(f"run-{number}"), (number * 7919) % 10_000 / 100)
        await asyncio.sleep(200)
        times = [at for at, _ in watch.woken]
        assert len(times) == 10_000
        assert times == sorted(times)

    watch(body)


def number_woken_by_the_next_turn(number: int, *, each_takes_ns: int) -> int:
    """Have so many wait for the same instant; return how many are woken before others run."""
    found: list[int] = []

    async def run() -> None:
        loop, woken, time = asyncio.get_running_loop(), list[StreamId](), BusyClock()

        def wake(stream: StreamId, _: int) -> None:
            woken.append(stream)
            time.busy_ns += each_takes_ns

        timers = Timers(time, wake)
        for index in range(number):
            timers.set(StreamId(f"run-{index}"), START_NS + 10 * SECOND)
        loop.call_at(loop.time() + 10, lambda: loop.call_soon(lambda: found.append(len(woken))))
        await asyncio.sleep(11)
        assert woken == [StreamId(f"run-{index}") for index in sorted(range(number), key=str)]

    run_virtual(run())
    return found[0]


class BusyClock:
    """A clock of a process that has been busy for some time while the loop's stood still."""

    def __init__(self) -> None:
        self.busy_ns = 0

    def now_ns(self) -> int:
        return clock().now_ns() + self.busy_ns

    def monotonic_ns(self) -> int:
        return clock().monotonic_ns() + self.busy_ns


def test_those_that_wait_for_the_same_instant_are_woken_together() -> None:
    assert number_woken_by_the_next_turn(400, each_takes_ns=10_000) == 400


def test_waking_many_holds_up_others_for_twenty_milliseconds_and_no_longer() -> None:
    assert number_woken_by_the_next_turn(100, each_takes_ns=1_000_000) == 20
    assert number_woken_by_the_next_turn(3, each_takes_ns=SECOND) == 1


def test_however_fast_they_are_woken_others_have_their_turn_after_a_thousand() -> None:
    assert number_woken_by_the_next_turn(2_500, each_takes_ns=0) == 1_000


def test_who_is_woken_may_take_back_the_instant_of_one_that_is_to_be_woken_next() -> None:
    async def run() -> None:
        woken: list[tuple[float, StreamId]] = []

        def wake(stream: StreamId, _: int) -> None:
            woken.append((clock().seconds, stream))
            if stream == A:
                timers.set(B, None)
                timers.set(C, START_NS + 5 * SECOND)

        timers = Timers(clock(), wake)
        for stream in (A, B, C):
            timers.set(stream, START_NS)
        await asyncio.sleep(10)
        assert woken == [(0.0, A), (5.0, C)]

    run_virtual(run())
