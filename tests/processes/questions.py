"""Agents that ask people at every turn, and people who answer as people do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

from outlive.actors import (
    Agent,
    ModelRequest,
    ScriptedModel,
    Steering,
    SyncToolContext,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import AlreadyDecided, AlreadyResumed
from outlive.projections import Pending
from outlive.testing.kills import Ledger, Setup

CANCELLED: Final = 0.03  # of what is said


def make(ledger: Ledger) -> Setup:
    @tool(in_doubt="retry")
    async def order(ctx: ToolContext) -> str:
        """Ask two things, and order then."""
        many = await ctx.suspend("how many", answer_type=int)
        where = await ctx.suspend("where to", answer_type=str)
        ledger.note(ctx.idempotency_key)
        return f"{many} to {where}"

    @tool(in_doubt="retry")
    def measure(ctx: SyncToolContext) -> int:
        """Ask a thing, in a thread."""
        answer: int = ctx.suspend("how long", answer_type=int)
        return answer

    @tool(idempotent=True, requires_approval=True)
    async def publish(ctx: ToolContext, text: str) -> str:
        """Publish, if somebody agrees; again if need be."""
        ledger.note(ctx.idempotency_key)
        return text

    @tool(idempotent=True, requires_approval=True, approval_expires=0.5)
    async def publish_soon(ctx: ToolContext, text: str) -> str:
        """Publish, if somebody agrees soon."""
        ledger.note(ctx.idempotency_key)
        return text

    @tool(destructive=True, requires_approval=True)
    async def wipe(ctx: ToolContext, text: str) -> str:
        """Wipe a disk, if somebody agrees; never again but for a person."""
        ledger.note(ctx.idempotency_key)
        await asyncio.sleep(0.03)
        return text

    @tool(destructive=True)
    def burn(ctx: SyncToolContext) -> str:
        """Burn something, in a thread; never again but for a person."""
        ledger.note(ctx.idempotency_key)
        time.sleep(0.03)
        return "burnt"

    turns = [
        [ToolCall("order"), ToolCall("publish", {"text": "one"}), ToolCall("burn")],
        [ToolCall("wipe", {"text": "one"}), ToolCall("measure")],
        [ToolCall("publish_soon", {"text": "two"}), ToolCall("burn")],
    ]

    def script(request: ModelRequest) -> Turn:
        if request.step == len(turns):
            return Turn(text=f"{request.run_id} is done")
        return Turn(tool_calls=turns[request.step])

    tools: list[Tool[..., Any]] = [order, measure, publish, publish_soon, wipe, burn]
    return Setup(agents=[Agent("clerk", model=ScriptedModel(script), tools=tools)], people=speak)


async def speak(rt: Steering, run_id: str, waiting: Sequence[Pending], rng: Random) -> None:
    """Say something to a run: what it waits for, or something else altogether."""
    by = f"{rng.getrandbits(48):012x}"
    if rng.random() < CANCELLED:
        for _ in range(rng.randint(1, 2)):
            await rt.cancel(run_id, "not wanted", by=by)
    elif waiting and rng.random() < 0.8:
        await _ANSWERS[(each := rng.choice(waiting)).kind](rt, each, rng, by)
    else:
        await _out_of_the_blue(rt, run_id, rng, by)


async def _answer(rt: Steering, asked: Pending, rng: Random, by: str) -> None:
    """Answer a question. It is named: a repeat could be taken for an answer to the next one."""
    fits: list[object] = ["here", "there"] if asked.key == "where to" else [1, 2, 3]
    name = rng.choice([asked.suspension, asked.key])
    value = rng.choice([*fits, None, ["nonsense"]])
    for _ in range(rng.randint(1, 2)):
        await rt.resume(asked.run_id, value, suspension=name, by=by)
    if rng.random() < 0.2:
        other = rng.choice([each for each in fits if each != value])
        await refused(AlreadyResumed, rt.resume(asked.run_id, other, suspension=name, by=by))


async def _decide(rt: Steering, asked: Pending, rng: Random, by: str) -> None:
    """Agree, or not: to what was seen, to something else, to what has changed."""
    run_id, call_id = asked.run_id, asked.call_id
    digest = rng.choice([None, asked.digest, asked.digest, "0" * 32])
    args: Any = rng.choice([None, None, {"text": "uno"}, {"text": 1}])
    granted = rng.random() < 0.7
    for _ in range(rng.randint(1, 2)):
        if not granted:
            await rt.decline(run_id, call_id, reason="no", by=by)
        elif args is None and digest is None:
            await rt.resume(run_id, {"approved": True}, suspension=call_id, by=by)
        else:
            await rt.approve(run_id, call_id, digest=digest, args=args, by=by)
    if rng.random() < 0.2:
        again = rt.decline if granted else rt.approve
        await refused(AlreadyDecided, again(run_id, call_id, by=by))


async def _resolve(rt: Steering, asked: Pending, rng: Random, by: str) -> None:
    """Say what became of a call in doubt."""
    said: dict[str, Any] = rng.choice(
        [{"retry": True}, {"error": "it was not done"}, {"outcome": "done"}, {"outcome": 7}]
    )
    for _ in range(rng.randint(1, 2)):
        await rt.resolve(asked.run_id, asked.call_id, **said, by=by)


async def _out_of_the_blue(rt: Steering, run_id: str, rng: Random, by: str) -> None:
    """Say what nobody has asked for, or asks for no more."""
    call_id = rng.choice(["0.0", "0.1", "0.2", "1.0", "7.7"])
    match rng.randrange(5):
        case 0:
            await rt.resume(run_id, 1, suspension=rng.choice(["how many", "how far"]), by=by)
        case 1:
            await rt.approve(run_id, call_id, by=by)
        case 2:
            await rt.decline(run_id, call_id, by=by)
        case 3:
            await rt.resolve(run_id, call_id, retry=True, by=by)
        case _:
            await rt.cancel(f"{run_id} or another", by=by)


async def refused(error: type[Exception], said: Any) -> None:
    """Say what contradicts what was said before. Without an owner it may be heard, or not yet."""
    with suppress(error):
        await said


_ANSWERS: Final = {"suspension": _answer, "approval": _decide, "in_doubt": _resolve}
