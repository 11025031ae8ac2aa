"""What a thread is told of background tasks that end when no run waits for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    Background,
    ModelRequest,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import OtherResource, TaskExists, ThreadNotFound
from tests.support.machine import Machine
from tests.support.threads import Heard, ask, echo, said_on, texts


def crawler(**options: Any) -> Agent:
    """Begins a crawl of a minute, and answers at once."""

    @tool(read_only=True, background=Background(**options))
    async def crawl(fails: bool = False) -> str:
        await asyncio.sleep(60)
        if fails:
            raise ValueError("lost")
        return "crawled"

    turns = [Turn(tool_calls=[ToolCall("crawl", {"fails": options.get("detached", False)})])]
    return Agent("a", model=ScriptedModel([*turns, Turn("begun")]), tools=[crawl])


def test_a_late_result_is_kept_in_the_thread_once() -> None:
    async def wait(rt: Runtime) -> list[str]:
        await (await ask(rt, "one")).result()
        await rt.tasks.wait("one:0.0")
        await asyncio.sleep(1)
        return await said_on(rt)

    assert Machine().run(wait, crawler())[-2:] == [
        "begun",
        "Background task one:0.0 (tool crawl) succeeded: crawled",
    ]


def test_a_late_failure_is_told_just_the_same() -> None:
    async def wait(rt: Runtime) -> list[str]:
        await (await ask(rt, "one")).result()
        await rt.tasks.wait("one:0.0")
        await asyncio.sleep(1)
        return await said_on(rt)

    failed = "Background task one:0.0 (tool crawl) failed: error (error): ValueError: lost"
    assert Machine().run(wait, crawler(detached=True))[-1] == failed


def test_a_result_that_comes_in_time_is_told_once() -> None:
    async def wait(rt: Runtime) -> list[str]:
        await (await ask(rt, "one", until_idle=True)).result()
        await asyncio.sleep(5)
        return await said_on(rt)

    said = Machine().run(wait, crawler_that_waits())
    assert len([one for one in said if "succeeded" in one]) == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_result_that_is_to_wake_and_the_run_ends_without_having_read_wakes(
    cancelled: bool,
) -> None:
    @tool(read_only=True, background=Background(on_complete="wake"))
    async def crawl() -> str:
        await asyncio.sleep(5)
        return "crawled"

    heard: Heard = []

    def answer(request: ModelRequest) -> Turn:
        heard.append(texts(request.messages))
        return Turn("so", delay=10) if len(heard) > 1 else Turn(tool_calls=[ToolCall("crawl")])

    async def wait(rt: Runtime) -> list[str]:
        run = await ask(rt, "one")
        await asyncio.sleep(1)
        await rt.tasks.wait("one:0.0")
        if cancelled:
            await asyncio.sleep(1)
            await rt.cancel("one")
        await run.result()
        await asyncio.sleep(1)
        return await said_on(rt)

    said = Machine().run(wait, Agent("a", model=ScriptedModel(answer), tools=[crawl]))
    result = "Background task one:0.0 (tool crawl) succeeded: crawled"
    assert said.count(result) == 1
    assert len(heard) == 3
    assert heard[2][-1] == result


def crawler_that_waits() -> Agent:
    @tool(read_only=True, background=True)
    async def crawl() -> str:
        await asyncio.sleep(60)
        return "crawled"

    turns = [Turn(tool_calls=[ToolCall("crawl")]), Turn("begun"), Turn("done")]
    return Agent("a", model=ScriptedModel(turns), tools=[crawl])


def test_the_tasks_of_a_cancelled_run_are_told_to_be_so() -> None:
    async def cancel(rt: Runtime) -> list[str]:
        await ask(rt, "one", until_idle=True)
        await asyncio.sleep(5)
        await rt.cancel("one", "enough")
        await asyncio.sleep(5)
        return await said_on(rt)

    said = Machine().run(cancel, crawler_that_waits())
    assert "Background task one:0.0 (tool crawl) cancelled" in said[-1]


@pytest.mark.parametrize(
    ("on_complete", "heard", "kept"),
    [
        ("append", [], ["<result>"]),
        ("wake", [["<result>"]], ["<result>", "answer 1"]),
        ("ignore", [], []),
    ],
)
def test_a_task_that_nobody_asked_for_is_told_to_its_thread(
    on_complete: Any, heard: Heard, kept: list[str]
) -> None:
    @tool(read_only=True)
    async def crawl() -> str:
        await asyncio.sleep(60)
        return "crawled"

    shown: Heard = []

    async def enqueue(rt: Runtime) -> tuple[str, list[str]]:
        await rt.threads.create(resource_id="u", thread_id="t")
        where: dict[str, Any] = {"thread_id": "t", "resource_id": "u", "on_complete": on_complete}
        task_id = await rt.tasks.enqueue("crawl", agent="a", idempotency_key="k", **where)
        await rt.tasks.wait(task_id)
        info = await rt.tasks.get(task_id)
        assert (info.thread_id, info.resource_id) == ("t", "u")
        with pytest.raises(TaskExists):
            await rt.tasks.enqueue("crawl", agent="a", idempotency_key="k")
        await asyncio.sleep(5)
        return task_id, await said_on(rt)

    task_id, said = Machine().run(enqueue, echo(shown, tools=[crawl]))
    result = f"Background task {task_id} (tool crawl) succeeded: crawled"

    def named(texts: list[str]) -> list[str]:
        return [text.replace(result, "<result>") for text in texts]

    assert [named(texts) for texts in shown] == heard
    assert named(said) == kept


def fails_once() -> Agent:
    @tool(read_only=True, background=True)
    async def crawl(ctx: ToolContext) -> str:
        await asyncio.sleep(60)
        if ctx.attempt == 1:
            raise ValueError("lost")
        return "crawled"

    turns = [Turn(tool_calls=[ToolCall("crawl")]), Turn("begun")]
    return Agent("a", model=ScriptedModel(turns), tools=[crawl])


def test_what_comes_of_another_try_is_told_to_the_thread_of_the_run() -> None:
    async def retry(rt: Runtime) -> list[str]:
        await (await ask(rt, "one")).result()
        await rt.tasks.wait("one:0.0")
        await rt.tasks.retry("one:0.0")
        await rt.tasks.wait("one:0.0")
        await asyncio.sleep(1)
        return await said_on(rt)

    assert Machine().run(retry, fails_once())[-2:] == [
        "Background task one:0.0 (tool crawl) failed: error (error): ValueError: lost",
        "Background task one:0.0 (tool crawl) succeeded: crawled",
    ]


@pytest.mark.parametrize("on_complete", ["append", "wake"])
def test_a_thread_is_told_of_each_try_of_a_task_that_nobody_asked_for(on_complete: Any) -> None:
    shown: Heard = []

    async def enqueue(rt: Runtime) -> None:
        where: dict[str, Any] = {"thread_id": "t", "resource_id": "u", "on_complete": on_complete}
        task_id = await rt.tasks.enqueue("crawl", agent="a", **where)
        await rt.tasks.wait(task_id)
        await rt.tasks.retry(task_id)
        await rt.tasks.wait(task_id)
        await asyncio.sleep(5)
        await (await ask(rt, "and?")).result()

    Machine().run(enqueue, echo(shown, tools=fails_once().tools.values()))
    assert len(shown) == (1 if on_complete == "append" else 3)
    told = [text.partition(")")[2] for text in shown[-1] if text.startswith("Background")]
    assert told == [" failed: error (error): ValueError: lost", " succeeded: crawled"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"resource_id": "u"}, ValueError),
        ({"on_complete": "wake"}, ValueError),
        ({"thread_id": "t", "on_complete": "shout"}, ValueError),
        ({"thread_id": "t", "resource_id": ""}, ValueError),
        ({"thread_id": ""}, ValueError),
        ({"thread_id": "t", "agent": None, "on_complete": "wake"}, ValueError),
        ({"thread_id": "nowhere"}, ThreadNotFound),
        ({"thread_id": "t", "resource_id": "v"}, OtherResource),
    ],
)
def test_what_no_thread_can_be_told_is_refused(
    options: dict[str, Any], error: type[Exception]
) -> None:
    async def enqueue(rt: Runtime) -> None:
        await rt.threads.create(resource_id="u", thread_id="t")
        fields: dict[str, Any] = {"agent": "a", **options}
        with pytest.raises(error):
            await rt.tasks.enqueue("crawl", **fields)
        assert (await rt.tasks.list()).tasks == ()

    Machine().run(enqueue, crawler())
