"""A sweep finds nothing wrong with agents that are right, of whatever shape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from outlive.actors import Agent, ScriptedModel, SyncToolContext, Tool, ToolCall, ToolContext, Turn
from outlive.actors import tool as make_tool
from outlive.testing import Client, World, assert_survives_crashes


def with_tools(*tools: Tool[..., Any]) -> Callable[[World], Sequence[Agent]]:
    """An agent that calls each of these tools once, all at the same time."""

    def agents(world: World) -> Sequence[Agent]:
        calls = Turn(tool_calls=[ToolCall(tool.name) for tool in tools])
        return [Agent("agent", model=ScriptedModel([calls, Turn("done")]), tools=tools)]

    return agents


async def one_run(client: Client) -> object:
    return (await client.run("agent", "go")).output


@make_tool(idempotent=True, timeout=20)
async def patient(ctx: ToolContext) -> int:
    """Do many things in turn, none of which may take long."""

    async def fetch(number: int) -> int:
        await asyncio.sleep(0.2)
        return number

    total = 0
    for number in range(20):
        total += await asyncio.wait_for(fetch(number), 1)
        total += await asyncio.create_task(fetch(number))
    return total


@make_tool(idempotent=True, timeout=5)
def patient_in_a_thread(ctx: SyncToolContext) -> str:
    """Do two things in a thread."""
    ctx.deps.sleep(1)
    first = ctx.step("first", lambda: ctx.deps.put("first", ctx.key_for("first"), "one"))
    ctx.deps.sleep(1)
    return f"{first}, two"


def test_another_order_lets_no_deadline_pass_that_would_not_pass_otherwise() -> None:
    agents = with_tools(patient, patient_in_a_thread)
    assert_survives_crashes(one_run, agents, orders=20, fates=["kill"], second_crashes=0)
