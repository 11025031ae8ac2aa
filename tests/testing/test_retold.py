"""What a run or a task has met that it does not meet alone, as the log tells of it."""

from __future__ import annotations

import asyncio
from typing import cast

from outlive.events import (
    CallId,
    Event,
    Failure,
    ModelCallCompleted,
    NotFound,
    RequestedToolCall,
    TaskFailed,
    TaskQueued,
    TaskRetryScheduled,
    ToolCallFailed,
    Usage,
)
from outlive.testing import Client
from outlive.testing._retold import Retold, say_once_it_is_there
from outlive.testing._retold_task import RetoldTask

LOG = "log"


def asked(*call_ids: str) -> ModelCallCompleted:
    calls = tuple(RequestedToolCall(call_id=CallId(id), name=id, arguments={}) for id in call_ids)
    return ModelCallCompleted(
        step=0, attempt=1, text="", tool_calls=calls, usage=Usage(), finish_reason="tools"
    )


def failed(call_id: str, kind: str) -> ToolCallFailed:
    return ToolCallFailed(
        call_id=CallId(call_id), attempt=1, error=Failure(kind=kind, message="it failed")
    )


def effects_of(*events: Event) -> tuple[Retold, list[str]]:
    """What is told of a run with the calls a and b, and which of their effects it must have."""
    told = Retold("r", {"r": [asked("a", "b"), *events]}, {})
    keys = {key: name for name, (key, _) in zip("ab", told.again(LOG), strict=True)}
    return told, [name for name, _ in told.required(LOG, [(keys[key], key) for key in keys])]


def test_a_run_whose_calls_only_failed_is_compared_and_has_its_effects() -> None:
    told, required = effects_of(failed("a", "error"))
    assert not told.disturbed
    assert required == ["a", "b"]


def test_one_that_no_thread_was_left_for_is_another_run_and_that_effect_may_be_missing() -> None:
    told, required = effects_of(failed("a", "no_threads"))
    assert told.disturbed
    assert required == ["b"]


def test_so_is_one_whose_task_no_thread_was_left_for() -> None:
    error = Failure(kind="no_threads", message="too many")
    again = TaskRetryScheduled(attempt=1, reason=error, at_ns=5)
    for end in (again, TaskFailed(attempt=1, error=error)):
        task = RetoldTask("t", [TaskQueued(tool="send"), end])
        assert task.may_not_have_happened
        assert Retold("r", {"r": []}, {"t": [TaskQueued(tool="send"), end]}).disturbed


def test_a_task_that_failed_otherwise_is_what_it_is_alone() -> None:
    end = TaskFailed(attempt=1, error=Failure(kind="error", message="boom"))
    assert not RetoldTask("t", [TaskQueued(tool="send"), end]).may_not_have_happened


class Waiting:
    """A client whose task begins after so many seconds, if it does."""

    def __init__(self, begins: float) -> None:
        self.begins = begins
        self.now = 0.0
        self.said: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def say(self) -> None:
        if self.now < self.begins:
            raise NotFound("there is no task")
        self.said.append(self.now)


def said_to(client: Waiting) -> list[float]:
    asyncio.run(say_once_it_is_there(cast("Client", client), client.say))
    return client.said


def test_a_task_is_answered_as_soon_as_it_has_begun() -> None:
    assert said_to(Waiting(0)) == [0]
    assert said_to(Waiting(59.5)) == [60]


def test_also_one_that_begins_after_a_tool_has_run_out_of_time_for_hours() -> None:
    begins = 4 * 3 * 3_600
    (said,) = said_to(Waiting(begins))
    assert begins <= said <= begins + 30


def test_one_that_never_begins_is_not_waited_for_without_end() -> None:
    assert not said_to(Waiting(float("inf")))
