"""Talks on threads, and what was said and heard on them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

from outlive.actors import Agent, ModelRequest, Run, Runtime, ScriptedModel, Turn

Heard = list[list[str]]


def texts(messages: Iterable[object]) -> list[str]:
    """Return the texts of messages; an empty one for those that have none."""
    return [getattr(message, "text", "") for message in messages]


def echo(heard: Heard, **more: Any) -> Agent:
    """Answers after a second, and writes down what it was shown."""

    def answer(request: ModelRequest) -> Turn:
        heard.append(texts(request.messages))
        return Turn(f"answer {len(heard)}", delay=1.0)

    return Agent("a", model=ScriptedModel(answer), **more)


async def ask(rt: Runtime, said: str, **more: Any) -> Run:
    fields: dict[str, Any] = {"run_id": said, "thread_id": "t", "resource_id": "u", **more}
    return await rt.start("a", said, **fields)


async def all_texts(rt: Runtime, thread_id: str = "t") -> list[str]:
    """Return the texts of what was said on a thread so far."""
    return texts(one.message for one in await rt.threads.messages(thread_id))


async def said_on(rt: Runtime, thread_id: str = "t") -> list[str]:
    """Return the same once nothing goes on on the thread any more."""
    async with aclosing(rt.threads.observe(thread_id)) as events:
        async for _ in events:
            if (await rt.threads.get(thread_id)).status == "idle":
                break
    return await all_texts(rt, thread_id)
