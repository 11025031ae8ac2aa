"""Agents that do not keep what they promise, and processes that end by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable

from outlive.actors import Agent, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.testing.kills import Ledger, Setup

_SCRIPT = [Turn(tool_calls=[ToolCall("pay", {})]), Turn(text="paid")]


def _paying(pay: Callable[[ToolContext], None], **deps: object) -> Setup:
    @tool(name="pay", in_doubt="fail")
    async def paying(ctx: ToolContext) -> str:
        """Pay."""
        pay(ctx)
        return "paid"

    agent = Agent("payer", model=ScriptedModel(_SCRIPT), tools=[paying])
    return Setup(agents=[agent], deps=deps)


def pays_twice(ledger: Ledger) -> Setup:
    def pay(ctx: ToolContext) -> None:
        for _ in range(2):
            ctx.deps["ledger"].note(ctx.idempotency_key)

    return _paying(pay, ledger=ledger)


def forgets_its_key(ledger: Ledger) -> Setup:
    """In some processes, that is."""

    def pay(ctx: ToolContext) -> None:
        ledger.note(ctx.idempotency_key if ctx.run_id.endswith("1") else "another")

    return _paying(pay)


def ends_by_itself(ledger: Ledger) -> Setup:
    del ledger
    return _paying(lambda _: os._exit(3))


def cannot_be_made(ledger: Ledger) -> Setup:
    if any(line[0] == "open" for line in ledger.account.lines()):
        raise RuntimeError("only one process can have these")
    return _paying(lambda _: None)


def makes_nothing(ledger: Ledger) -> None:
    """It forgets to return what it has made."""
    del ledger
