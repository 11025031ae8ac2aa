"""What the actors of a runtime work with: checked, and the same for as long as it lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from outlive.actors.agent import Agent
from outlive.actors.background import BackgroundTasks
from outlive.actors.background_plans import tool_limits
from outlive.actors.heartbeat.declared import Heartbeat
from outlive.actors.heartbeat.hooks import HeartbeatHooks
from outlive.actors.run_context import Functions
from outlive.actors.sub_agents import with_sub_agents
from outlive.actors.task.hooks import TaskHooks
from outlive.actors.tool import Tool
from outlive.events import Clock, InvalidDefinition

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a runtime was given for its runs, tasks, threads and heartbeats. See `Runtime`.

    Raises:
        InvalidDefinition: a number that cannot hold, or two tools that contradict each other.
    """

    agents: Mapping[str, Agent]  # with those below them
    tools: Mapping[str, Tool[..., Any]]  # the runtime's own
    deps: object
    functions: Functions
    background_tasks: BackgroundTasks
    task_hooks: TaskHooks | None
    heartbeats: tuple[Heartbeat, ...]
    heartbeat_hooks: HeartbeatHooks
    max_recoveries: int | None
    mailbox_limit: int
    save_every: int | None
    clock: Clock

    def __post_init__(self) -> None:
        """See that it can hold."""
        tool_limits(self.agents.values(), self.tools)  # They must agree.
        most, every, limit = self.max_recoveries, self.save_every, self.mailbox_limit
        if most is not None and (type(most) is not int or most < 0):
            raise InvalidDefinition(f"max_recoveries is 0 or more, or None, not {most!r}")
        if every is not None and (type(every) is not int or every < 1):
            raise InvalidDefinition(f"save_every is 1 or more events, not {every!r}")
        if type(limit) is not int or limit < 1:
            raise InvalidDefinition(f"mailbox_limit is 1 or more, not {limit!r}")


def agents_by_id(agents: Iterable[Agent]) -> dict[str, Agent]:
    """Return agents and those below them. Raises InvalidDefinition if one is none, or is twice."""
    found: dict[str, Agent] = {}
    for agent in listed(agents, "agents"):
        if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"agents are of type Agent, not {agent!r}")
        if agent.id in found:
            raise InvalidDefinition(f"two agents have the id {agent.id!r}")
        found[agent.id] = agent
    return with_sub_agents(found.values())


def listed(items: Iterable[T], what: str) -> tuple[T, ...]:
    """Return what there is several of. Raises InvalidDefinition if it is only one, or nothing."""
    if not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"{what} are a list, not {items!r}")
    return tuple(items)
