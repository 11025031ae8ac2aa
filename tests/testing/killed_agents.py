"""Agents for tests of the harness that kills, one for each promise that a tool can make."""

from __future__ import annotations

import asyncio

from outlive.actors import (
    Agent,
    Heartbeat,
    ModelRequest,
    Retry,
    ScriptedModel,
    SyncToolContext,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.testing.kills import Ledger, Setup

TURNS = 2


def make(ledger: Ledger) -> list[Agent]:
    @tool(in_doubt="fail")
    async def pay(ctx: ToolContext) -> str:
        """Pay, at most once."""
        ledger.note(ctx.idempotency_key)
        await asyncio.sleep(0.01)
        return "paid"

    @tool(idempotent=True, retry=Retry(1_000, delay=0.001, max_delay=0.002))
    async def mail(ctx: ToolContext) -> str:
        """Send a letter, at least once."""
        ledger.note(ctx.idempotency_key)
        await asyncio.sleep(0.005)
        if ctx.attempt % 3 == 1:
            raise RuntimeError("the letter box is full")
        return "sent"

    @tool(idempotent=True)
    def book(ctx: SyncToolContext) -> str:
        """Book under a key, once."""
        ledger.put(ctx.idempotency_key)
        return "booked"

    def script(request: ModelRequest) -> Turn:
        if request.step == TURNS:
            return Turn(text=f"{request.run_id} is done")
        calls = [ToolCall(name, {}) for name in ("pay", "mail", "book")]
        return Turn(text="so far so good", tool_calls=calls)

    return [Agent("clerk", model=ScriptedModel(script), tools=[pay, mail, book])]


def make_talking(ledger: Ledger) -> Setup:
    """Make agents that talk on threads, are signalled there, and have heartbeats."""
    told = Heartbeat(
        "told",
        agent_id="clerk",
        every=1,
        prompt="look",
        thread_id="thread1",
        resource_id="somebody",
    )
    alone = Heartbeat("alone", agent_id="clerk", every=1, prompt="look", misfire="all")
    return Setup(agents=make(ledger), threads=2, heartbeats=[alone, told])
