"""Scenarios of runs whose model calls tools in the background."""

from __future__ import annotations

import asyncio
from typing import Any

from outlive.actors import (
    Agent,
    Background,
    ModelRequest,
    Retry,
    ScriptedModel,
    Tool,
    ToolCall,
    ToolContext,
    Turn,
    tool,
)
from outlive.projections import AssistantMessage, ToolMessage, UserMessage
from outlive.testing import Outcome, World
from tests.testing.scenarios import Case, one_run


@tool(in_doubt="retry", background=True)
async def crawl(ctx: ToolContext, seconds: float) -> str:
    """Take a long time, in the background."""
    await asyncio.sleep(seconds)
    ctx.deps.record("crawl", ctx.idempotency_key)
    return f"crawled for {seconds} s"


@tool(in_doubt="retry")
async def rest(seconds: float) -> str:
    """Take some time, in the foreground."""
    await asyncio.sleep(seconds)
    return "rested"


@tool(in_doubt="retry", background=Background(mode="awaited", retry=Retry(2, delay=3)))
async def awaited(ctx: ToolContext, failures: int) -> str:
    """Fail so many times, then succeed."""
    if ctx.attempt <= failures:
        raise ConnectionError("busy")
    return "at last"


def _told(request: ModelRequest) -> list[str]:
    """Return what the model has been told of its calls, in the order of the calls."""
    answers: dict[str, str] = {}
    for message in request.messages:
        if not isinstance(message, AssistantMessage) and (call_id := _call_of(message)):
            answers[call_id] = message.text
    return [answers[call_id] for call_id in sorted(answers) if answers[call_id] != "rested"]


def _call_of(message: UserMessage | ToolMessage) -> str:
    return message.call_id or ""


def _patient(*calls: ToolCall, tools: list[Tool[..., Any]], **more: Any) -> Agent:
    """Makes the calls, then rests until none of them is only queued, and says what came of them."""

    def answer(request: ModelRequest) -> Turn:
        if request.step == 0:
            return Turn(tool_calls=list(calls))
        told = _told(request)
        if any(text.startswith("queued") for text in told):
            return Turn(tool_calls=[ToolCall("rest", {"seconds": 3.0})])
        return Turn(" / ".join(told))

    return Agent("agent", model=ScriptedModel(answer), tools=[*tools, rest], **more)


def deferred(world: World) -> list[Agent]:
    calls = [ToolCall("crawl", {"seconds": 2.0}), ToolCall("crawl", {"seconds": 5.0})]
    return [_patient(*calls, tools=[crawl])]


def waited_for(world: World) -> list[Agent]:
    calls = [ToolCall("awaited", {"failures": 1}), ToolCall("rest", {"seconds": 1.0})]
    return [_patient(*calls, tools=[awaited])]


def the_same_is_told(calm: Outcome, crashed: Outcome) -> None:
    """At which step a result arrives may differ; what the model hears may not."""
    assert crashed.returned == calm.returned, f"{crashed.returned}, without a crash {calm.returned}"
    for run_id, expected in calm.results.items():
        found = crashed.results[run_id]
        assert (found.status, found.output) == (expected.status, expected.output)
        ids = [message.call_id for message in found.messages if isinstance(message, UserMessage)]
        assert len(set(ids)) == len(ids), "a result is told once"


TASKS = [
    Case("deferred tasks", deferred, one_run, promise=the_same_is_told),
    Case(
        "a task that is waited for, and tried again",
        waited_for,
        one_run,
        promise=the_same_is_told,
    ),
]
