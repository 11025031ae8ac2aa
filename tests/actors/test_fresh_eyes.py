"""What a stranger broke: each found by using the library, each with its own test."""

import asyncio
from pathlib import Path

import pytest

from outlive.actors import Agent, EchoModel, Retry, Runtime, ScriptedModel, ToolCall, Turn, tool
from outlive.events import InvalidDefinition, LogClosed, LogInUse


def test_a_close_that_is_cancelled_goes_on_and_the_next_one_waits_for_it(tmp_path: Path) -> None:
    @tool(idempotent=True)
    async def stubborn() -> str:
        """Never end."""
        entered.set()
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if closing.is_set():
                    raise
                closing.set()

    entered, closing = asyncio.Event(), asyncio.Event()
    turns = [Turn(tool_calls=[ToolCall("stubborn")])]
    agent = Agent("a", model=ScriptedModel(turns), tools=[stubborn])

    async def body() -> None:
        rt = Runtime(tmp_path, agents=[agent], close_timeout=0.05)
        await rt.__aenter__()
        run = await rt.start("a", "x")
        waiting = asyncio.ensure_future(run.result())
        await entered.wait()
        first = asyncio.ensure_future(rt.close())
        await closing.wait()
        first.cancel()
        await rt.close()
        with pytest.raises(LogClosed):
            await waiting
        async with Runtime(tmp_path, agents=[agent], close_timeout=0.05):
            pass

    asyncio.run(body())


def test_an_error_inside_a_task_group_is_the_tools_own_and_retried() -> None:
    attempts: list[int] = []

    @tool(idempotent=True, retry=Retry(2, delay=0, retry_on=("ExceptionGroup",)))
    async def grouped() -> str:
        """Fail in a child task."""

        async def child() -> None:
            raise ValueError("the real reason")

        attempts.append(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
        return "never"

    turns = [Turn(tool_calls=[ToolCall("grouped")]), Turn("over")]
    agent = Agent("a", model=ScriptedModel(turns), tools=[grouped])

    async def body() -> str:
        async with Runtime(None, agents=[agent]) as rt:
            return (await rt.run("a", "x")).messages[2].text

    assert "ExceptionGroup" in asyncio.run(body())
    assert len(attempts) == 3


def test_names_to_retry_on_are_names() -> None:
    with pytest.raises(InvalidDefinition, match="holds names"):
        Retry(1, retry_on=(ConnectionError,))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_second_opening_in_the_same_process_says_to_share_the_first(tmp_path: Path) -> None:
    async def body() -> None:
        agent = Agent("e", model=EchoModel())
        async with Runtime(tmp_path, agents=[agent]):
            with pytest.raises(LogInUse):
                async with Runtime(tmp_path, agents=[agent]):
                    pass

    asyncio.run(body())
