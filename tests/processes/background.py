"""Agents whose tools work in the background, and how the starts of their tasks must follow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Final

from outlive.actors import (
    Agent,
    Background,
    BackgroundTasks,
    ModelRequest,
    Retry,
    ScriptedModel,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    UntilIdle,
    tool,
)
from outlive.events import Record, StreamId, TaskQueued, TaskStarted
from outlive.events.ids import kind_of
from outlive.testing.kills import Ledger, Setup

AGENTS: Final = ("a", "b", "c")
SLOTS: Final = BackgroundTasks(global_concurrency=20, per_agent_concurrency=20)


def make(ledger: Ledger) -> Setup:
    @tool(idempotent=True, background=True)
    async def crawl(ctx: ToolContext, seconds: float) -> str:
        """Take a while; one page after the other."""
        ledger.note(ctx.idempotency_key)
        for page in range(2):
            await ctx.step(f"page {page}", _read, seconds / 2)
        return f"crawled for {seconds} s"

    @tool(in_doubt="fail", background=True)
    async def pay(ctx: ToolContext) -> str:
        """Pay; never twice."""
        ledger.note(ctx.idempotency_key)
        await asyncio.sleep(0.05)
        return "paid"

    retry = Retry(1_000, delay=0.02, max_delay=0.1)

    @tool(idempotent=True, concurrency=4, background=Background(mode="awaited", retry=retry))
    async def look_up(ctx: ToolContext) -> str:
        """Look something up, which works every other time."""
        ledger.note(ctx.idempotency_key)
        await asyncio.sleep(0.03)
        if ctx.attempt % 2:
            raise ConnectionError("busy")
        return "found"

    def script(request: ModelRequest) -> Turn:
        if request.step:
            return Turn(f"{request.run_id} knows of {len(request.messages)} messages")
        crawls = [ToolCall("crawl", {"seconds": 0.05 * number}) for number in range(2, 7)]
        return Turn(tool_calls=[*crawls, ToolCall("pay"), ToolCall("look_up")])

    tools: list[Tool[..., Any]] = [crawl, pay, look_up]
    model = ScriptedModel(script)
    agents = [Agent(id, model=model, tools=tools, tool_concurrency=7) for id in AGENTS]
    until_idle = UntilIdle(max_wait=2)  # Of some runs the end comes before that of their tasks.
    return Setup(agents=agents, background_tasks=SLOTS, until_idle=until_idle)


async def _read(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "read"


class _Line:
    """Who waits, and who was served last: the order of the starts, said as the log tells it."""

    def __init__(self) -> None:
        self.places: dict[str, dict[StreamId, int]] = {agent: {} for agent in AGENTS}
        self.agents: dict[StreamId, str] = {}
        self.tools: dict[StreamId, str] = {}
        self.turn = 0
        self.served = ""
        self.waited = False  # of each agent several have waited since the last start
        self.longest = 0


def disorder(records: Iterable[Record]) -> Iterator[str]:
    """Yield where the starts of tasks that are not narrowed by their tool have not followed.

    The numbers of the starts grow; within an agent the oldest comes first; and where of each
    agent many have waited all the time, the agents come in turn.
    """
    line = _Line()
    for record in records:
        if kind_of(record.stream) != "task":
            continue
        for event in record.events:
            if isinstance(event, TaskQueued):
                line.agents[record.stream] = event.agent_id
                line.tools[record.stream] = event.tool
                if event.tool != "look_up":
                    line.places[event.agent_id][record.stream] = event.place
            elif isinstance(event, TaskStarted):
                yield from _follows(line, record.stream, event)


def _follows(line: _Line, task: StreamId, start: TaskStarted) -> Iterator[str]:
    agent = line.agents[task]
    if start.turn <= line.turn:
        if start.attempt == 1:
            yield f"{task} has turn {start.turn}, behind {line.turn}"
        return  # Taken up again after a kill, in the slot that it had.
    waiting = line.places[agent]
    place = waiting.pop(task, None)
    if place is not None and waiting and place > min(waiting.values()):
        yield f"{task} of agent {agent!r} was started before an older one: {waiting}"
    expected = _next_to(line.served)
    if line.waited and agent != expected:
        yield f"{task}: the turn was agent {expected!r}'s, and not {agent!r}'s"
    line.turn, line.served = start.turn, agent
    # Who was asked for in the last moments may not have been in the line yet.
    line.waited = all(len(each) > 5 for each in line.places.values())
    line.longest = max(line.longest, sum(map(len, line.places.values())))


def _next_to(agent: str) -> str:
    after = [each for each in AGENTS if each > agent]
    return (after or list(AGENTS))[0]
