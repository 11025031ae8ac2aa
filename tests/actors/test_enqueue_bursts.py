"""Many tasks that are enqueued at once: taken up some at a time, so that what runs goes on."""

from __future__ import annotations

import asyncio

import pytest

from outlive.actors import Agent, BackgroundTasks, Runtime, ScriptedModel, tool
from outlive.events import LogClosed, TaskStarted, TaskSucceeded, task_stream
from tests.support import Machine

BURST = 100
AT_ONCE = 32


@tool(read_only=True)
async def crawl(seconds: float) -> None:
    """Take a while."""
    await asyncio.sleep(seconds)


AGENT = Agent("a", model=ScriptedModel([]), tools=[crawl])
ONE = BackgroundTasks(global_concurrency=1)


def burst(rt: Runtime, seconds: float = 1.0) -> list[asyncio.Task[str]]:
    """Ask for many tasks, all at the same moment."""
    return [
        asyncio.ensure_future(
            rt.tasks.enqueue("crawl", {"seconds": seconds}, agent="a", idempotency_key=f"{number}")
        )
        for number in range(BURST)
    ]


def done(asked: list[asyncio.Task[str]]) -> list[int]:
    return [number for number, one in enumerate(asked) if one.done()]


def test_a_burst_is_taken_up_some_at_a_time_and_in_order() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> None:
        asked = burst(rt, seconds=0.0)
        taken: list[int] = []
        while len(taken) < BURST:
            await asyncio.sleep(1.0)
            before, taken = taken, done(asked)
            assert taken == list(range(len(taken)))
            assert len(taken) - len(before) <= AT_ONCE
        ids = [one.result() for one in asked]
        found = await rt.tasks.wait(ids)
        assert {task.status for task in found} == {"succeeded"}
        assert [task.task_id for task in found] == ids

    machine.run(work, AGENT, lag=1.0)
    started = [
        record.stream
        for record in machine.log.read_all()
        for event in record.events
        if isinstance(event, TaskStarted)
    ]
    assert len(set(started)) == len(started) == BURST


def test_tasks_that_run_end_and_others_begin_while_a_burst_comes_in() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> None:
        asked = burst(rt)
        await asyncio.gather(*asked)
        ended = [
            record.stream
            for record in machine.log.read_all()
            for event in record.events
            if isinstance(event, TaskSucceeded)
        ]
        assert ended[:1] == [task_stream(asked[0].result())]

    machine.run(work, AGENT, background_tasks=ONE, lag=1.0)


def test_who_gives_up_waiting_takes_nobodys_turn() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> None:
        asked = burst(rt, seconds=0.0)
        await asyncio.sleep(0.5)
        for one in asked[::2]:  # some that are on their way, and some that wait
            one.cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found[::2])
        ids = [one for one in found[1::2] if isinstance(one, str)]
        assert len(ids) == BURST // 2
        assert {task.status for task in await rt.tasks.wait(ids)} == {"succeeded"}
        again = await asyncio.gather(*burst(rt, seconds=0.0))
        assert len(set(again)) == BURST

    machine.run(work, AGENT, lag=1.0)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 1.5])
def test_a_runtime_that_is_closed_leaves_none_of_a_burst_waiting(seconds: float) -> None:
    machine = Machine()
    asked: list[asyncio.Task[str]] = []

    async def work(rt: Runtime) -> None:
        asked.extend(burst(rt))
        await asyncio.sleep(seconds)
        await rt.close()
        await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5.0)
        refused = [one.exception() for one in asked if one.exception() is not None]
        assert all(isinstance(error, LogClosed) for error in refused), refused

    machine.run(work, AGENT, lag=1.0)
    begun = {record.stream for record in machine.log.read_all() if record.events}
    assert begun >= {task_stream(one.result()) for one in asked if one.exception() is None}
