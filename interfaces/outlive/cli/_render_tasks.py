"""Events of background tasks, and of runs about them, as lines that a person reads."""

from __future__ import annotations

from typing import Final

from outlive.cli._json import utc
from outlive.cli._render_parts import failure, progress, said, short
from outlive.cli._text import duration, printable
from outlive.events import (
    BackgroundResultReceived,
    Event,
    TaskCancelled,
    TaskFailed,
    TaskHooksCalled,
    TaskInDoubt,
    TaskProgressed,
    TaskQueued,
    TaskRecovered,
    TaskRejected,
    TaskRequested,
    TaskRequeued,
    TaskResolved,
    TaskResultIgnored,
    TaskResumed,
    TaskRetryScheduled,
    TaskStarted,
    TaskStepCompleted,
    TaskSucceeded,
    TaskSuspended,
    TaskTimedOut,
    ToolCallDeferred,
)

RESOLVED: Final = {
    "completed": "it was done",
    "failed": "it was not done",
    "retry": "to be called again",
}
UNKNOWN: Final = {
    "crash": "what it did before a crash is unknown",
    "timeout": "what it did before its timeout is unknown",
}


def task_says(event: Event) -> str | None:
    """Return what matters of an event in one line; None if it is none about a task."""
    match event:
        case TaskRequested() | ToolCallDeferred():
            return f"{event.call_id}  task {printable(event.task_id)}"
        case BackgroundResultReceived():
            how = event.status if event.error is None else failure(event.error)
            return f"{event.call_id}  task {printable(event.task_id)} {how}"
        case TaskQueued():
            where = "" if not event.inline else ", without a slot"
            wanted = f" for run {printable(event.run_id)}" if event.run_id else ""
            return f"{printable(event.tool)}({short(event.arguments)}){wanted}{where}"
        case TaskStarted():
            return f"#{event.attempt}  by {printable(event.worker)}" if event.worker else _of(event)
        case TaskProgressed():
            return f"{_of(event)}{progress(event.done, event.total, event.note)}"
        case TaskStepCompleted():
            return f"{_of(event)}{printable(event.key)}  ({duration(event.elapsed_ms)})"
        case TaskSuspended():
            shown = "" if event.payload is None else f"  {short(event.payload)}"
            return f"{_of(event)}asks {printable(event.key)}{shown}"
        case TaskResumed():
            return f"{printable(event.key)}: {said(short(event.value), event.by, '')}"
        case TaskInDoubt():
            return f"{_of(event)}{UNKNOWN[event.cause]}"
        case TaskResolved():
            return f"{_of(event)}{said(RESOLVED[event.outcome], event.by, event.note)}"
        case TaskRequeued():
            return said("to be tried once more", event.by, "")
        case TaskHooksCalled():
            return "; ".join(map(failure, event.failures)) or "all were told how it has ended"
        case TaskRetryScheduled():
            at = f"{utc(event.at_ns):%H:%M:%S}Z"
            return f"{_of(event)}{failure(event.reason)}; tried again at {at}"
        case _:
            return _end(event)


def _end(event: Event) -> str | None:
    match event:
        case TaskRecovered():
            end = "a clean end" if event.clean else "an unclean end"
            turn = "; its next turn is without others like it" if event.suspected else ""
            return f"by owner {event.epoch}, after {end} of the one before{turn}"
        case TaskSucceeded():
            return f"{_of(event)}{short(event.result)}  ({duration(event.elapsed_ms)})"
        case TaskFailed() | TaskTimedOut():
            return f"{_of(event)}{failure(event.error)}"
        case TaskCancelled():
            return said("cancelled", event.by, event.reason)
        case TaskRejected():
            return printable(event.reason)
        case TaskResultIgnored():
            return f"{_of(event)}{event.outcome}, too late to count"
        case _:
            return None


def _of(
    event: TaskStarted
    | TaskProgressed
    | TaskStepCompleted
    | TaskSuspended
    | TaskInDoubt
    | TaskResolved
    | TaskRetryScheduled
    | TaskSucceeded
    | TaskFailed
    | TaskTimedOut
    | TaskResultIgnored,
) -> str:
    return f"#{event.attempt}  "
