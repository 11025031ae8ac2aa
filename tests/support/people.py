"""Agents that ask people, and what tests of them do again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from outlive.actors import (
    Agent,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.projections import RunResult, ToolMessage

DAY: Final = 24 * 3600
AnyTool = Tool[..., Any]


def agent(tools: Sequence[AnyTool], *calls: ToolCall, id: str = "a") -> Agent:
    """An agent that makes these calls in one step, and then says that it is done."""
    wanted = calls or tuple(ToolCall(each.name) for each in tools)
    turns = [Turn(tool_calls=list(wanted)), Turn(text="done")]
    return Agent(id, model=ScriptedModel(turns), tools=tools)


async def begin(rt: Runtime) -> RunResult:
    run = await rt.start("a", "go", run_id="r1")
    return await run.result()


async def finish(rt: Runtime) -> RunResult:
    return await rt.result("r1")


async def all_leave(rt: Runtime) -> None:
    """Return once nothing is in memory: what has ended is let go some turns of the loop later."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 30  # A commit may be on its way: turns do not tell how long.
    while loop.time() < deadline:
        if not rt.live():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"still in memory: {rt.live()}")


def said(result: RunResult) -> list[Any]:
    """What the model was told of its calls: results, or the kinds of errors."""
    return [
        message.result if message.error is None else message.error.kind
        for message in result.messages
        if isinstance(message, ToolMessage)
    ]


def answering(value: object, suspension: str | None = None) -> Callable[[Runtime], Awaitable[Any]]:
    async def body(rt: Runtime) -> RunResult:
        assert await rt.resume("r1", value, suspension=suspension)
        return await rt.result("r1")

    return body


@tool(in_doubt="retry")
async def ask(ctx: ToolContext) -> Any:
    """Ask which one."""
    return await ctx.suspend("which", {"among": ["x", "y"]}, answer_type=str)


@tool(in_doubt="retry")
def ask_in_thread(ctx: SyncToolContext) -> Any:
    """Ask how many, in a thread."""
    return ctx.suspend("how many", answer_type=int)


@tool(in_doubt="retry")
async def ask_both(ctx: ToolContext) -> list[str]:
    """Ask two things at once."""
    questions = (ctx.suspend(key, answer_type=str) for key in ("left", "right"))
    return list(await asyncio.gather(*questions))


@tool(in_doubt="retry", requires_approval=True)
async def publish(text: str = "one") -> str:
    """Publish something."""
    return f"published {text}"


@tool(in_doubt="retry", requires_approval=True, approval_expires=3600)
async def publish_soon(text: str = "one") -> str:
    """Publish something, if somebody agrees within an hour."""
    return f"published {text}"
