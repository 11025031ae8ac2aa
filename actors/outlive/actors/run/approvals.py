"""Which of the calls that a model has asked for need a person's consent."""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

from msgspec.structs import replace

from outlive.actors.agent import Agent
from outlive.actors.logs import told
from outlive.actors.run.commands import Approval, CompleteModelCall, PlannedCall
from outlive.actors.run_context import Functions
from outlive.actors.tool import Tool
from outlive.events import Clock, Value
from outlive.events.logger import get_logger
from outlive.events.values import canonical, digest

_log = get_logger()


def arguments_digest(arguments: dict[str, Value]) -> str:
    """Return the digest by which a person says which arguments were seen."""
    return digest(canonical(arguments))


async def with_approvals(
    answer: CompleteModelCall, agent: Agent, functions: Functions, clock: Clock
) -> CompleteModelCall:
    """Return the model's answer, with what somebody must agree to."""
    calls = [await _with_approval(call, agent, functions, clock) for call in answer.tool_calls]
    return replace(answer, tool_calls=tuple(calls))


async def _with_approval(
    call: PlannedCall, agent: Agent, functions: Functions, clock: Clock
) -> PlannedCall:
    tool = agent.tools.get(call.name)
    if tool is None or call.problem is not None or not await _is_needed(tool, call, functions):
        return call
    expires = tool.approval_expires
    return replace(
        call,
        approval=Approval(
            digest=arguments_digest(call.arguments),
            expires_at_ns=None if expires is None else clock.now_ns() + round(expires * 1e9),
        ),
    )


async def _is_needed(tool: Tool[..., Any], call: PlannedCall, functions: Functions) -> bool:
    if isinstance(tool.requires_approval, bool):
        return tool.requires_approval
    try:
        # A copy: what is recorded is what the model has asked for, whatever is done to it there.
        said = functions[tool.requires_approval](deepcopy(call.arguments))
        return bool(await said if inspect.isawaitable(said) else said)
    except Exception as error:  # noqa: BLE001  # whoever cannot tell must ask
        _log.error(
            "predicate_failed", predicate=tool.requires_approval, tool=tool.name, error=told(error)
        )
        return True
