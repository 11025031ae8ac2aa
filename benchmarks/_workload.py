"""The run that is measured: 5 model and 5 tool steps that do nothing, 200 bytes each."""

from __future__ import annotations

from typing import Any, Final

from outlive.actors import Agent, ScriptedModel, Tool, ToolCall, Turn, tool

STEPS: Final = 5
PAYLOAD: Final = "x" * 200
EVENTS: Final = 4 * STEPS + 2  # of a run: start and end, and each step's intent and result
AGENT: Final = "bench"

TURN: Final = Turn(chunks=[PAYLOAD], tool_calls=[ToolCall("look")])


@tool(idempotent=True)
async def look() -> str:
    """Return 200 bytes at once."""
    return PAYLOAD


def agent(body: Tool[..., Any] | None = None) -> Agent:
    """Return the agent, with another tool named `look` where one is given."""
    model = ScriptedModel([TURN] * STEPS)
    return Agent(AGENT, model=model, tools=[body or look], max_steps=STEPS)
