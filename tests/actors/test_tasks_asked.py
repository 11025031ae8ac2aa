"""`rt.tasks`: what a runtime tells of its background tasks, in every role and without await."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Background,
    Retry,
    Runtime,
    ScriptedModel,
    SyncRuntime,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.actors.sync_tasks import SyncTasks
from outlive.actors.task.control import RuntimeTasks
from outlive.events import AlreadyOver, LogClosed, Recorded, TaskNotFound
from outlive.projections import TaskSummary
from tests.support import Machine, tag


@tool(in_doubt="retry", background=Background(mode="awaited", retry=Retry(1, delay=3, jitter=0)))
async def crawl(ctx: ToolContext, pages: int) -> str:
    """Take some time, and fail at first."""
    await ctx.progress(done=1.0, total=float(pages))
    await asyncio.sleep(2)
    if ctx.attempt == 1:
        raise ConnectionError("busy")
    return f"{pages} pages"


def agent() -> Agent:
    calls = [ToolCall("crawl", {"pages": 2}), ToolCall("crawl", {"pages": 3})]
    model = ScriptedModel([Turn(tool_calls=calls), Turn("done")])
    return Agent("crawler", model=model, tools=[crawl])


def test_a_run_and_its_tasks_are_told_as_they_go_on() -> None:
    async def body(rt: Runtime) -> list[str]:
        run = await rt.start("crawler", "go", run_id="r1")
        told: list[Recorded] = []
        async for recorded in rt.tasks.observe(run_id="r1"):
            told.append(recorded)
            if tag(recorded.event) == "task-started":
                break
        page = await rt.tasks.list(run_id="r1", order="oldest")
        first, second = (task.task_id for task in page.tasks)
        one, other = await rt.tasks.wait([first, second])
        assert (one.unwrap(), other.unwrap()) == ("2 pages", "3 pages")
        info = await rt.tasks.get(first)
        assert [attempt.outcome for attempt in info.attempts] == ["failed", "succeeded"]
        assert (info.agent_id, info.tool, info.run_id) == ("crawler", "crawl", "r1")
        assert info.progress is not None
        assert (info.progress.attempt, info.progress.total) == (2, 2.0)
        assert (await run.result()).status == "completed"
        return [recorded.stream async for recorded in rt.tasks.observe(id=first)]

    machine = Machine()
    assert len(set(machine.run(body, agent()))) == 1


def test_who_follows_a_runtime_that_is_closed_is_told_so() -> None:
    async def body(rt: Runtime) -> asyncio.Future[Any]:
        await rt.start("crawler", "go", run_id="r1")
        events = rt.tasks.observe(agent_id="crawler")
        first = await anext(events)
        assert first.version == 1

        async def rest() -> None:
            async for _ in events:
                pass

        following = asyncio.ensure_future(rest())
        await asyncio.sleep(0)
        await rt.close()
        with pytest.raises(LogClosed):
            await following
        return following

    Machine().run(body, agent())


@pytest.mark.parametrize("role", ["owner", "visitor"])
def test_every_role_tells_the_same(tmp_path: Path, role: Any) -> None:
    async def make() -> list[TaskSummary]:
        async with Runtime(tmp_path, agents=[quick()]) as rt:
            await rt.run("quick", "go", run_id="r1")
            return list((await rt.tasks.list()).tasks)

    async def look() -> list[TaskSummary]:
        async with Runtime(tmp_path, agents=[quick()], role=role) as rt:
            page = await rt.tasks.list(status="succeeded", agent_id="quick")
            (result,) = await rt.tasks.wait([page.tasks[0].task_id])
            assert result.unwrap() == 4
            with pytest.raises(TaskNotFound):
                await rt.tasks.get("nobody")
            return list(page.tasks)

    there = asyncio.run(make())
    assert [task.status for task in there] == ["succeeded"]
    assert asyncio.run(look()) == there


@tool(in_doubt="retry", background=Background(mode="awaited"))
async def double(number: int) -> int:
    """Return twice as much."""
    return 2 * number


def quick() -> Agent:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("double", {"number": 2})]), Turn("done")])
    return Agent("quick", model=model, tools=[double])


def test_without_await_it_is_the_same(tmp_path: Path) -> None:
    with SyncRuntime(tmp_path, agents=[quick()]) as rt:
        rt.run("quick", "go", run_id="r1")
        (task,) = rt.tasks.list(run_id="r1").tasks
        assert rt.tasks.get(task.task_id).position == task.position
        (result,) = rt.tasks.wait([task.task_id], timeout=5)
        assert result.unwrap() == 4
        kinds = [tag(recorded.event) for recorded in rt.tasks.observe(id=task.task_id)]
        assert kinds == ["task-queued", "task-started", "task-succeeded"]
        again = rt.tasks.enqueue("double", {"number": 5}, agent="quick")
        assert rt.tasks.wait(again)[0].result == 10
        assert not rt.tasks.list(status="running").tasks
        with pytest.raises(AlreadyOver):
            rt.tasks.cancel(again)
        with pytest.raises(AlreadyOver):
            rt.tasks.resume(again, 1)


def test_without_await_it_has_the_same_methods() -> None:
    def face(of: type) -> dict[str, list[inspect.Parameter]]:
        methods: list[tuple[str, Callable[..., Any]]] = inspect.getmembers(of, inspect.isfunction)
        return {
            name: [
                parameter.replace(annotation=inspect.Parameter.empty)
                for parameter in inspect.signature(method).parameters.values()
            ]
            for name, method in methods
            if not name.startswith("_")
        }

    assert face(SyncTasks) == face(RuntimeTasks)
