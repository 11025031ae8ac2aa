"""What is handed in and cannot be right is refused at the door, in words that name it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, cast

import pytest

from outlive.actors import Agent, EchoModel, Runtime
from outlive.events import InvalidDefinition, InvalidId, MemoryLog, OutliveError, run_stream

ECHO = Agent("echo", model=EchoModel())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"agents": ECHO}, "agents are a list"),
        ({"agents": None}, "agents are a list"),
        ({"projections": None}, "projections are a list"),
        ({"projections": [5]}, "a projection has"),
        ({"max_recoveries": True}, "max_recoveries is"),
        ({"lease": True}, "a lease is"),
    ],
)
def test_a_runtime_of_what_it_cannot_be_made_of_is_refused(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidDefinition, match=said):
        Runtime(None, **options)


@pytest.mark.parametrize(
    ("method", "arguments", "error", "said"),
    [
        ("start", {"agent": None, "input": "x"}, TypeError, "an agent is told by its id"),
        ("start", {"agent": ["echo"], "input": "x"}, TypeError, "an agent is told by its id"),
        ("start", {"agent": "echo", "input": "x", "metadata": "ab"}, TypeError, "metadata"),
        ("start", {"agent": "echo", "input": "x", "metadata": 5}, TypeError, "metadata"),
        ("result", {"run_id": "r", "timeout": "3"}, TypeError, "a timeout is in seconds"),
        ("compact", {"before": "2020"}, TypeError, "is a datetime"),
        ("runs.list", {"limit": "5"}, ValueError, "a limit is"),
        ("runs.list", {"limit": 1.5}, ValueError, "a limit is"),
        ("runs.list", {"agent_id": 5}, InvalidId, "is text"),
        ("runs.list", {"agent_id": "\ud800"}, InvalidId, "is not valid Unicode"),
        ("runs.list", {"since": "2020"}, TypeError, "since is a datetime"),
        ("runs.list", {"until": date(2020, 1, 1)}, TypeError, "until is a datetime"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    tmp_path: Path, method: str, arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    async def body() -> None:
        async with Runtime(tmp_path, agents=[ECHO]) as rt:
            await rt.run("echo", "x", run_id="r")
            with pytest.raises(error, match=said):
                await attrgetter(method)(rt)(**arguments)

    asyncio.run(body())


def test_a_log_that_is_handed_in_is_that_of_one_runtime_at_a_time() -> None:
    async def body() -> None:
        log = MemoryLog()
        async with Runtime(None, agents=[ECHO], log=log) as rt:
            with pytest.raises(OutliveError, match="another runtime works on this log"):
                await Runtime(None, agents=[ECHO], log=log).__aenter__()
            await rt.run("echo", "x", run_id="r")
        async with Runtime(None, agents=[ECHO], log=log) as rt:
            assert (await rt.result("r")).unwrap() == "x"

    asyncio.run(body())


Use = Callable[[Runtime], Awaitable[object]]
USES: Final[dict[str, Use]] = {
    "start": lambda rt: rt.start("echo", "x", run_id="r2"),
    "cancel": lambda rt: rt.cancel("r"),
    "result": lambda rt: rt.result("r"),
    "observe": lambda rt: anext(rt.observe("r")),
    "tasks.observe": lambda rt: anext(rt.tasks.observe(run_id="r")),
    "read_view": lambda rt: rt.read_view("runs", lambda _: None),
    "close": lambda rt: rt.close(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_on_another_event_loop_a_runtime_does_nothing(use: Use) -> None:
    def elsewhere(rt: Runtime) -> None:
        async def body() -> None:
            await use(rt)

        with pytest.raises(OutliveError, match="lives on another event loop"):
            asyncio.run(body())

    async def here() -> None:
        async with Runtime(None, agents=[ECHO]) as rt:
            await rt.run("echo", "x", run_id="r")
            await asyncio.to_thread(elsewhere, rt)
            assert (await rt.run("echo", "x", run_id="r3")).status == "completed"
            assert not rt.log.version(run_stream("r2"))

    asyncio.run(here())


@pytest.mark.parametrize("read", ["read", "version", "open_entry", "snapshot"])
def test_a_stream_that_is_no_text_is_refused(tmp_path: Path, read: str) -> None:
    async def body() -> None:
        async with Runtime(tmp_path) as rt:
            with pytest.raises(TypeError, match="a stream is named by text"):
                getattr(cast(Any, rt.log), read)(5)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("cancel", {"run_id": "r", "reason": None}, "reason is text"),
        ("cancel", {"run_id": "r", "by": 5}, "by is text"),
        ("tasks.cancel", {"task_id": "t", "reason": 5}, "reason is text"),
        ("tasks.cancel", {"task_id": "t", "reason": None}, "reason is text"),
        ("tasks.cancel", {"task_id": "t", "by": 5}, "by is text"),
        ("tasks.retry", {"task_id": "t", "by": 5}, "by is text"),
        ("tasks.resume", {"task_id": "t", "key": 5}, "key is text"),
        ("tasks.resume", {"task_id": "t", "by": 5}, "by is text"),
        ("tasks.enqueue", {"tool": 5}, "a tool is text"),
        ("tasks.enqueue", {"tool": "look", "args": [1]}, "args is a mapping"),
        ("tasks.enqueue", {"tool": "look", "request_context": [1]}, "request_context is a mapping"),
        ("tasks.enqueue", {"tool": "look", "idempotency_key": 5}, "idempotency_key is text"),
        ("heartbeats.pause", {"id": "h", "reason": 5}, "reason is text"),
        ("heartbeats.pause", {"id": "h", "by": 5}, "by is text"),
        ("heartbeats.resume", {"id": "h", "by": 5}, "by is text"),
        ("heartbeats.run", {"id": "h", "by": 5}, "by is text"),
        ("heartbeats.delete", {"id": "h", "by": 5}, "by is text"),
        ("heartbeats.update", {"id": "h", "every": 60, "by": 5}, "by is text"),
        ("heartbeats.create", {"every": 60, "agent_id": "echo", "prompt": "x", "by": 5}, "by is"),
    ],
)
def test_what_is_recorded_as_text_is_text(
    tmp_path: Path, method: str, arguments: dict[str, Any], said: str
) -> None:
    async def body() -> None:
        async with Runtime(tmp_path, agents=[ECHO]) as rt:
            with pytest.raises(TypeError, match=said):
                await attrgetter(method)(rt)(**arguments)

    asyncio.run(body())
