"""What a run does about the background tasks that it has asked for: pure, as all of `decide`."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from outlive.actors.mail import Acknowledge, acknowledged
from outlive.actors.run.commands import (
    CompleteModelCall,
    PlannedCall,
    ReceiveBackgroundResult,
    RefuseTask,
    TaskTaken,
)
from outlive.actors.run.going_on import Events, go_on
from outlive.actors.run.next_step import next_step
from outlive.events import (
    BackgroundResultReceived,
    CallId,
    RunEvent,
    RunId,
    RunState,
    ToolCallCompleted,
    ToolCallDeferred,
    ToolCallFailed,
)
from outlive.events.run import Call, evolve
from outlive.events.values import digest

_LONGEST_ID: Final = 200  # bytes, as `stream_id` has it


def task_id_of(run_id: RunId, call_id: CallId) -> str:
    """Return the id of the task that answers a call: the same each time.

    `7f3a:0.1` for the call `0.1` of run `7f3a`. Where that would be too long for an id, a digest
    of it.
    """
    readable = f"{run_id}:{call_id}"
    if len(readable.encode()) <= _LONGEST_ID:
        return readable
    return digest(run_id.encode(), call_id.encode())


def with_tasks(answer: CompleteModelCall, run_id: RunId) -> CompleteModelCall:
    """Return the model's answer, with the ids of the tasks that are to answer calls."""
    if all(call.task is None for call in answer.tool_calls):
        return answer

    def planned(index: int, call: PlannedCall) -> PlannedCall:
        if call.task is None:
            return call
        task_id = task_id_of(run_id, CallId(f"{answer.step}.{index}"))
        return replace(call, task=replace(call.task, task_id=task_id))

    calls = tuple(planned(index, call) for index, call in enumerate(answer.tool_calls))
    return replace(answer, tool_calls=calls)


def take(state: RunState, command: TaskTaken) -> Events:
    """The task is there: a deferred call is answered by that, and its result comes later."""
    told = acknowledged(state.mail, Acknowledge(sequence=command.sequence))
    call = _open_call(state, command.call_id, command.task_id)
    if call is None or call.task is None or call.task.mode != "deferred" or not command.queued:
        return told
    deferred = ToolCallDeferred(call_id=command.call_id, task_id=command.task_id)
    return go_on(state, *told, deferred)


def refuse(state: RunState, command: RefuseTask) -> Events:
    """The task could not be begun: its call has failed."""
    told = acknowledged(state.mail, Acknowledge(sequence=command.sequence))
    if _open_call(state, command.call_id, command.task_id) is None:
        return told
    failed = ToolCallFailed(call_id=command.call_id, attempt=0, error=command.error)
    return go_on(state, *told, failed)


def receive(state: RunState, command: ReceiveBackgroundResult) -> Events:
    """The task has ended: the model is told, at once or at its next step.

    A run that is over records it, too. Nothing if it was told before, or was not to be told.
    """
    call_id, received = command.call_id, _received(command)
    if _open_call(state, call_id, command.task_id) is not None:
        answer: RunEvent
        if command.error is None:
            answer = ToolCallCompleted(
                call_id=call_id, result=command.result, elapsed_ms=command.elapsed_ms
            )
        else:
            answer = ToolCallFailed(
                call_id=call_id, error=command.error, elapsed_ms=command.elapsed_ms
            )
        return go_on(state, received, answer)
    deferred = state.tasks.get(call_id)
    if deferred is None or deferred.task_id != command.task_id:
        return ()
    received = replace(received, result=command.result, error=command.error)
    after = evolve(state, received)
    if state.rests and not after.rests:
        return (received, *next_step(after))
    return (received,)


def _received(command: ReceiveBackgroundResult) -> BackgroundResultReceived:
    return BackgroundResultReceived(
        call_id=command.call_id, task_id=command.task_id, status=command.status
    )


def _open_call(state: RunState, call_id: CallId, task_id: str) -> Call | None:
    """Return the call that waits for this task, if it does."""
    call = state.calls.get(call_id)
    if call is None or call.status != "task" or call.task is None:
        return None
    return call if call.task.task_id == task_id else None
