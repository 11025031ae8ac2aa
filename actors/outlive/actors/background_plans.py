"""How an agent's tools are called in the background, and what its model may choose of that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from outlive.actors.agent import Agent
from outlive.actors.background import (
    CHOICE,
    Background,
    BackgroundTasks,
    Plan,
    clamped,
    plan_of,
    with_choice,
)
from outlive.actors.model import ToolSchema
from outlive.actors.tool import Tool, as_tool
from outlive.events import BackgroundCall, Failure, InvalidDefinition, TaskLimits, Value


def plans_of(agent: Agent, defaults: BackgroundTasks) -> dict[str, Plan]:
    """Return the plans of those tools of an agent that are, or may be, called in the background."""
    plans: dict[str, Plan] = {}
    for tool in agent.tools.values():
        plan = plan_of(
            agent.background.get(tool.name),
            own=tool.background,
            timeout=tool.timeout,
            retry=tool.own_retry,
            defaults=defaults,
        )
        if plan is not None:
            plans[tool.name] = plan
    return plans


def limits_of(agent: Agent | None, tool: Tool[..., Any], defaults: BackgroundTasks) -> TaskLimits:
    """Return the limits of a tool's tasks; of one that has none, those it would have.

    A tool without an agent is the runtime's.
    """
    plans = {} if agent is None else plans_of(agent, defaults)
    plan = plans.get(tool.name) or plan_of(
        Background(mode="deferred"),
        own=tool.background if agent is None else False,
        timeout=tool.timeout,
        retry=tool.own_retry,
        defaults=defaults,
    )
    assert plan is not None, "what is said to be in the background has a plan"
    return plan.limits


def schemas_of(agent: Agent, plans: Mapping[str, Plan]) -> tuple[ToolSchema, ...]:
    """Return what the model is told of its tools, with what it may choose."""
    if not plans or not any(plan.let_model_choose for plan in plans.values()):
        return agent.tool_schemas

    def told(schema: ToolSchema) -> ToolSchema:
        plan = plans.get(schema.name)
        if plan is None or not plan.let_model_choose:
            return schema
        return replace(schema, parameters=with_choice(schema.parameters, plan))

    return tuple(told(schema) for schema in agent.tool_schemas)


def planned(
    plan: Plan | None, arguments: dict[str, Value]
) -> tuple[dict[str, Value], BackgroundCall | None, Failure | None]:
    """Return a call's arguments without the choice, its task if it has one, and what is wrong.

    The task has no id yet.
    """
    if plan is None:
        return arguments, None, None
    if plan.let_model_choose and CHOICE in arguments:
        arguments = dict(arguments)
        choice = arguments.pop(CHOICE)
        try:
            plan = plan if choice is None else clamped(plan, choice)
        except msgspec.ValidationError as error:
            return arguments, None, Failure(kind="invalid_arguments", message=f"{CHOICE}: {error}")
    if plan.mode == "foreground":
        return arguments, None, None
    task = BackgroundCall(
        task_id="",
        mode=plan.mode,
        limits=plan.limits,
        priority=plan.priority,
        detached=plan.detached,
        on_complete=plan.on_complete,
    )
    return arguments, task, None


def tools_by_name(
    tools: Iterable[Tool[..., Any] | Callable[..., Any]],
) -> dict[str, Tool[..., Any]]:
    """Return the tools of a runtime. Raises InvalidDefinition if two have the same name."""
    found: dict[str, Tool[..., Any]] = {}
    for item in tools:
        made = as_tool(item)
        if made.name in found:
            raise InvalidDefinition(f"a runtime has two tools named {made.name!r}")
        found[made.name] = made
    return found


def tool_limits(agents: Collection[Agent], tools: Mapping[str, Tool[..., Any]]) -> dict[str, int]:
    """Return by its name how many tasks of a tool may run at the same time, where it says so.

    `tools` are those of the runtime itself.

    Raises:
        InvalidDefinition: two tools of one name say different things.
    """
    limits: dict[str, int | None] = {}
    for named in (*(agent.tools for agent in agents), tools):
        for tool in named.values():
            if limits.setdefault(tool.name, tool.concurrency) != tool.concurrency:
                raise InvalidDefinition(
                    f"two tools are named {tool.name!r} and have different `concurrency`: it holds "
                    "for all that have the name"
                )
    return {name: limit for name, limit in limits.items() if limit is not None}
