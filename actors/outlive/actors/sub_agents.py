"""Agents that other agents call: each is a tool to the model, and a run of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from outlive.actors.model import ToolSchema
from outlive.events import Failure, InvalidDefinition, Value

if TYPE_CHECKING:
    from outlive.actors.agent import Agent

_LONGEST_NAME: Final = 64
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_PARAMETERS: Final[dict[str, Value]] = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "description": "what it is to do: all that it is told"}
    },
    "required": ["input"],
    "additionalProperties": False,
}


def tool_name(agent_id: str) -> str:
    """Return what a model calls a sub-agent: its id, with `_` for what no tool's name may hold."""
    name = _NOT_IN_A_NAME.sub("_", agent_id)
    if name[0].isdigit() or name[0] == "-":
        name = f"_{name}"
    return name[:_LONGEST_NAME]


def sub_agents(agents: object, agent_id: str, tools: Collection[str]) -> dict[str, Agent]:
    """Return the sub-agents of an agent by the names that its model calls them.

    Raises:
        InvalidDefinition: one is no agent, has the id of the agent itself, or the name of
            another one or of a tool.
    """
    from outlive.actors.agent import Agent  # noqa: PLC0415  # it is being defined

    if isinstance(agents, str) or not isinstance(agents, Sequence):
        raise InvalidDefinition(f"agent {agent_id!r}: agents are a list, not {agents!r}")
    named: dict[str, Agent] = {}
    for agent in cast("Sequence[object]", agents):
        if not isinstance(agent, Agent):
            raise InvalidDefinition(f"agent {agent_id!r}: sub-agents are of type Agent: {agent!r}")
        name = tool_name(agent.id)
        if name in tools:
            raise InvalidDefinition(
                f"agent {agent_id!r} has a tool named {name!r}, as sub-agent {agent.id!r} would be"
            )
        if name in named:
            raise InvalidDefinition(
                f"agent {agent_id!r} has two sub-agents that its model would call {name!r}: "
                f"{named[name].id!r} and {agent.id!r}"
            )
        named[name] = agent
    if agent_id in with_sub_agents(named.values()):
        raise InvalidDefinition(
            f"agent {agent_id!r} has an agent of its own id below itself: no run would end"
        )
    return named


def with_sub_agents(agents: Iterable[Agent]) -> dict[str, Agent]:
    """Return agents and all that are below them, by id.

    Raises:
        InvalidDefinition: two different ones have the same id.
    """
    found: dict[str, Agent] = {}
    left = list(agents)
    while left:
        agent = left.pop(0)
        known = found.setdefault(agent.id, agent)
        if known is not agent:
            raise InvalidDefinition(f"two agents have the id {agent.id!r}")
        left += (one for one in agent.agents.values() if one is not found.get(one.id))
    return found


def schema_of(name: str, agent: Agent) -> ToolSchema:
    """Return a sub-agent as its caller's model sees it."""
    return ToolSchema(
        name=name,
        description=agent.description or agent.name,
        parameters=_PARAMETERS,
        output={"type": "string"} if agent.output is None else agent.output.schema,
    )


def problem_with(arguments: Mapping[str, Value]) -> Failure | None:
    """Return why a sub-agent cannot be called with these arguments; None if it can."""
    if set(arguments) == {"input"} and isinstance(arguments["input"], str):
        return None
    message = "a sub-agent is called with one argument, `input`, which is text"
    return Failure(kind="invalid_arguments", message=message)
