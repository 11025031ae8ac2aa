"""Events of a background task, told anew as moments; its pages are told of elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from outlive.cli._demo.moments import (
    AnyMoment,
    Failed,
    OutcomeHeard,
    TaskBegun,
    TaskOver,
    TaskQueuedUp,
    TaskTold,
)
from outlive.cli._demo.tasks import ENDS, Task
from outlive.events import (
    BackgroundResultReceived,
    Recorded,
    TaskProgressed,
    TaskQueued,
    TaskRetryScheduled,
    TaskStarted,
)


def task_moments(task: Task, recorded: Recorded, *, at_ms: int) -> Iterator[AnyMoment]:
    """Yield the moments that an event makes. `task` is what it is after that."""
    event, version = recorded.event, recorded.version
    task_id, number = task.task_id, task.number
    match event:
        case TaskQueued():
            yield TaskQueuedUp(
                at_ms=at_ms,
                version=version,
                task_id=task_id,
                number=number,
                pages=len(task.pages),
            )
        case TaskStarted():
            yield TaskBegun(
                at_ms=at_ms,
                version=version,
                task_id=task_id,
                number=number,
                attempt=event.attempt,
                kept=len(task.recorded),
            )
        case TaskProgressed():
            yield TaskTold(
                at_ms=at_ms,
                version=version,
                task_id=task_id,
                number=number,
                done=int(event.done),
                total=None if event.total is None else int(event.total),
                note=event.note,
            )
        case TaskRetryScheduled():
            what = f"attempt {event.attempt} of task {number}"
            yield Failed(at_ms=at_ms, version=version, what=what, reason=event.reason.message)
        case BackgroundResultReceived():
            yield OutcomeHeard(
                at_ms=at_ms,
                version=version,
                task_id=task_id,
                number=number,
                status=event.status,
            )
        case _ if type(event) in ENDS:
            yield TaskOver(
                at_ms=at_ms,
                version=version,
                task_id=task_id,
                number=number,
                status=task.status,
                error=task.error,
            )
        case _:
            pass
