"""Agents whose tools work in the background, and how the starts of their tasks must follow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
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
from outlive.events import Event, Position, Record, StreamId, TaskQueued, TaskStarted
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


class Order:
    """The order in which tasks were started, as the log tells it, and what is wrong with it.

    A start has the number of the slot that was given away for it. Several that are on their way
    at once may be recorded in another order, where one of the tasks has to be brought in first.
    By their numbers, the oldest task of an agent comes first, and where many of each agent have
    waited all the time, the agents come in turn. Tasks of the tool that has a limit of its own
    may have to let others pass. When a start was decided is not told: no later than it was
    recorded, and no earlier than the last process came up, or as many starts before as there are
    slots.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.problems: list[str] = []
        self.longest = 0
        """How many tasks waited at the same time, at most."""
        self.in_turn = 0
        """How many starts were another agent's turn, and were so."""
        self._places: dict[str, dict[StreamId, int]] = {agent: {} for agent in AGENTS}
        self._queued_at: dict[StreamId, Position] = {}
        self._started_at: deque[Position] = deque(maxlen=SLOTS.global_concurrency)
        self._agents: dict[StreamId, str] = {}
        self._turn: int = 0
        self._served: str = ""
        self._all_waited = False  # several tasks of each agent, since the last start
        self._ahead: dict[int, StreamId] = {}  # starts that were recorded before a lower number
        epoch = 0
        for record in records:
            if record.epoch != epoch:  # What was on its way then has come to nothing.
                epoch = record.epoch
                self._catch_up()
                self._all_waited = False
                self._started_at.extend([record.position] * SLOTS.global_concurrency)
            if kind_of(record.stream) == "task":
                for event in record.events:
                    self._take(record.stream, event, record.position)
        self._catch_up()

    def _take(self, task: StreamId, event: Event, position: Position) -> None:
        if isinstance(event, TaskStarted):
            self._started_at.append(position)
        match event:
            case TaskQueued():
                self._agents[task] = event.agent_id
                self._queued_at[task] = position
                if event.tool != "look_up":
                    self._places[event.agent_id][task] = event.place
            case TaskStarted() if event.turn == self._turn + 1:
                self._started(task, event.turn)
                while self._turn + 1 in self._ahead:
                    self._started_ahead(self._turn + 1)
            case TaskStarted() if event.turn > self._turn:
                self._ahead[event.turn] = task
                if len(self._ahead) > SLOTS.global_concurrency:
                    self._catch_up()  # That number was for a start that came to nothing.
            case TaskStarted(attempt=1):
                self.problems.append(f"{task} has turn {event.turn}, behind {self._turn}")
            case _:  # One that is taken up after a kill keeps its slot, and the number.
                pass

    def _catch_up(self) -> None:
        for turn in sorted(self._ahead):
            self._started_ahead(turn)

    def _started_ahead(self, turn: int) -> None:
        self._all_waited = False  # Who waited when it was given its slot is not known.
        self._started(self._ahead.pop(turn), turn)

    def _started(self, task: StreamId, turn: int) -> None:
        agent = self._agents[task]
        waiting = self._places[agent]
        place = waiting.pop(task, None)
        if place is not None and waiting and place > min(waiting.values()):
            self.problems.append(f"{task} of agent {agent!r} came before an older one: {waiting}")
        expected = AGENTS[(AGENTS.index(self._served) + 1) % len(AGENTS)] if self._served else agent
        if self._all_waited and agent != expected:
            self.problems.append(f"{task}: it was agent {expected!r}'s turn, not {agent!r}'s")
        self.in_turn += self._all_waited
        self._turn, self._served = turn, agent
        # The last ones that were asked for may not have been in the line yet.
        self._all_waited = all(
            sum(self._queued_at[each] < self._started_at[0] for each in places) > 5
            for places in self._places.values()
        )
        self.longest = max(self.longest, sum(map(len, self._places.values())))
