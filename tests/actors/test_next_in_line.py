"""Who is next in line is in memory before its turn comes, and that changes nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from outlive.actors import (
    Agent,
    Background,
    BackgroundTasks,
    Retry,
    Runtime,
    ScriptedModel,
    ToolContext,
    tool,
)
from outlive.events import (
    LogReader,
    MemoryLog,
    StreamId,
    TaskQueued,
    TaskStarted,
    task_stream,
)
from outlive.events.recall import Recalled
from tests.support import Machine, clock, open_runtime, run_virtual

ONE = BackgroundTasks(global_concurrency=1)
THREE = BackgroundTasks(global_concurrency=3)


@tool(read_only=True)
async def crawl(seconds: float) -> None:
    """Take a while."""
    await asyncio.sleep(seconds)


def works_at_the_second_try(delay: float) -> Agent:
    """Return an agent whose tool fails at first, and is tried again after so many seconds."""

    @tool(read_only=True, background=Background(retry=Retry(1, delay=delay, jitter=0)))
    async def fetch(ctx: ToolContext) -> None:
        """Fail at first."""
        if ctx.attempt == 1:
            raise ConnectionError("busy")

    return Agent("c", model=ScriptedModel([]), tools=[crawl, fetch])


async def fetch_all(rt: Runtime, *names: str) -> list[str]:
    return [await rt.tasks.enqueue("fetch", agent="c", idempotency_key=name) for name in names]


AGENTS = [Agent(id, model=ScriptedModel([]), tools=[crawl]) for id in "ab"]


async def queue(
    rt: Runtime, *names: str, seconds: float = 5.0, agent: str = "a", priority: int = 0
) -> list[str]:
    """Enqueue tasks of these names; return their ids."""
    return [
        await rt.tasks.enqueue(
            "crawl", {"seconds": seconds}, agent=agent, priority=priority, idempotency_key=name
        )
        for name in names
    ]


def in_memory(rt: Runtime) -> set[StreamId]:
    return {one.stream for one in rt.live()}


def starts(log: LogReader) -> list[StreamId]:
    """Return the tasks in the order in which they were started."""
    return [
        record.stream
        for record in log.read_all()
        for event in record.events
        if isinstance(event, TaskStarted)
    ]


def streams(ids: list[str]) -> list[StreamId]:
    return [task_stream(id) for id in ids]


def play(
    body: Callable[[Runtime], Awaitable[None]], *, background_tasks: BackgroundTasks = ONE
) -> None:
    async def process() -> None:
        async with open_runtime(*AGENTS, background_tasks=background_tasks) as rt:
            await body(rt)

    run_virtual(process())


class CountingLog(MemoryLog):
    """Knows what was recalled."""

    def __init__(self) -> None:
        super().__init__(clock=clock())
        self.recalled: list[StreamId] = []

    def recall(self, stream: StreamId, *, limit: int = 1_000) -> Recalled:
        self.recalled.append(stream)
        return super().recall(stream, limit=limit)


def test_as_many_as_there_are_slots_wait_in_memory_the_others_in_the_log() -> None:
    async def body(rt: Runtime) -> None:
        ids = streams(await queue(rt, *"abcdefghijkl"))
        await asyncio.sleep(1)
        assert in_memory(rt) == set(ids[:6])
        await asyncio.sleep(5)
        assert in_memory(rt) == set(ids[3:9])
        await asyncio.sleep(10)
        assert in_memory(rt) == set(ids[9:])
        await rt.tasks.wait([id.removeprefix("task-") for id in ids])
        await asyncio.sleep(1)
        assert in_memory(rt) == set()

    play(body, background_tasks=THREE)


def test_a_slot_that_gets_free_waits_for_nobody_to_be_read() -> None:
    async def body() -> None:
        log = CountingLog()
        async with open_runtime(*AGENTS, log=log, background_tasks=THREE) as rt:
            ids = streams(await queue(rt, *"abcdefghijkl"))
            await asyncio.sleep(0.5)
            for done in (3, 6, 9):
                await asyncio.sleep(4)
                log.recalled.clear()
                await asyncio.sleep(1)
                assert not set(log.recalled) & set(ids[done : done + 3])
                assert starts(log) == ids[: done + 3]

    run_virtual(body())


def test_one_that_is_cancelled_in_memory_is_not_begun_and_the_next_one_is() -> None:
    async def body(rt: Runtime) -> None:
        ids = await queue(rt, *"abcd")
        await asyncio.sleep(1)
        assert task_stream(ids[1]) in in_memory(rt)
        await rt.tasks.cancel(ids[1])
        found = await rt.tasks.wait(ids)
        assert [task.status for task in found] == [
            "succeeded",
            "cancelled",
            "succeeded",
            "succeeded",
        ]
        assert found[1].attempts == ()
        assert starts(rt.log) == streams([ids[0], *ids[2:]])

    play(body)


def test_one_that_is_outranked_waits_on_and_leaves_memory() -> None:
    async def body(rt: Runtime) -> None:
        late = streams(await queue(rt, *"abc"))
        await asyncio.sleep(1)
        assert late[1] in in_memory(rt)
        first = streams(await queue(rt, *"xyz", priority=1))
        await asyncio.sleep(5)
        assert in_memory(rt) == set(first[:2]), "it has begun, and its like comes next"
        await asyncio.sleep(30)
        assert starts(rt.log) == [late[0], *first, *late[1:]]

    play(body)


def test_the_turns_of_agents_are_taken_whoever_is_in_memory() -> None:
    async def body(rt: Runtime) -> None:
        of_a = streams(await queue(rt, *"abc"))
        await asyncio.sleep(1)
        of_b = streams(await queue(rt, *"xy", agent="b"))
        await asyncio.sleep(30)
        assert starts(rt.log) == [of_a[0], of_b[0], of_a[1], of_b[1], of_a[2]]

    play(body)


@pytest.mark.parametrize("commits", range(4, 10))
def test_one_that_waits_in_memory_is_queued_after_a_crash_and_no_attempt_is_counted(
    commits: int,
) -> None:
    machine = Machine()

    async def ask(rt: Runtime) -> None:
        await queue(rt, *"abcd", seconds=1.0)
        await asyncio.sleep(60)

    async def look(rt: Runtime) -> None:
        ids = [task.task_id for task in (await rt.tasks.list(order="oldest")).tasks]
        found = await rt.tasks.wait(ids)
        cut_off = sum(len(task.attempts) - 1 for task in found)
        assert cut_off <= 1, "only the one in the slot"
        assert all(task.status == "succeeded" for task in found)

    machine.crash(ask, *AGENTS, background_tasks=ONE, commits=commits)
    machine.run(look, *AGENTS, background_tasks=ONE)
    queued = [
        record.stream
        for record in machine.log.read_all()
        for event in record.events
        if isinstance(event, TaskQueued)
    ]
    assert list(dict.fromkeys(starts(machine.log))) == queued


def test_none_is_brought_in_where_nobody_waits() -> None:
    async def body() -> None:
        log = CountingLog()
        async with open_runtime(*AGENTS, log=log, background_tasks=THREE) as rt:
            ids = await queue(rt, *"abc", seconds=0.1)
            await rt.tasks.wait(ids)
            assert sorted(log.recalled) == sorted(streams(ids)), "each once, when it was new"

    run_virtual(body())


def test_one_whose_retry_is_due_waits_in_memory_as_any_other_does() -> None:
    async def body() -> None:
        log = CountingLog()
        agent = works_at_the_second_try(20.0)
        async with open_runtime(agent, log=log, background_tasks=ONE) as rt:
            [again] = streams(await fetch_all(rt, "x"))
            await asyncio.sleep(18)
            assert again not in in_memory(rt), "it is not due for a while"
            await queue(rt, *"ab", agent="c", priority=1)
            await asyncio.sleep(6)
            assert again in in_memory(rt), "it is the next one"
            log.recalled.clear()
            await asyncio.sleep(5)
            assert starts(log)[-1] == again
            assert again not in log.recalled

    run_virtual(body())


def test_a_retry_that_is_due_soon_is_not_read_again() -> None:
    async def body() -> None:
        log = CountingLog()
        agent = works_at_the_second_try(1.0)
        async with open_runtime(agent, log=log, background_tasks=THREE) as rt:
            ids = await fetch_all(rt, *"xyz")
            found = await rt.tasks.wait(ids)
            assert [len(task.attempts) for task in found] == [2, 2, 2]
            assert sorted(log.recalled) == sorted(streams(ids)), "each once, when it was new"

    run_virtual(body())
