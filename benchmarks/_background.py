"""What `bench_tasks` measures: tools in the background that do next to nothing, and their queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks._views import all_built
from outlive.actors import (
    Agent,
    Background,
    BackgroundTasks,
    ModelRequest,
    Runtime,
    ScriptedModel,
    ToolCall,
    Turn,
    tool,
)
from outlive.actors.task.entity import TASK
from outlive.events import Commit, LmdbLog, TaskQueued, Value, task_stream
from outlive.events.ids import NO_VERSION

AGENT: Final = "bench"
MANY_CALLERS: Final = 200
_ON_THEIR_WAY: Final = 2_000


def settings(at_once: int) -> BackgroundTasks:
    """Return what lets one agent have so many tasks at once."""
    return BackgroundTasks(global_concurrency=at_once, per_agent_concurrency=at_once)


@asynccontextmanager
async def opened(
    folder: Path,
    at_once: int,
    on_entry: Callable[[int], None],
    *,
    gate: asyncio.Event | None = None,
) -> AsyncGenerator[Runtime]:
    """Open a folder; `on_entry` is told of each body that is entered, and -1 of a model's.

    The bodies go on once `gate` is open, if there is one.
    """

    @tool(idempotent=True, background=Background(mode="awaited"))
    async def work(number: int, seconds: float = 0.0) -> int:
        on_entry(number)
        if gate is not None:
            await gate.wait()
        if seconds:
            await asyncio.sleep(seconds)
        return number

    def turn(request: ModelRequest) -> Turn:
        if request.step:
            return Turn("done")
        on_entry(-1)
        return Turn(tool_calls=[ToolCall("work", {"number": 0})])

    agent = Agent(AGENT, model=ScriptedModel(turn), tools=[work])
    async with Runtime(
        folder, agents=[agent], background_tasks=settings(at_once), max_recoveries=None
    ) as runtime:
        yield runtime


async def enqueue(runtime: Runtime, number: int, seconds: float = 0.0) -> str:
    """Enqueue a task; return its id once it is durable."""
    arguments = {"number": number, "seconds": seconds}
    return await runtime.tasks.enqueue("work", arguments, agent=AGENT)


async def enqueue_many(
    runtime: Runtime, count: int, seconds: float = 0.0, *, callers: int
) -> list[str]:
    """Enqueue tasks, so many callers at the same time; return their ids."""
    ids: list[str] = []
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            ids.append(await enqueue(runtime, number, seconds))

    await asyncio.gather(*(caller() for _ in range(callers)))
    return ids


class Begins(msgspec.Struct):
    """Milliseconds until a task's body is entered, a task each, with nothing else going on."""

    asked: list[float] = []
    """From the call of `enqueue`."""
    acknowledged: list[float] = []
    """From its return: less than 0 where the body was entered before it."""
    called: list[float] = []
    """From a model's answer."""


async def one_by_one(folder: Path, tasks: int) -> Begins:
    """Return how soon tasks begin, one after the other."""
    entered = asyncio.Event()
    at_ns = {0: 0, -1: 0}

    def on_entry(number: int) -> None:
        at_ns[number] = time.perf_counter_ns()
        if number == 0:
            entered.set()

    found = Begins()
    async with opened(folder, 20, on_entry) as runtime:
        for _ in range(tasks + 1):
            began_ns = time.perf_counter_ns()
            task = await enqueue(runtime, 0)
            acknowledged_ns = time.perf_counter_ns()
            await entered.wait()
            found.asked.append((at_ns[0] - began_ns) / 1e6)
            found.acknowledged.append((at_ns[0] - acknowledged_ns) / 1e6)
            await runtime.tasks.wait(task)
            entered.clear()
            result = await runtime.run(AGENT, "go")
            assert result.status == "completed", result
            found.called.append((at_ns[0] - at_ns[-1]) / 1e6)
            entered.clear()
    # The first ones warm up.
    return Begins(found.asked[1:], found.acknowledged[1:], found.called[1:])


class Took(msgspec.Struct, frozen=True):
    """What many tasks took, from the first `enqueue` until all are over."""

    seconds: float
    cpu_us: float  # of one task, both threads


async def all_at_once(
    folder: Path, tasks: int, at_once: int, seconds: float = 0.0, *, callers: int
) -> Took:
    """Enqueue tasks, and wait until all of them are over."""
    entered, all_entered = 0, asyncio.Event()

    def on_entry(_: int) -> None:
        nonlocal entered
        entered += 1
        if entered == tasks + 1:
            all_entered.set()

    async with opened(folder, at_once, on_entry) as runtime:
        await runtime.tasks.wait(await enqueue(runtime, 0))
        began, used = time.perf_counter(), time.process_time()
        ids = await enqueue_many(runtime, tasks, seconds, callers=callers)
        await all_entered.wait()  # Before that, looking would only take time.
        await _over(runtime, ids)
        took, cpu = time.perf_counter() - began, time.process_time() - used
        found = await runtime.tasks.wait(ids)
        assert all(task.status == "succeeded" for task in found)
    return Took(took, cpu * 1e6 / tasks)


async def _over(runtime: Runtime, ids: list[str]) -> None:
    """Return once the tasks' ends are durable: no row is left of them then.

    It looks, a thousand times a second, as each follower of a task would take more time.
    """
    for task_id in reversed(ids):  # The last one is seldom far from the end.
        while runtime.log.open_entry(task_stream(task_id)) is not None:  # noqa: ASYNC110  # no more than it must
            await asyncio.sleep(0.001)


async def write_queue(folder: Path, tasks: int) -> None:
    """Write a log in which so many tasks wait, as a runtime would have, only sooner."""
    log = LmdbLog(folder)
    log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
    waiting: list[Commit] = []
    for number in range(tasks):
        arguments: dict[str, Value] = {"number": number, "seconds": 0.0}
        queued = TaskQueued(tool="work", arguments=arguments, agent_id=AGENT, place=number + 1)
        entry = TASK.open_entry(TASK.evolve(TASK.initial, queued))
        stream = task_stream(f"old-{number}")
        waiting.append(log.append(stream, [queued], expected_version=NO_VERSION, entry=entry))
        if len(waiting) == _ON_THEIR_WAY:
            await waiting[-1]
            waiting.clear()
    await asyncio.to_thread(log.close)


async def dispatch_some(folder: Path, tasks: int, at_once: int) -> float:
    """Open a folder in which tasks wait; return the CPU microseconds that each dispatch takes."""
    entered, used = 0, 0.0
    gate, full, all_entered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def on_entry(_: int) -> None:
        nonlocal entered, used
        entered += 1
        if entered == at_once:
            full.set()
        if entered == tasks + at_once:
            used = time.process_time() - used
            all_entered.set()

    async with opened(folder, at_once, on_entry, gate=gate) as runtime:
        await all_built(runtime)
        await full.wait()
        assert entered == at_once, "nobody gets any further than the slots"
        used = time.process_time()
        gate.set()
        await all_entered.wait()
    return used * 1e6 / tasks
