"""Heartbeats survive a crash at each of their points: no instant is lost, and none fires twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import pytest

from outlive.actors import (
    SKIP,
    Agent,
    Background,
    EchoModel,
    HeartbeatContext,
    HeartbeatHooks,
    Runtime,
    ScriptedModel,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import HeartbeatExists, IfIdle
from outlive.testing import Client, World, assert_survives_crashes

Decisions = list[tuple[str, str, str | None]]


@tool(in_doubt="retry", background=Background(timeout=60))
async def sync(ctx: ToolContext) -> str:
    """Do something outside."""
    ctx.deps.record("synced", ctx.idempotency_key)
    return "done"


@tool(read_only=True)
async def ask(ctx: ToolContext) -> str:
    """Ask a person, who never answers."""
    return str(await ctx.suspend("which"))


def agents(_: World) -> list[Agent]:
    slow = ScriptedModel(lambda _: Turn("done", delay=100))
    asks = ScriptedModel(lambda _: Turn(tool_calls=(ToolCall("ask", {}),)))
    return [
        Agent("agent", model=EchoModel(), tools=[sync]),
        Agent("slow", model=slow),
        Agent("asks", model=asks, tools=[ask]),
    ]


class Case(NamedTuple):
    name: str
    fields: dict[str, Any]
    hooks: Callable[[World], HeartbeatHooks] | None = None


def all_hooks(world: World) -> HeartbeatHooks:
    """Skips the first fire, changes the second one, and tells the world how they end."""

    def prepare(context: HeartbeatContext) -> object:
        world.record("prepared", context.trigger.id)
        if context.trigger.id.endswith(":1"):
            return SKIP
        return {"prompt": f"for {context.trigger.id}"}

    def on_finish(context: HeartbeatContext) -> None:
        world.record(f"finished as {getattr(context.result, 'output', '')}", context.trigger.id)

    return HeartbeatHooks(prepare=prepare, on_finish=on_finish)


def failing_hooks(world: World) -> HeartbeatHooks:
    def prepare(_: HeartbeatContext) -> object:
        raise ValueError("no")

    return HeartbeatHooks(
        prepare=prepare,
        on_error=lambda context: world.record(f"failed in {context.phase}", context.trigger.id),
    )


def ending_hooks(world: World) -> HeartbeatHooks:
    return HeartbeatHooks(
        on_finish=lambda context: world.record(f"{context.outcome}", context.trigger.id)
    )


def hanging_hooks(world: World) -> HeartbeatHooks:
    async def prepare(context: HeartbeatContext) -> None:
        if context.trigger.id.endswith(":1"):
            await asyncio.sleep(10_000)

    return HeartbeatHooks(
        prepare=prepare,
        timeout=5,
        on_error=lambda context: world.record(context.error, context.trigger.id),
    )


def named_hooks(world: World) -> HeartbeatHooks:
    """Choose another thread for each fire, and tell the world how that has ended, in time."""

    async def prepare(context: HeartbeatContext) -> object:
        await asyncio.sleep(0.1)
        number = context.trigger.id.rpartition(":")[2]
        return {"prompt": number, "thread_id": f"t{number}", "resource_id": "u"}

    async def on_finish(context: HeartbeatContext) -> None:
        await asyncio.sleep(0.1)
        world.record(f"{context.run_id} {context.outcome}", context.trigger.id)

    own = HeartbeatHooks(prepare=prepare, on_finish=on_finish)
    return HeartbeatHooks(on_finish=lambda _: world.record("not this one", ""), named={"own": own})


THREADED: dict[str, Any] = {
    "agent_id": "agent",
    "prompt": "p",
    "thread_id": "t",
    "resource_id": "u",
}
CASES = [
    Case("runs", {"agent_id": "agent", "prompt": "p", "max_fires": 2}),
    Case("tasks", {"task": "sync", "max_fires": 2}),
    Case("hooks", {"agent_id": "agent", "prompt": "p", "max_fires": 1}, all_hooks),
    Case("named", {"agent_id": "agent", "prompt": "p", "max_fires": 1, "hook": "own"}, named_hooks),
    Case("too late", {"agent_id": "agent", "prompt": "p", "max_fires": 1}, hanging_hooks),
    Case("threads", THREADED | {"max_fires": 2}),
    Case("suspended", THREADED | {"agent_id": "asks", "max_fires": 3}),
    Case("kept", THREADED | {"max_fires": 2, "if_idle": IfIdle("persist")}, ending_hooks),
    Case(
        "cancelled",
        THREADED | {"agent_id": "slow", "overlap": "cancel_previous", "max_fires": 2},
    ),
    Case("failures", {"agent_id": "agent", "prompt": "p", "max_failures": 2}, failing_hooks),
]


async def create(rt: Runtime, fields: dict[str, Any]) -> None:
    with suppress(HeartbeatExists):
        await rt.heartbeats.create(id="h", cron="* * * * *", timezone="UTC", **fields)


async def look(rt: Runtime) -> tuple[str, Decisions]:
    info = await rt.heartbeats.get("h")
    page = await rt.heartbeats.fires("h")
    decisions: Decisions = [(one.decision, str(one.due_at), one.outcome) for one in page.fires]
    return info.status, decisions[::-1]


async def play(client: Client, fields: dict[str, Any]) -> tuple[str, Decisions]:
    """Return what has become of all instants, once the heartbeat is due no more."""
    await client.call(partial(create, fields=fields))
    while True:
        status, decisions = await client.call(look)
        at_rest = all(outcome != "running" for _, _, outcome in decisions)
        if status in ("completed", "paused") and at_rest:
            return status, decisions
        await client.sleep(7)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_instant_comes_to_the_same_whenever_a_process_dies(case: Case) -> None:
    sweep = assert_survives_crashes(
        partial(play, fields=case.fields),
        agents,
        heartbeat_hooks=case.hooks,
        second_crashes=1,
        orders=2,
    )
    print(f"{case.name}: {sweep}")
    assert sweep.deaths >= 2 * len(sweep.points)
