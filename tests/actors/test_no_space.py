"""Runs while there is no space on the disk: nothing is begun, nothing is lost."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Generator
from pathlib import Path

import pytest

from outlive.actors import Agent, EchoModel, Runtime, ScriptedModel, ToolCall, Turn, tool
from outlive.events import LogParked, RunNotFound, failpoints


@pytest.fixture(autouse=True)
def disarmed() -> Generator[None]:
    yield
    failpoints.disarm_all()


def test_no_run_is_begun_without_space_and_those_that_run_go_on_when_there_is_some(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        entered, go_on = asyncio.Event(), asyncio.Event()

        @tool(read_only=True)
        async def wait() -> str:
            entered.set()
            await go_on.wait()
            return "waited"

        script = [Turn(tool_calls=[ToolCall("wait", {})]), Turn(text="done")]
        waiting = Agent("waiting", model=ScriptedModel(script), tools=[wait])
        echo = Agent("echo", model=EchoModel())
        full, tried = True, asyncio.Event()
        loop = asyncio.get_running_loop()

        def fail() -> None:
            if full:
                failpoints.arm("batch.committing", fail)
                loop.call_soon_threadsafe(tried.set)
                raise OSError(errno.ENOSPC, "No space left on device")

        async with Runtime(tmp_path, agents=[waiting, echo]) as rt:
            run = await rt.start(waiting, "go", run_id="before")
            await entered.wait()
            failpoints.arm("batch.committing", fail)
            go_on.set()
            for _ in range(2):  # The second try comes after the first one was told.
                await tried.wait()
                tried.clear()
            with pytest.raises(LogParked, match="disk is full"):
                await rt.start(echo, "too early", run_id="meanwhile")
            with pytest.raises(RunNotFound):
                await rt.result("meanwhile")
            full = False
            assert (await run.result()).output == "done"
            assert (await rt.run(echo, "again", run_id="meanwhile")).output == "again"

    asyncio.run(asyncio.wait_for(work(), 20))
