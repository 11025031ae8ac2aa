"""Scenarios of runs whose model calls sub-agents."""

from __future__ import annotations

import asyncio
from typing import Any

from outlive.actors import (
    Agent,
    ModelRequest,
    ScriptedModel,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import RunNotFound
from outlive.projections import Pending
from outlive.testing import Client, Outcome, World
from tests.support.threads import texts
from tests.testing.scenarios import Case, look, one_run, slow
from tests.testing.scenarios_people import publish


def _helper(id: str, *turns: Turn, tools: list[Tool[..., Any]] | None = None) -> Agent:
    return Agent(id, model=ScriptedModel(turns), tools=tools or [], description=f"the {id}")


def _asks(*ids: str, **inputs: str) -> Turn:
    return Turn(tool_calls=[ToolCall(id, {"input": inputs.get(id, "go on")}) for id in ids])


def _says_what_it_heard(request: ModelRequest) -> Turn:
    return Turn(" / ".join(texts(request.messages[2:])))


def _boss(*turns: Turn, agents: list[Agent], tools: list[Tool[..., Any]] | None = None) -> Agent:
    """Plays the turns, then says what its tools and sub-agents have answered."""

    def answer(request: ModelRequest) -> Turn:
        return turns[request.step] if request.step < len(turns) else _says_what_it_heard(request)

    return Agent("agent", model=ScriptedModel(answer), agents=agents, tools=tools or [])


def child(world: World) -> list[Agent]:
    looks = Turn(tool_calls=[ToolCall("look", {"what": "a"})])
    helper = _helper("helper", looks, Turn("it is so"), tools=[look])
    return [_boss(_asks("helper"), agents=[helper])]


def two_children_and_a_tool(world: World) -> list[Agent]:
    looks = Turn(tool_calls=[ToolCall("look", {"what": "a"})])
    first = _helper("first", looks, Turn("one"), tools=[look])
    second = _helper("second", Turn("two", delay=0.03))
    turn = Turn(tool_calls=[*_asks("first", "second").tool_calls, ToolCall("slow", {"seconds": 1})])
    return [_boss(turn, agents=[first, second], tools=[slow])]


def nested(world: World) -> list[Agent]:
    looks = Turn(tool_calls=[ToolCall("look", {"what": "a"})])
    inner = _helper("inner", looks, Turn("deep"), tools=[look])
    middle = Agent(
        "middle", model=ScriptedModel([_asks("inner"), Turn("and higher")]), agents=[inner]
    )
    return [_boss(_asks("middle"), agents=[middle])]


def failing(world: World) -> list[Agent]:
    broken = _helper("broken", Turn(error=ConnectionError("no model")))
    return [_boss(_asks("broken"), agents=[broken])]


def publisher(world: World) -> list[Agent]:
    call = Turn(tool_calls=[ToolCall("publish", {"text": "news"})])
    helper = _helper("press", call, Turn("it is out"), tools=[publish])
    return [_boss(_asks("press"), agents=[helper])]


async def _asked(client: Client) -> Pending:
    """Return what is asked, once something is."""
    while not (asked := await client.pending()):
        await client.sleep(1)
    return asked[0]


async def approve_for_the_child(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    asked = await _asked(client)
    await client.sleep("3d")
    await client.approve(asked.run_id, asked.call_id, by="me")
    return asked.run_id, (await client.result(run)).output


async def cancel_the_parent(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    asked = await _asked(client)
    await client.cancel(run, "not needed")
    while await client.pending():
        await client.sleep(1)
    assert client.world.count("published") == 0
    return [(await client.result(id)).status for id in (run, asked.run_id)]


async def cancel_the_child(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    asked = await _asked(client)
    await client.cancel(asked.run_id, "nobody agrees")
    return (await client.result(run)).output


@tool(in_doubt="retry")
async def for_ever(ctx: ToolContext) -> None:
    """Wait for what never comes."""
    await asyncio.sleep(1e6)


def working_for_ever(world: World) -> list[Agent]:
    works = Turn(tool_calls=[ToolCall("for_ever")])
    inner = _helper("inner", works, Turn("never"), tools=[for_ever])
    middle = Agent("middle", model=ScriptedModel([_asks("inner")]), agents=[inner])
    return [_boss(_asks("middle"), agents=[middle])]


async def cancel_three(client: Client) -> object:
    run = await client.start("agent", "go", run_id="one")
    runs = [run, "one:0.0", "one:0.0:0.0"]
    await _begun(client, runs[-1])
    await client.cancel(run, "not needed")
    return [(await client.result(id)).status for id in runs]


async def _begun(client: Client, run_id: str) -> None:
    """Wait until there is such a run."""
    while True:
        try:
            async for _ in client.observe(run_id):
                return
        except RunNotFound:
            await client.sleep(1)


def all_are_cancelled(calm: Outcome, stormy: Outcome) -> None:
    """How far each of them came until then is left to chance."""
    assert stormy.returned == ["cancelled"] * 3


CHILDREN = [
    Case("a child", child, one_run, second_crashes=2),
    Case("two children and a tool", two_children_and_a_tool, one_run, second_crashes=1),
    Case("a child of a child", nested, one_run, second_crashes=1),
    Case("a child that fails", failing, one_run),
    Case("a child waits for a person", publisher, approve_for_the_child, second_crashes=2),
    Case("cancelled, with a child that waits", publisher, cancel_the_parent, second_crashes=2),
    Case("a child is cancelled alone", publisher, cancel_the_child, second_crashes=1),
    Case(
        "cancelled, with children at work",
        working_for_ever,
        cancel_three,
        promise=all_are_cancelled,
        second_crashes=1,
    ),
]
