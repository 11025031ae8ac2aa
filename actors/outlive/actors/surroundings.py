"""What runs and tasks need of the process that they live in."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import Executor
from typing import Any, Final

import msgspec

from outlive.actors.abandoned import AbandonedThreads
from outlive.actors.agent import Agent
from outlive.actors.background import PROGRESS_THROTTLE_S, BackgroundTasks, Plan
from outlive.actors.effects import EffectTable
from outlive.actors.heartbeat.hooks import NO_HOOKS, HeartbeatHooks
from outlive.actors.loop_actor import LoopFuture
from outlive.actors.mail import Post
from outlive.actors.run_context import Functions
from outlive.actors.task.desk import Desk
from outlive.actors.task.hooks import TaskHooks
from outlive.actors.tool import Tool
from outlive.actors.workers.port import Workers
from outlive.events import Clock, LogReader, Position, StreamId


class Surroundings:
    """What all runs and tasks of a runtime share."""

    def __init__(
        self,
        *,
        log: LogReader,
        agents: Mapping[str, Agent],
        tools: Mapping[str, Tool[..., Any]],
        effects: EffectTable,
        post: Post,
        clock: Clock,
        executor: Executor,
        abandoned: AbandonedThreads,
        workers: Workers,
        deps: object,
        functions: Functions,
        plans: Mapping[str, Mapping[str, Plan]],
        desk: Desk,
        task_hooks: TaskHooks | None = None,
        progress_throttle: float = PROGRESS_THROTTLE_S,
        heartbeat_hooks: HeartbeatHooks = NO_HOOKS,
        background: BackgroundTasks | None = None,
    ) -> None:
        self.log: Final = log
        self.post: Final = post
        self.agents: Final = agents
        self.tools: Final = tools  # the runtime's own
        self.effects: Final = effects
        self.clock: Final = clock
        self.executor: Final = executor
        self.abandoned: Final = abandoned
        self.workers: Final = workers
        self.deps: Final = deps
        self.functions: Final = functions
        self.plans: Final = plans  # by agent and tool: what is called in the background
        self.desk: Final = desk
        self.task_hooks: Final = task_hooks
        self.progress_throttle: Final = progress_throttle  # seconds, of tasks
        self.heartbeat_hooks: Final = heartbeat_hooks
        self.hooks_at_hand: Final = heartbeat_hooks.at_hand()
        self.background: Final = background or BackgroundTasks()

    def tool(self, agent_id: str, name: str) -> Tool[..., Any] | None:
        """Return a tool of an agent, or with an empty id one of the runtime; None if unknown."""
        if not agent_id:
            return self.tools.get(name)
        agent = self.agents.get(agent_id)
        return None if agent is None else agent.tools.get(name)

    def layers_of_hooks(self, agent_id: str, tool_name: str) -> list[TaskHooks | None]:
        """Return the hooks of the runtime, and those of agent and tool as far as they are known."""
        agent, tool = self.agents.get(agent_id), self.tool(agent_id, tool_name)
        return [
            self.task_hooks,
            None if agent is None else agent.task_hooks,
            None if tool is None else tool.task_hooks,
        ]


class Address(msgspec.Struct, eq=False):
    """The address of a run or a task, for what the commit at `cause` has set going."""

    _all: Surroundings
    _stream: StreamId
    _effect: Hashable
    _cause: Position

    def conclude(self, outcome: object) -> None:
        """Say how the effect ended. Kept until that is recorded."""
        self._all.effects.conclude(self._stream, self._effect, outcome)
        self._all.post.send(self._stream, outcome, cause=self._cause)

    def tell(self, command: object) -> None:
        """Send a command."""
        self._all.post.send(self._stream, command, cause=self._cause)

    def ask(self, command: object) -> LoopFuture[Any]:
        """Send a command; the future is answered once it is durable."""
        reply: LoopFuture[Any] = LoopFuture()
        self._all.post.send(self._stream, command, reply=reply, cause=self._cause)
        return reply
