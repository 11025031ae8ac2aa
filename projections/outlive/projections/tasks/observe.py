"""Following a task while it goes on: from any version, then live, until its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final, TypeAlias

from outlive.events import (
    InvalidOffset,
    LogReader,
    Recorded,
    StreamId,
    Subscription,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    TaskRejected,
    TaskSucceeded,
    TaskTimedOut,
    Version,
    task_stream,
)
from outlive.projections.tasks.info import fold_task, read_task

ENDS: Final = (TaskSucceeded, TaskFailed, TaskTimedOut, TaskCancelled, TaskRejected)

Follow: TypeAlias = Callable[[StreamId, Version], Subscription[Recorded]]


async def observe_task(
    log: LogReader, task_id: str, *, after: int = 0, follow: Follow | None = None
) -> AsyncGenerator[Recorded, None]:
    """Yield a task's events beyond version `after`, in order, once, then live, until its end.

    Works in the owner's process and in any other. Leaving the loop touches nobody else.

    Raises:
        TaskNotFound: at once, when there is no such task.
        InvalidOffset: `after` is beyond the head of the task, negative, or no whole number.
        LogClosed: the log was closed before the task was over.
    """
    stream = task_stream(task_id)
    head = log.version(stream)
    if head == 0:
        raise TaskNotFound(task_id)
    if type(after) is not int or not 0 <= after <= head:
        raise InvalidOffset(after, head)
    over = fold_task(task_id, read_task(log, task_id)).over
    if over and after == head:
        return
    follow = follow or (lambda stream, after: log.follow(stream, after=after))
    async with follow(stream, Version(after)) as subscription:
        async for recorded in subscription:
            yield recorded
            if not over and isinstance(recorded.event, ENDS):
                return
            if over and recorded.version >= head:
                return
