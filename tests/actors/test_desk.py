"""Who gives the slots away, beside a log that takes its time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Background,
    BackgroundTasks,
    Retry,
    Runtime,
    ScriptedModel,
    Tool,
    ToolContext,
    tool,
)
from outlive.events import Position, StreamId, TaskStarted, TaskState
from outlive.events.task import TaskEvent, evolve
from tests.support import SECOND
from tests.support.machine import Machine


@tool(read_only=True)
async def stepping(ctx: ToolContext) -> None:
    """Get further only after a while."""
    await asyncio.sleep(5)
    await ctx.step("page", int)


ONE = BackgroundTasks(global_concurrency=1)


@tool(read_only=True)
async def crawl(seconds: float) -> None:
    """Take a while."""
    await asyncio.sleep(seconds)


@tool(read_only=True, background=Background(retry=Retry(1, delay=1, jitter=0)))
async def flaky(ctx: ToolContext) -> None:
    """Work the second time."""
    await asyncio.sleep(0.5)
    if ctx.attempt == 1:
        raise ConnectionError("busy")


AGENTS = [Agent(id, model=ScriptedModel([]), tools=[crawl, flaky]) for id in "ab"]


def running(machine: Machine) -> list[int]:
    """Return how many tasks ran after each commit, as the log tells it."""
    states: dict[str, TaskState] = {}
    found: list[int] = []
    for record in machine.log.read_all():
        for event in record.events:
            if isinstance(event, TaskEvent):
                states[record.stream] = evolve(states.get(record.stream, TaskState()), event)
        found.append(sum(state.status == "running" for state in states.values()))
    return found


@pytest.mark.parametrize("lag", [0.0, 0.2, 0.7])
def test_a_task_that_is_tried_again_keeps_the_slot_that_it_was_given(lag: float) -> None:
    machine = Machine()

    async def work(rt: Runtime) -> None:
        ids = [await rt.tasks.enqueue("flaky", agent="a")]
        ids += [await rt.tasks.enqueue("crawl", {"seconds": 0.5}, agent="b") for _ in range(5)]
        found = await rt.tasks.wait(ids)
        assert [task.status for task in found] == ["succeeded"] * 6
        assert [attempt.outcome for attempt in found[0].attempts] == ["failed", "succeeded"]

    machine.run(work, *AGENTS, background_tasks=ONE, lag=lag)
    counts = running(machine)
    assert max(counts) == 1
    assert all(abs(one - next) <= 1 for one, next in pairwise(counts))


def test_a_wall_clock_that_is_set_back_makes_no_task_wait_longer() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> float:
        task = await rt.tasks.enqueue("flaky", agent="a")
        await asyncio.sleep(1)
        machine.clock.set_forward(-3_600)
        began_ns = machine.clock.monotonic_ns()
        await rt.tasks.wait(task)
        return (machine.clock.monotonic_ns() - began_ns) / 1e9

    assert machine.run(work, *AGENTS) == pytest.approx(1.0, abs=0.2)


@tool(read_only=True, background=Background(retry=Retry(1, delay=0, jitter=0)))
async def hasty(ctx: ToolContext) -> None:
    """Work the second time, which is to be at once."""
    await asyncio.sleep(0.5)
    if ctx.attempt == 1:
        raise ConnectionError("busy")


def test_a_task_whose_instant_has_come_waits_for_its_slot_alone_whatever_the_clock_says() -> None:
    machine = Machine()
    agents = [Agent(id, model=ScriptedModel([]), tools=[crawl, hasty]) for id in "ab"]

    async def work(rt: Runtime) -> float:
        task = await rt.tasks.enqueue("hasty", agent="a")
        await rt.tasks.enqueue("crawl", {"seconds": 5}, agent="b")
        await asyncio.sleep(1)  # Its turn is next, as soon as the other one is done.
        machine.clock.set_forward(-3_600)
        began_ns = machine.clock.monotonic_ns()
        await rt.tasks.wait(task, timeout=60)
        return (machine.clock.monotonic_ns() - began_ns) / 1e9

    assert machine.run(work, *agents, background_tasks=ONE) == pytest.approx(5.0, abs=0.2)


def test_a_wall_clock_that_is_set_back_makes_no_task_be_tried_again_any_sooner() -> None:
    machine = Machine()

    async def work(rt: Runtime) -> float:
        await rt.tasks.wait(await rt.tasks.enqueue("flaky", agent="a"))  # An instant has come.
        machine.clock.set_forward(-3_600)
        began_ns = machine.clock.monotonic_ns()
        await rt.tasks.wait(await rt.tasks.enqueue("flaky", agent="a"))
        return (machine.clock.monotonic_ns() - began_ns) / 1e9

    assert machine.run(work, *AGENTS) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_task_that_ends_its_process_each_time_does_not_take_the_others_along(at: int) -> None:
    machine = Machine()
    kills: list[asyncio.Event] = []  # one a process

    @tool(read_only=True)
    async def kill() -> None:
        """End the process."""
        await asyncio.sleep(1)
        kills[-1].set()
        await asyncio.sleep(3_600)

    tools: list[Tool[..., Any]] = [kill, crawl]

    async def ask(rt: Runtime) -> None:
        for number in range(5):
            arguments = {} if number == at else {"seconds": 2.0}
            await rt.tasks.enqueue("kill" if number == at else "crawl", arguments)
        await wait(rt)

    async def wait(rt: Runtime) -> None:
        kills.append(asyncio.Event())
        await kills[-1].wait()

    machine.crash(ask, tools=tools)
    for _ in range(5):
        machine.crash(wait, tools=tools)

    async def look(rt: Runtime) -> dict[str, list[str]]:
        ids = [task.task_id for task in (await rt.tasks.list(order="oldest")).tasks]
        found = await rt.tasks.wait(ids)
        return {
            f"{task.tool} {number}": [attempt.outcome for attempt in task.attempts]
            for number, task in enumerate(found)
        }

    came_to = machine.run(look, tools=tools)
    assert came_to.pop(f"kill {at}") == ["cut_off"] * 6
    assert all(each[-1] == "succeeded" and len(each) <= 3 for each in came_to.values()), came_to


def test_those_that_were_cut_off_again_and_again_go_on_one_by_one() -> None:
    machine = Machine()
    tools: list[Tool[..., Any]] = [crawl, stepping]

    async def ask(rt: Runtime) -> None:
        for seconds in (2.0, 3.0):
            await rt.tasks.enqueue("crawl", {"seconds": seconds})
        await rt.tasks.enqueue("stepping")
        await asyncio.sleep(1)

    async def wait(rt: Runtime) -> None:
        await asyncio.sleep(1)

    machine.crash(ask, tools=tools)
    machine.crash(wait, tools=tools)

    async def look(rt: Runtime) -> list[tuple[str, int]]:
        ids = [task.task_id for task in (await rt.tasks.list(order="oldest")).tasks]
        began_at_ns = machine.clock.monotonic_ns()
        found: list[tuple[str, int]] = []

        async def over(task_id: str) -> None:
            (task,) = await rt.tasks.wait(task_id)
            found.append((task.tool, (machine.clock.monotonic_ns() - began_at_ns) // SECOND))

        ids.append(await rt.tasks.enqueue("crawl", {"seconds": 1.0}, idempotency_key="new"))
        await asyncio.gather(*map(over, ids))
        return found

    assert machine.run(look, tools=tools) == [
        ("crawl", 1),  # a new one, which is not suspected
        ("crawl", 2),
        ("crawl", 5),
        ("stepping", 10),
    ]


def test_the_number_of_a_start_is_given_once_whoever_waits_behind_another_one() -> None:
    """Of those that go on one by one, the one with the highest number may be the last."""
    machine = Machine()
    tools: list[Tool[..., Any]] = [crawl]

    async def ask(rt: Runtime) -> None:
        for _ in range(3):
            await rt.tasks.enqueue("crawl", {"seconds": 5.0})
        await asyncio.sleep(1)

    async def ask_for_one_more(rt: Runtime) -> None:
        task = await rt.tasks.enqueue("crawl", {"seconds": 1.0}, idempotency_key="new")
        await rt.tasks.wait(task)

    machine.crash(ask, tools=tools)
    machine.crash(lambda _: asyncio.sleep(1), tools=tools)
    machine.crash(lambda _: asyncio.sleep(1), tools=tools, commits=3)  # before one goes on
    machine.run(ask_for_one_more, tools=tools)
    started: dict[int, set[StreamId]] = {}
    for record in machine.log.read_all(after=Position(0), limit=1_000):
        for event in record.events:
            if isinstance(event, TaskStarted):
                started.setdefault(event.turn, set()).add(record.stream)
    assert [len(tasks) for tasks in started.values()] == [1] * len(started)
