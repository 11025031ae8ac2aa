"""Which of the tasks that wait may start next: an object in memory, folded from the open ones.

The rule: a free slot goes to the next agent, in turn after the one last served, that has a task
within its limits; within an agent to the highest priority, then to the oldest. Turns go by the
order of the agents' names, so that they are the same after a restart; who was served last is
told by the numbers of the starts, which are in the log.

What a choice costs grows with the number of tools that are waited for, and not with that of the
tasks: they stand in a heap for each agent and tool, and each tool knows the agents that wait
for it and may have more. A task that stands no more is left in its heap until it comes to the
top, or until half of the heap is of that sort.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from outlive.events import StreamId

Backpressure: TypeAlias = Literal["queue", "reject", "run_inline"]
"""What becomes of a task for which no slot is free."""


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A task that waits for a slot. Of two with one priority, the lower `place` is the older."""

    task: StreamId
    agent: str
    tool: str
    priority: int
    place: int


class _Pair(NamedTuple):
    agent: str
    tool: str


class Granted(NamedTuple):
    """A task that may start, with the number of its start: they grow, also over restarts."""

    task: StreamId
    turn: int


class Admitted(NamedTuple):
    """What becomes of a new task: with the number of its start, if it may start at once."""

    verdict: Backpressure
    turn: int = 0


_Key: TypeAlias = tuple[int, int, StreamId]
_SLACK: Final = 8  # entries of a heap that may be of no use, however short it is
_LOOKS: Final = 4  # entries of a heap that are looked at, for each task that is to be found


