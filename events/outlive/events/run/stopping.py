"""When a run ends before its model does: as data, so that it holds after a restart."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class StopAfterSteps(msgspec.Struct, frozen=True, tag="after-steps"):
    """After so many answers of the model, and what their tools do."""

    steps: int


class StopOnTool(msgspec.Struct, frozen=True, tag="on-tool"):
    """Once this tool has succeeded, and the other calls of its step are over."""

    name: str


class StopOnText(msgspec.Struct, frozen=True, tag="on-text"):
    """Once the model has said this, anywhere in an answer, and its tool calls are over."""

    text: str


class StopFunction(msgspec.Struct, frozen=True, tag="function"):
    """When a registered function says so, which is asked after each step."""

    name: str


StopCondition: TypeAlias = StopAfterSteps | StopOnTool | StopOnText | StopFunction


def after_answer(conditions: tuple[StopCondition, ...], steps: int, text: str) -> str:
    """Return the reason to stop that an answer of the model is; empty if it is none."""
    for condition in conditions:
        if isinstance(condition, StopAfterSteps) and steps >= condition.steps:
            return f"stop_after_steps:{condition.steps}"
        if isinstance(condition, StopOnText) and condition.text in text:
            return f"stop_on_text:{condition.text}"
    return ""


def after_tool(conditions: tuple[StopCondition, ...], name: str) -> str:
    """Return the reason to stop that a tool's success is; empty if it is none."""
    return f"stop_on_tool:{name}" if StopOnTool(name) in conditions else ""
