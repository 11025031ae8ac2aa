"""Following one run in a log, without a runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from outlive.events import (
    CallId,
    Event,
    Failure,
    InvalidId,
    InvalidOffset,
    LogClosed,
    MemoryLog,
    MessageDelivered,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    OpenEntry,
    Recorded,
    RunCompleted,
    RunFailed,
    RunNotFound,
    RunRecovered,
    RunStarted,
    RunSuspended,
    StreamId,
    ToolResultIgnored,
    run_stream,
)
from outlive.projections import TextReset, observe_run, text_of
from tests.support import run_virtual

BOOM = Failure(kind="error")
START = RunStarted(agent_id="a", input="hi")
CALLING = ModelCallStarted(model="m", messages=1)
STREAM = run_stream("r1")
ACKNOWLEDGED = MessageDelivered(sequence=1, to=StreamId("heartbeat-h"))
LATE = ToolResultIgnored(call_id=CallId("0.0"), attempt=1, outcome="completed")


def append(log: MemoryLog, *events: Event, entry: OpenEntry | None = None) -> None:
    log.append(STREAM, events, expected_version=log.version(STREAM), entry=entry).result()


async def collect(records: AsyncIterator[Recorded]) -> list[int]:
    return [recorded.version async for recorded in records]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("end", [RunCompleted(), RunFailed(error=BOOM)])
def test_it_yields_what_was_then_what_comes_and_ends_with_the_run(end: Event) -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING)
        seen: list[int] = []

        async def follow() -> None:
            async for recorded in observe_run(log, "r1"):
                seen.append(recorded.version)

        follower = asyncio.ensure_future(follow())
        await turns()
        assert seen == [1, 2]
        append(log, ModelDelta(text="x"))
        await turns()
        assert seen == [1, 2, 3]
        append(log, ModelCallCompleted(text="x"), end)
        await asyncio.wait_for(follower, 1)
        assert seen == [1, 2, 3, 4, 5]

    run_virtual(body())


def test_of_a_finished_run_it_yields_what_is_beyond_the_version_and_ends() -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING, ModelCallCompleted(text="x"), RunCompleted())
        for after in range(5):
            assert await collect(observe_run(log, "r1", after=after)) == [1, 2, 3, 4][after:]

    run_virtual(body())


def test_a_long_run_is_read_in_order_and_once() -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING, *(ModelDelta(text=str(n)) for n in range(1_500)))
        follower = asyncio.ensure_future(collect(observe_run(log, "r1")))
        await turns()
        for n in range(1_500):
            append(log, ModelDelta(text=str(n)))
        append(log, ModelCallCompleted(text="x"), RunCompleted())
        assert await follower == list(range(1, 3_005))

    run_virtual(body())


@pytest.mark.parametrize("after", [ACKNOWLEDGED, LATE])
def test_until_rest_it_ends_also_when_more_has_come_before_it_saw_that(after: Event) -> None:
    """As of a run of a heartbeat, which records that this has heard of its question."""

    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING)
        follower = asyncio.ensure_future(collect(observe_run(log, "r1", until="rest")))
        await turns()
        suspended = OpenEntry(kind="run", status="suspended")
        append(log, ModelCallCompleted(), RunSuspended(waiting=("0.0",)), entry=suspended)
        append(log, after, entry=suspended)
        assert await follower == [1, 2, 3, 4, 5]

    run_virtual(body())


def test_until_rest_it_goes_on_with_one_that_has_gone_on_before_it_saw_that() -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING)
        follower = asyncio.ensure_future(collect(observe_run(log, "r1", until="rest")))
        await turns()
        suspended = OpenEntry(kind="run", status="suspended")
        append(log, ModelCallCompleted(), RunSuspended(waiting=("0.0",)), entry=suspended)
        append(log, CALLING, entry=OpenEntry(kind="run", status="running"))
        await turns()
        assert not follower.done()
        append(log, ModelCallCompleted(), RunCompleted())
        assert await follower == [1, 2, 3, 4, 5, 6, 7]

    run_virtual(body())


def test_other_runs_are_not_seen() -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START)
        log.append(run_stream("r2"), [START], expected_version=log.version(run_stream("r2")))
        append(log, CALLING, ModelCallCompleted(text="x"), RunCompleted())
        seen = [recorded async for recorded in observe_run(log, "r1")]
        assert {recorded.stream for recorded in seen} == {STREAM}

    run_virtual(body())


def test_what_is_unknown_or_was_never_handed_out_is_refused_at_once() -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING)
        with pytest.raises(RunNotFound):
            await anext(observe_run(log, "ghost"))
        with pytest.raises(InvalidId):
            await anext(observe_run(log, ""))
        for after in (-1, 3):
            with pytest.raises(InvalidOffset):
                await anext(observe_run(log, "r1", after=after))

    run_virtual(body())


def test_a_log_that_closes_before_the_end_is_told() -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING)
        follower = asyncio.ensure_future(collect(observe_run(log, "r1")))
        await turns()
        log.close()
        with pytest.raises(LogClosed):
            await follower

    run_virtual(body())


def test_leaving_detaches() -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING)
        events = observe_run(log, "r1")
        await anext(events)
        assert log._feed.followed  # pyright: ignore[reportPrivateUsage]
        await events.aclose()
        assert not log._feed.followed  # pyright: ignore[reportPrivateUsage]

    run_virtual(body())


@pytest.mark.parametrize("after", [4, 5])
def test_it_ends_also_if_a_late_result_was_recorded_after_the_end(after: int) -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING, ModelCallCompleted(text="x"), RunCompleted())
        append(log, ToolResultIgnored(call_id=CallId("0.0")))
        async with asyncio.timeout(1):
            await collect(observe_run(log, "r1", after=after))

    run_virtual(body())


def test_from_before_the_end_it_ends_with_the_end_whatever_was_recorded_after_it() -> None:
    async def body() -> None:
        log = MemoryLog()
        append(log, START, CALLING, ModelCallCompleted(text="x"), RunCompleted())
        append(log, ToolResultIgnored(call_id=CallId("0.0")))
        assert await collect(observe_run(log, "r1")) == [1, 2, 3, 4]

    run_virtual(body())


# -- text --


def text(*events: Event, after: int = 0) -> list[str | TextReset]:
    async def body() -> list[str | TextReset]:
        log = MemoryLog()
        append(log, START, CALLING, *events, RunCompleted())
        return [piece async for piece in text_of(observe_run(log, "r1", after=after))]

    return run_virtual(body())


def delta(piece: str, attempt: int = 1) -> ModelDelta:
    return ModelDelta(text=piece, attempt=attempt)


def test_text_is_the_deltas_and_what_they_left_out() -> None:
    assert text(ModelCallCompleted(text="all at once")) == ["all at once"]
    assert text(delta("one "), delta("two "), ModelCallCompleted(text="one two three")) == [
        "one ",
        "two ",
        "three",
    ]
    assert text(delta("one"), ModelCallCompleted(text="one")) == ["one"]
    assert text(ModelCallCompleted(text="")) == []


def test_reasoning_is_no_text() -> None:
    thought = ModelDelta(text="hm", kind="reasoning")
    assert text(thought, delta("one "), ModelCallCompleted(text="one two", reasoning="hm")) == [
        "one ",
        "two",
    ]


def test_an_answer_that_was_cut_off_begins_anew_after_a_reset() -> None:
    cut_off = (
        RunRecovered(epoch=2),
        ModelAttemptAbandoned(),
        ModelCallStarted(attempt=2, model="m"),
    )
    assert text(
        delta("one "), *cut_off, delta("uno ", 2), ModelCallCompleted(text="uno dos", attempt=2)
    ) == ["one ", TextReset(), "uno ", "dos"]
    assert text(*cut_off, ModelCallCompleted(text="uno", attempt=2)) == ["uno"], (
        "nothing to take back, no reset"
    )


def test_several_answers_follow_each_other() -> None:
    assert text(
        delta("one"),
        ModelCallCompleted(text="one"),
        ModelCallStarted(step=1, model="m"),
        ModelDelta(step=1, text="two"),
        ModelCallCompleted(step=1, text="two!"),
    ) == ["one", "two", "!"]


def test_an_answer_that_broke_off_leaves_what_was_told() -> None:
    async def body() -> list[str | TextReset]:
        log = MemoryLog()
        append(
            log, START, CALLING, delta("so far"), ModelCallFailed(error=BOOM), RunFailed(error=BOOM)
        )
        return [piece async for piece in text_of(observe_run(log, "r1"))]

    assert run_virtual(body()) == ["so far"]


def test_text_from_the_middle_of_an_answer_is_the_rest_of_it() -> None:
    pieces = text(delta("one "), delta("two "), ModelCallCompleted(text="one two three"), after=3)
    assert "".join(map(str, pieces)) == "two three"


# -- compaction --


WORDS = [ModelDelta(text=f"{number} ") for number in range(10)]
WHOLE = "".join(one.text for one in WORDS)


def append_each(log: MemoryLog, *events: Event) -> None:
    for event in events:
        append(log, event)


def test_a_compacted_run_is_told_the_same_text() -> None:
    async def body() -> list[str | TextReset]:
        log = MemoryLog()
        append_each(log, START, CALLING, *WORDS, ModelAttemptAbandoned())
        append_each(log, ModelCallStarted(attempt=2, model="m"), *WORDS)
        append_each(log, ModelCallCompleted(text=WHOLE, attempt=2), RunCompleted())
        assert log.compact().events == 20
        assert await collect(observe_run(log, "r1")) == [1, 2, 13, 14, 25, 26]
        return [piece async for piece in text_of(observe_run(log, "r1"))]

    assert run_virtual(body()) == [WHOLE]


@pytest.mark.parametrize("seen", [1, 5, 10])
def test_an_observer_in_the_middle_is_told_the_rest_once(seen: int) -> None:
    async def body() -> str:
        log = MemoryLog()
        append_each(log, START, CALLING, *WORDS[:seen])
        told: list[str | TextReset] = []
        pieces = text_of(observe_run(log, "r1"))
        while len(told) < seen:
            told.append(await anext(pieces))
        append_each(log, *WORDS[seen:], ModelCallCompleted(text=WHOLE), RunCompleted())
        log.compact()
        told += [piece async for piece in pieces]
        return "".join(map(str, told))

    assert run_virtual(body()) == WHOLE
