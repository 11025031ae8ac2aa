"""What a run or a task has met that it does not meet alone, as the log tells of it."""

from __future__ import annotations

from outlive.events import (
    CallId,
    Event,
    Failure,
    ModelCallCompleted,
    RequestedToolCall,
    TaskFailed,
    TaskQueued,
    TaskRetryScheduled,
    ToolCallFailed,
    Usage,
)
from outlive.testing._retold import Retold
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
