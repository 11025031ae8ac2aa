"""Agents whose tools write down all they do, step by step, beside what others observe."""

from __future__ import annotations

import asyncio
import os

from outlive.actors import (
    Agent,
    ModelRequest,
    Retry,
    ScriptedModel,
    SyncToolContext,
    ToolCall,
    ToolContext,
    Turn,
    snapshots,
    tool,
)
from outlive.testing.kills import Ledger

STEPS = 4
TURNS = 3


class Flaky(Exception):
    """What the outside world says now and then."""


def make(ledger: Ledger) -> list[Agent]:
    """Make the mole. Every other process saves states, as many as can be; all make use of them."""
    if os.getpid() % 2:
        snapshots.EVERY_EVENTS = 3
    write = ledger.account.write

    @tool(idempotent=True, retry=Retry(1_000, delay=0.001, max_delay=0.002))
    async def walk(seed: int, ctx: ToolContext) -> list[int]:
        """Take a few steps, with the loop's turn between them."""
        ledger.note(ctx.idempotency_key)
        write("body", ctx.run_id, ctx.call_id, ctx.idempotency_key)
        found: list[int] = []
        for number in range(STEPS):

            async def step(number: int = number) -> int:
                write("step", ctx.run_id, ctx.call_id, f"s{number}")
                await asyncio.sleep(0)
                return seed * 100 + number

            found.append(await ctx.step(f"s{number}", step))
            write("stepped", ctx.run_id, ctx.call_id, f"s{number}")
            if (seed + number + ctx.attempt) % 7 == 0:
                raise Flaky(f"attempt {ctx.attempt}")
        await ctx.progress(done=STEPS, total=STEPS)
        return found

    @tool(idempotent=True)
    def dig(seed: int, ctx: SyncToolContext) -> list[int]:
        """The same in a thread."""
        ledger.note(ctx.idempotency_key)
        write("body", ctx.run_id, ctx.call_id, ctx.idempotency_key)
        found: list[int] = []
        for number in range(STEPS):

            def step(number: int = number) -> int:
                write("step", ctx.run_id, ctx.call_id, f"s{number}")
                return seed * 100 + number

            found.append(ctx.step(f"s{number}", step))
            write("stepped", ctx.run_id, ctx.call_id, f"s{number}")
        return found

    def script(request: ModelRequest) -> Turn:
        if request.step == TURNS:
            return Turn(text=f"{request.run_id} has walked and dug", delay=0.0)
        calls = [ToolCall("walk", {"seed": request.step}), ToolCall("dig", {"seed": request.step})]
        return Turn(text="so far so good", tool_calls=calls)

    return [Agent("mole", model=ScriptedModel(script), tools=[walk, dig])]
