"""Scenarios of runs that wait for a person."""

from __future__ import annotations

import asyncio
from typing import Any

from outlive.actors import (
    Agent,
    ScriptedModel,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.testing import Client, Outcome, World
from tests.testing.scenarios import Case, look


@tool(in_doubt="retry")
async def choose(ctx: ToolContext, among: list[str]) -> str:
    """Ask which one."""
    ctx.deps.record("shown", ctx.key_for("shown"))
    which = await ctx.suspend("which", {"among": among}, answer_type=str)
    sure = await ctx.suspend("sure", which, answer_type=bool)
    ctx.deps.record("chosen", ctx.idempotency_key)
    return which if sure else "none"


@tool(in_doubt="retry")
def choose_in_thread(ctx: SyncToolContext) -> int:
    """Ask for a number, in a thread."""
    first = ctx.step("first", lambda: 20)
    return first + ctx.suspend("how many", answer_type=int)


@tool(in_doubt="retry", isolation="process")
async def choose_elsewhere(ctx: ToolContext) -> int:
    """Ask for a number, in a process of its own."""
    return 20 + await ctx.suspend("how many", answer_type=int)


@tool(in_doubt="retry", requires_approval=True)
async def publish(ctx: ToolContext, text: str) -> str:
    """Publish something."""
    ctx.deps.record("published", ctx.idempotency_key, text)
    return text


@tool(in_doubt="retry", requires_approval=True, approval_expires=3600)
async def publish_soon(ctx: ToolContext, text: str) -> str:
    """Publish something, if somebody agrees within an hour."""
    ctx.deps.record("published", ctx.idempotency_key, text)
    return text


@tool(destructive=True)
async def wipe(ctx: ToolContext) -> str:
    """Wipe a disk."""
    ctx.deps.record("wiped", ctx.idempotency_key)
    await asyncio.sleep(1)
    return "wiped"


def _agents(*turns: Turn) -> list[Agent]:
    tools: list[Tool[..., Any]] = [
        choose,
        choose_in_thread,
        choose_elsewhere,
        publish,
        publish_soon,
        wipe,
        look,
    ]
    return [Agent("agent", model=ScriptedModel(turns), tools=tools)]


def choosing(world: World) -> list[Agent]:
    return _agents(Turn(tool_calls=[ToolCall("choose", {"among": ["a", "b"]})]), Turn(text="so"))


async def answer_twice(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    assert (await client.result(run)).status == "suspended"
    await client.resume(run, "b", suspension="which")
    assert (await client.result(run)).status == "suspended"
    await client.sleep("3d")
    await client.resume(run, True, suspension="sure")
    return (await client.result(run)).output


def choosing_in_thread(world: World) -> list[Agent]:
    calls = [ToolCall("choose_in_thread"), ToolCall("look", {"what": "x"})]
    return _agents(Turn(tool_calls=calls), Turn(text="so"))


def choosing_elsewhere(world: World) -> list[Agent]:
    return _agents(Turn(tool_calls=[ToolCall("choose_elsewhere")]), Turn(text="so"))


async def answer_a_number(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    await client.result(run)
    await client.resume(run, 22, suspension="how many")
    result = await client.result(run)
    return [getattr(message, "result", None) for message in result.messages]


def publishing(world: World) -> list[Agent]:
    calls = [ToolCall("publish", {"text": "one"}), ToolCall("publish", {"text": "two"})]
    return _agents(Turn(tool_calls=calls), Turn(text="done"))


async def approve_one_and_decline_one(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    await client.result(run)
    first, second = await client.pending()
    await client.approve(run, first.call_id, digest=first.digest, args={"text": "uno"}, by="me")
    await client.decline(run, second.call_id, reason="not that")
    result = await client.result(run)
    return [entry.value for entry in client.world.ledger][:1], result.output


def expiring(world: World) -> list[Agent]:
    calls = [ToolCall("publish_soon", {"text": "one"}), ToolCall("look", {"what": "x"})]
    return _agents(Turn(tool_calls=calls), Turn(text="too late"))


async def wait_too_long(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    await client.result(run)
    await client.sleep("2h")
    result = await client.result(run)
    assert client.world.count("published") == 0
    return result.output


def wiping(world: World) -> list[Agent]:
    return _agents(Turn(tool_calls=[ToolCall("wipe")]), Turn(text="clean"))


async def resolve_if_asked(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    result = await client.result(run)
    if result.status == "suspended":
        await client.resolve(run, "0.0", outcome="wiped", by="me")
        result = await client.result(run)
    return result.output


def wiped_or_resolved(calm: Outcome, stormy: Outcome) -> None:
    assert stormy.returned == "clean"


def cancelling(world: World) -> list[Agent]:
    calls = [ToolCall("publish", {"text": "one"}), ToolCall("choose", {"among": ["a"]})]
    return _agents(Turn(tool_calls=calls), Turn(text="never"))


async def cancel(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    await client.result(run)
    await client.cancel(run, "not needed any more")
    await client.cancel(run, "not needed any more")
    result = await client.result(run)
    return result.status, result.error


PEOPLE = [
    Case("suspended, two questions", choosing, answer_twice, second_crashes=2),
    Case("suspended in a thread", choosing_in_thread, answer_a_number),
    Case("suspended in a process", choosing_elsewhere, answer_a_number),
    Case("approve and decline", publishing, approve_one_and_decline_one, second_crashes=2),
    Case("approval expires", expiring, wait_too_long),
    Case("in doubt: ask", wiping, resolve_if_asked, ("wiped",), wiped_or_resolved),
    Case("cancelled while suspended", cancelling, cancel),
]
