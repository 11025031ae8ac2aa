"""What happens in a task, said as what happens in a run that makes this one tool call."""

from __future__ import annotations

from outlive.events import (
    Event,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    TaskCancelled,
    TaskFailed,
    TaskInDoubt,
    TaskQueued,
    TaskRecovered,
    TaskRejected,
    TaskRetryScheduled,
    TaskStarted,
    TaskStepCompleted,
    TaskSucceeded,
    TaskSuspended,
    TaskTimedOut,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallInDoubt,
    ToolCallStarted,
    ToolCallSuspended,
    ToolStepCompleted,
)
from outlive.events.event import Failure


def as_of_run(event: Event, task: TaskQueued, attempt: int) -> tuple[Event, ...]:
    """Return the events of a run that say the same of a call as an event of a task.

    `task` is how it was queued, and `attempt` the last one that has begun. What is left out:
    progress, answers of people, messages.
    """
    call_id = task.call_id
    match event:
        case TaskStarted():
            return (ToolCallStarted(call_id=call_id, attempt=event.attempt, name=task.tool),)
        case TaskStepCompleted(key=key, value=value, elapsed_ms=ms):
            step = ToolStepCompleted(
                call_id=call_id, attempt=event.attempt, key=key, value=value, elapsed_ms=ms
            )
            return (step,)
        case TaskRetryScheduled(reason=error, at_ns=at_ns):
            failed = ToolCallFailed(
                call_id=call_id, attempt=event.attempt, error=error, retry_at_ns=at_ns
            )
            return (failed,)
        case TaskSuspended(key=key):
            return (ToolCallSuspended(call_id=call_id, attempt=event.attempt, key=key),)
        case TaskInDoubt(cause=cause):
            return (ToolCallInDoubt(call_id=call_id, attempt=event.attempt, cause=cause),)
        case TaskRecovered(epoch=epoch, clean=clean, suspected=suspected):
            recovered = RunRecovered(epoch=epoch, clean=clean)
            error = Failure(kind="in_doubt", message="the process ended while it ran")
            cut_off = ToolCallFailed(call_id=call_id, attempt=attempt, error=error)
            return (recovered, cut_off) if suspected else (recovered,)
        case TaskSucceeded(result=result):
            done = ToolCallCompleted(call_id=call_id, attempt=event.attempt, result=result)
            return (done, RunCompleted())
        case TaskFailed(error=error) | TaskTimedOut(error=error):
            failed = ToolCallFailed(call_id=call_id, attempt=event.attempt, error=error)
            return (failed, RunFailed(error=error))
        case TaskCancelled(reason=reason, by=by):
            error = Failure(kind="cancelled", message=reason)
            cancelled = ToolCallFailed(call_id=call_id, attempt=attempt, error=error)
            return (cancelled, RunCancelled(reason=reason, by=by))
        case TaskRejected(reason=reason):
            return (RunFailed(error=Failure(kind="rejected", message=reason)),)
        case _:
            return ()