class Admission:
    """Who holds a slot, who waits for one, and whose turn it is.

    A task holds a slot, waits, is promised something, or is not in here. Whatever is said of it
    last is what holds.

    Args:
        overall: tasks that may run at the same time; of all agents.
        per_agent: of one agent.
        tools: of one tool, by its name; no bound for those that are not in it.
    """

    def __init__(self, *, overall: int, per_agent: int, tools: Mapping[str, int]) -> None:
        self._overall = overall
        self._per_agent = per_agent
        self._of_tool = dict(tools)
        self._holding: dict[StreamId, _Pair] = {}
        self._by_agent: dict[str, int] = {}
        self._by_tool: dict[str, int] = {}
        self._waiting: dict[StreamId, Waiting] = {}
        self._heaps: dict[_Pair, list[_Key]] = {}
        self._counts: dict[_Pair, int] = {}
        self._agents: list[str] = []  # of whom tasks wait, sorted
        self._tools_of: dict[str, dict[str, None]] = {}  # of an agent: the tools it waits for
        self._agents_for: dict[str, list[str]] = {}  # by tool: who waits and may have more, sorted
        self._promised: dict[StreamId, None] = {}  # a place, to tasks that do not stand here yet
        self._turn = 0
        self._served: str | None = None

    def knows(self, task: StreamId) -> bool:
        """Whether the task holds a slot, waits, or is promised something."""
        return task in self._holding or task in self._waiting or task in self._promised

    def waits(self, task: StreamId) -> bool:
        """Whether the task waits for a slot."""
        return task in self._waiting

    @property
    def queued(self) -> int:
        """How many tasks wait, with those that were promised a place."""
        return len(self._waiting) + len(self._promised)

    @property
    def holding(self) -> int:
        """How many slots are taken, with those that were promised."""
        return len(self._holding)

    @property
    def may_give(self) -> bool:
        """Whether a slot is free while somebody waits, whoever's limits may be in the way."""
        return len(self._holding) < self._overall and bool(self._waiting)

    @property
    def turn(self) -> tuple[int, str | None]:
        """The number of the last start, and the agent that was served with it."""
        return self._turn, self._served

    def served(self, agent: str, turn: int) -> None:
        """Note a start: the turns go on from the one with the highest number."""
        if turn > self._turn:
            self._turn, self._served = turn, agent

    def wait(self, task: Waiting) -> None:
        """The task waits for a slot from now on."""
        if self._waiting.get(task.task) == task:
            return
        self.leave(task.task)
        self._waiting[task.task] = task
        pair = _Pair(task.agent, task.tool)
        heapq.heappush(self._heaps.setdefault(pair, []), _key(task))
        self._counts[pair] = self._counts.get(pair, 0) + 1
        if self._counts[pair] == 1:
            if pair.agent not in self._tools_of:
                insort(self._agents, pair.agent)
            self._tools_of.setdefault(pair.agent, {})[pair.tool] = None
            if self._by_agent.get(pair.agent, 0) < self._per_agent:
                insort(self._agents_for.setdefault(pair.tool, []), pair.agent)

    def hold(self, task: StreamId, agent: str, tool: str) -> None:
        """The task holds a slot from now on, be one free or not."""
        pair = _Pair(agent, tool)
        if self._holding.get(task) == pair:
            return
        self.leave(task)
        self._holding[task] = pair
        self._by_tool[tool] = self._by_tool.get(tool, 0) + 1
        self._by_agent[agent] = self._by_agent.get(agent, 0) + 1
        if self._by_agent[agent] == self._per_agent:
            for wanted in self._tools_of.get(agent, ()):
                self._strike_out(wanted, agent)

    def leave(self, task: StreamId) -> None:
        """The task neither waits nor holds a slot any more."""
        self._promised.pop(task, None)
        waiting = self._waiting.pop(task, None)
        if waiting is not None:
            self._take_out(_Pair(waiting.agent, waiting.tool))
        pair = self._holding.pop(task, None)
        if pair is None:
            return
        _count_down(self._by_tool, pair.tool)
        _count_down(self._by_agent, pair.agent)
        if self._by_agent.get(pair.agent, 0) == self._per_agent - 1:
            for tool in self._tools_of.get(pair.agent, ()):
                insort(self._agents_for.setdefault(tool, []), pair.agent)

    def has_room(self, agent: str, tool: str) -> bool:
        """Whether a task of this agent and tool could start at once."""
        return (
            len(self._holding) < self._overall
            and self._by_agent.get(agent, 0) < self._per_agent
            and not self._is_full(tool)
        )

    def admit(
        self,
        task: StreamId,
        agent: str,
        tool: str,
        *,
        backpressure: Backpressure,
        max_queued: int | None,
    ) -> Admitted:
        """Return what becomes of a new task; one that is to queue is promised its place.

        With a free slot it may start at once, if nobody comes first who waits for it; else the
        slot is kept for it until it waits as well. Without one it is as `backpressure` says; and
        once `max_queued` tasks wait, the next one is rejected where it would have queued.
        """
        if self.has_room(agent, tool):
            if not self._promised and self._next_agent() is None:
                return Admitted("queue", self._grant(task, agent, tool))
            self.hold(task, agent, tool)
            return Admitted("queue")
        if backpressure != "queue":
            return Admitted(backpressure)
        if max_queued is not None and self.queued >= max_queued:
            return Admitted("reject")
        self.leave(task)
        self._promised[task] = None
        return Admitted("queue")

    def next(self) -> Granted | None:
        """Give the next slot away, and return who may start; None if nobody may.

        The task holds the slot from here on.
        """
        if len(self._holding) >= self._overall:
            return None
        agent = self._next_agent()
        if agent is None:
            return None
        task = min(
            (
                self._first(_Pair(agent, tool))
                for tool in self._tools_of[agent]
                if not self._is_full(tool)
            ),
            key=_key,
        )
        return Granted(task.task, self._grant(task.task, agent, task.tool))

    def upcoming(self, most: int) -> list[StreamId]:
        """Return who is likely to start next, at most so many tasks. Nothing is given away.

        It is a guess: that slots get free one by one, and limits are in nobody's way for long.
        What it costs grows with `most` and the number of tools that are waited for.
        """
        found: list[StreamId] = []
        at = 0 if self._served is None else bisect_right(self._agents, self._served)
        agents = (self._agents[at : at + most] + self._agents[:at])[:most]
        share = -(-most // len(agents)) if agents else 0
        for agent in agents:
            keys: list[_Key] = []
            for tool in self._tools_of[agent]:
                bound = min(share, self._per_agent, self._of_tool.get(tool, share))
                keys += self._foremost(_Pair(agent, tool), bound)
            found += [task for _, _, task in sorted(keys)[: min(share, self._per_agent)]]
        return found[:most]

    def _foremost(self, pair: _Pair, most: int) -> list[_Key]:
        """Return the first tasks that wait of an agent and a tool, at most so many, in order.

        The heap is walked from its top. Where too many in it stand no more, fewer are found.
        """
        self._first(pair)
        heap, found = self._heaps[pair], list[_Key]()
        edge = [(heap[0], 0)]
        for _ in range(_LOOKS * most):
            if not edge or len(found) == most:
                break
            key, at = heapq.heappop(edge)
            if self._stands(key) and not (found and key == found[-1]):
                found.append(key)
            for child in range(2 * at + 1, min(2 * at + 3, len(heap))):
                heapq.heappush(edge, (heap[child], child))
        return found

    def _grant(self, task: StreamId, agent: str, tool: str) -> int:
        """Give the task a slot; return the number of its start."""
        self._turn, self._served = self._turn + 1, agent
        self.hold(task, agent, tool)
        return self._turn

    def _next_agent(self) -> str | None:
        """Return whose turn it is: the next name after the one last served, or the first one."""
        best: tuple[bool, str] | None = None
        for tool, agents in self._agents_for.items():
            if self._is_full(tool):
                continue
            at = 0 if self._served is None else bisect_right(agents, self._served)
            again = at == len(agents)  # past the last one, the turns begin anew
            found = again, agents[0 if again else at]
            if best is None or found < best:
                best = found
        return None if best is None else best[1]

    def _is_full(self, tool: str) -> bool:
        limit = self._of_tool.get(tool)
        return limit is not None and self._by_tool.get(tool, 0) >= limit

    def _first(self, pair: _Pair) -> Waiting:
        """Return the first task that waits of an agent and a tool; there is one."""
        heap = self._heaps[pair]
        while True:
            found = self._waiting.get(heap[0][2])
            if found is not None and _key(found) == heap[0]:
                return found
            heapq.heappop(heap)

    def _take_out(self, pair: _Pair) -> None:
        """One task less waits of an agent and a tool."""
        self._counts[pair] -= 1
        if not self._counts[pair]:
            del self._counts[pair], self._heaps[pair]
            self._strike_out(pair.tool, pair.agent)
            tools = self._tools_of[pair.agent]
            del tools[pair.tool]
            if not tools:
                del self._tools_of[pair.agent]
                del self._agents[bisect_left(self._agents, pair.agent)]
        elif len(self._heaps[pair]) > 2 * self._counts[pair] + _SLACK:
            # A dict, as a task that came back may stand in it twice.
            standing = {key: None for key in self._heaps[pair] if self._stands(key)}
            self._heaps[pair] = list(standing)
            heapq.heapify(self._heaps[pair])

    def _stands(self, key: _Key) -> bool:
        found = self._waiting.get(key[2])
        return found is not None and _key(found) == key

    def _strike_out(self, tool: str, agent: str) -> None:
        agents = self._agents_for.get(tool, [])
        at = bisect_left(agents, agent)
        if at < len(agents) and agents[at] == agent:
            del agents[at]
            if not agents:
                del self._agents_for[tool]


def _key(task: Waiting) -> _Key:
    return -task.priority, task.place, task.task


def _count_down(counts: dict[str, int], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
