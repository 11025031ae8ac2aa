"""Following a task while it goes on: from any version, then live, until its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from outlive.events import (
    LogReader,
    Recorded,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    TaskRejected,
    TaskSucceeded,
    TaskTimedOut,
    task_stream,
)
from outlive.projections.to_the_end import Follow, follow_to_end

ENDS: Final = (TaskSucceeded, TaskFailed, TaskTimedOut, TaskCancelled, TaskRejected)


def observe_task(
    log: LogReader, task_id: str, *, after: int = 0, follow: Follow | None = None
) -> AsyncGenerator[Recorded, None]:
    """Yield a task's events beyond version `after`, in order, once, then live, until its end.

    Works in the owner's process and in any other. Leaving the loop touches nobody else.

    Raises:
        TaskNotFound: at once, when there is no such task.
        InvalidOffset: `after` is beyond the head of the task, negative, or no whole number.
        LogClosed: the log was closed before the task was over.
    """
    return follow_to_end(
        log,
        task_stream(task_id),
        ENDS,
        after=after,
        not_found=TaskNotFound(task_id),
        follow=follow,
    )
