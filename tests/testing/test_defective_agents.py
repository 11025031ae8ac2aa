"""A sweep sees the mistakes that are made in agents and tools."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from outlive.actors import Agent, ScriptedModel, Tool, ToolCall, ToolContext, Turn, tool
from outlive.testing import Client, SimulationFailed, World, assert_survives_crashes


@tool(in_doubt="retry")
async def storm(ctx: ToolContext) -> str:
    """Send a mail; on a second attempt many."""
    for _ in range(1 if ctx.attempt == 1 else 10):
        ctx.deps.record("mail", ctx.idempotency_key)
    return "sent"


@tool(in_doubt="retry")
async def drawn_key(ctx: ToolContext) -> str:
    """Send a mail under a key that is drawn."""
    ctx.deps.put("mail", uuid.uuid4().hex, None)
    return "sent"


@tool(in_doubt="retry")
async def key_of_the_attempt(ctx: ToolContext) -> str:
    """Send a mail under a key of the attempt, which is no harm as long as nothing repeats it."""
    if not ctx.deps.count("mail"):
        ctx.deps.record("mail", f"mail of attempt {ctx.attempt}")
    return "sent"


@tool(in_doubt="retry")
async def step_of_the_attempt(ctx: ToolContext) -> str:
    """Send a mail in a step that has another name each time."""

    async def send() -> None:
        ctx.deps.record("mail", ctx.key_for(f"send {ctx.attempt}"))

    await ctx.step(f"send {ctx.attempt}", send)
    await asyncio.sleep(1)
    return "sent"


@tool(in_doubt="retry")
async def forgetful(ctx: ToolContext) -> str:
    """Send a mail only in a first attempt."""
    await asyncio.sleep(1)
    if ctx.attempt == 1:
        ctx.deps.record("mail", ctx.idempotency_key)
    return "sent"


@tool(in_doubt="retry", timeout=5)
async def deaf(ctx: ToolContext) -> str:
    """Take too long, do not listen to its cancellation, and send a mail after all."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ctx.deps.record("mail", ctx.idempotency_key)
    return "sent"


def remembering() -> Tool[..., Any]:
    sent: list[str] = []  # As a variable of a module: no death of a simulated process clears it.

    @tool(in_doubt="retry")
    async def remember(ctx: ToolContext) -> int:
        """Say how many were sent."""
        sent.append(ctx.call_id)
        return len(sent)

    return remember


def calling(*tools: Tool[..., Any]) -> Callable[[World], Sequence[Agent]]:
    def agents(world: World) -> Sequence[Agent]:
        calls = Turn(tool_calls=[ToolCall(each.name) for each in tools])
        return [Agent("agent", model=ScriptedModel([calls, Turn("done")]), tools=tools)]

    return agents


async def one_run(client: Client) -> str:
    return (await client.run("agent", "go", run_id="one")).output


SEEN = [
    (storm, "effect 'mail' happened 10 times under key .*1 times, and 1 deaths explain 2 at most"),
    (drawn_key, "the same seed came to another effect: once to .*something looks at what is not"),
    (
        key_of_the_attempt,
        "under key 'mail of attempt 2', without a crash under 'mail of attempt 1'",
    ),
    (step_of_the_attempt, "effect 'mail' happened under 2 keys, without a crash under 1"),
    (forgetful, "effect 'mail' happened under 0 keys, without a crash under 1"),
    (deaf, "effect 'mail' happened under 0 keys, without a crash under 1"),
    (remembering(), "the same seed came to another log: .*result=1.* and then .*result=2"),
]


@pytest.mark.parametrize(("each", "says"), SEEN, ids=lambda it: getattr(it, "name", ""))
def test_a_mistake_in_a_tool_is_seen(each: Tool[..., Any], says: str) -> None:
    with pytest.raises(SimulationFailed) as failed:
        assert_survives_crashes(one_run, calling(each))
    assert failed.match(says)


def test_an_output_that_depends_on_which_tool_is_first_is_seen() -> None:
    def racing(world: World) -> Sequence[Agent]:
        def racer(name: str) -> Tool[..., Any]:
            async def run(ctx: ToolContext) -> int:
                """Run as long as the other."""
                await asyncio.sleep(1)
                ctx.deps.record("arrived", ctx.idempotency_key)
                return int(ctx.deps.count("arrived"))

            return tool(name=name, in_doubt="retry")(run)

        return calling(racer("one"), racer("other"))(world)

    with pytest.raises(SimulationFailed, match=r"in another order(.|\n)*--outlive-seed=0$"):
        assert_survives_crashes(one_run, racing)
