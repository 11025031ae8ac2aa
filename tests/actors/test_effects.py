"""What is being performed: kept outside the actors, by stream and effect."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable

import pytest

from outlive.actors.effects import EffectTable
from outlive.events import StreamId
from tests.support import clock, run_virtual

RUN, OTHER = StreamId("run-1"), StreamId("run-2")


class Table(EffectTable):
    """A table, and what its effects did."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.did: list[str] = []

    def begin(self, effect: str, seconds: float, *, stream: StreamId = RUN) -> None:
        """Perform an effect that takes so many seconds."""

        async def body() -> None:
            self.did.append(f"{effect} begins")
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.did.append(f"{effect} is cancelled")
                raise
            self.did.append(f"{effect} ends")

        self.start(stream, effect, body, failed=self._fail)

    def _fail(self, reason: str) -> None:
        self.did.append(f"failed: {reason}")


def nobody(_reason: str) -> None:
    """Who is told of a failure here has failed."""
    raise AssertionError


def table(body: Callable[[Table], Awaitable[None]]) -> None:
    async def run() -> None:
        await body(Table())

    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        run_virtual(run())
        gc.collect()  # a coroutine that was never awaited complains by now
    assert not complaints


def test_an_effect_is_performed_and_stays_until_it_is_settled() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 1)
        assert table.did == [], "not before its turn"
        assert table.of(RUN) == {"a"}
        await asyncio.sleep(2)
        assert table.did == ["a begins", "a ends"]
        assert len(table) == 1, "its outcome is not recorded yet"
        table.settle(RUN, "a")
        assert len(table) == 0
        table.settle(RUN, "a")

    table(body)


def test_effects_are_apart_by_stream_and_by_effect() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 1)
        table.begin("b", 1)
        table.begin("a", 1, stream=OTHER)
        await asyncio.sleep(0)
        assert [set(table.of(stream)) for stream in (RUN, OTHER)] == [{"a", "b"}, {"a"}]
        assert len(table) == 3
        table.settle(RUN, "a")
        assert [set(table.of(stream)) for stream in (RUN, OTHER)] == [{"b"}, {"a"}]
        assert table.get(OTHER, "b") is None
        await asyncio.sleep(2)

    table(body)


def test_an_effect_that_is_settled_before_it_ends_is_cancelled() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 10)
        await asyncio.sleep(1)
        table.settle(RUN, "a")
        assert table.of(RUN) == set()
        assert table.given_up(RUN, "a")
        await asyncio.sleep(20)
        assert table.did == ["a begins", "a is cancelled"]
        assert len(table) == 0

    table(body)


def test_an_effect_that_is_settled_before_its_first_turn_never_begins() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 10)
        table.settle(RUN, "a")
        await asyncio.sleep(20)
        assert table.did == []
        assert len(table) == 0

    table(body)


def test_an_effect_that_is_abandoned_goes_on() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 10)
        await asyncio.sleep(1)
        table.settle(RUN, "a", abandon=True)
        assert table.of(RUN) == set()
        await asyncio.sleep(20)
        assert table.did == ["a begins", "a ends"]
        assert len(table) == 0

    table(body)


def test_an_effect_whose_task_somebody_else_cancels_was_cut_off() -> None:
    async def body(table: Table) -> None:
        before = asyncio.all_tasks()
        table.begin("a", 10)
        await asyncio.sleep(1)
        (task,) = asyncio.all_tasks() - before
        task.cancel()
        await asyncio.sleep(5)
        assert table.did == ["a begins", "a is cancelled", "failed: its task was cancelled"]

    table(body)


def test_closing_cancels_all_and_then_nothing_begins() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 10)
        table.begin("b", 10, stream=OTHER)
        await asyncio.sleep(1)
        await table.close()
        assert clock().seconds == 1.0
        table.begin("c", 1)
        await asyncio.sleep(20)
        assert sorted(table.did) == ["a begins", "a is cancelled", "b begins", "b is cancelled"]
        assert len(table) == 0

    table(body)


def test_closing_right_after_an_effect_was_owed_leaves_nothing_behind() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 10)
        await table.close()
        await asyncio.sleep(20)
        assert table.did == []

    table(body)


def test_closing_waits_a_second_at_most_for_all_together() -> None:
    async def body(table: Table) -> None:
        async def stubborn() -> None:
            for _ in range(5):
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    continue

        for number in range(10):
            table.start(RUN, f"s{number}", stubborn, failed=lambda _: None)
        await asyncio.sleep(0.5)
        await table.close()
        assert clock().seconds == 1.5
        await asyncio.sleep(10)

    table(body)


def test_an_effect_is_not_started_twice() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 1)
        second = asyncio.sleep(0)
        with pytest.raises(AssertionError):
            table.start(RUN, "a", lambda: second, failed=lambda _: None)
        second.close()

    table(body)


def test_how_an_effect_ended_is_kept_until_it_is_settled() -> None:
    async def body(table: Table) -> None:
        table.begin("a", 1)
        table.conclude(RUN, "a", "it went well")
        table.conclude(RUN, "gone", "nobody asked")
        assert table.outcomes(RUN) == ["it went well"]
        await asyncio.sleep(2)
        assert table.outcomes(RUN) == ["it went well"]
        table.settle(RUN, "a")
        assert table.outcomes(RUN) == []

    table(body)


@pytest.mark.parametrize("error", [ValueError("a bug of ours"), GeneratorExit()])
def test_an_effect_that_raises_has_failed_and_is_nobody_elses_trouble(
    error: BaseException,
) -> None:
    async def body(table: Table) -> None:
        async def fails() -> None:
            raise error

        reasons: list[str] = []
        table.start(RUN, "a", fails, failed=reasons.append)
        table.begin("b", 1)
        await asyncio.sleep(2)
        assert table.did == ["b begins", "b ends"]
        assert [reason.split(":")[0] for reason in reasons] == [type(error).__name__]
        await table.close()

    table(body)
