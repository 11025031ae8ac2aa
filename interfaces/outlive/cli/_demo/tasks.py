"""The demo's background tasks, folded from the events of their run and their own. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from outlive.cli._demo.fetch import path_of
from outlive.cli._demo.reading import RULES
from outlive.events import (
    BackgroundResultReceived,
    Event,
    Recorded,
    StreamId,
    TaskCancelled,
    TaskFailed,
    TaskQueued,
    TaskRejected,
    TaskRequested,
    TaskRetryScheduled,
    TaskStarted,
    TaskStepCompleted,
    TaskSucceeded,
    TaskTimedOut,
    Value,
    task_stream,
)

ENDS: Final[dict[type[Event], str]] = {
    TaskSucceeded: "succeeded",
    TaskFailed: "failed",
    TaskTimedOut: "timed_out",
    TaskCancelled: "cancelled",
    TaskRejected: "rejected",
}
"""How a task has ended, by the event that says so."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task, as far as it got. `number` counts from 1, in the order in which they were wanted.

    What may happen once only is kept as often as it did: `recorded` pages, `ends`, and `heard`,
    how the run has heard that it ended.
    """

    number: int
    task_id: str
    call_id: str
    status: str = "requested"
    pages: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    result: Value = None
    error: str = ""


class Tasks:
    """Folds events of a run and its tasks, in the order of the log, into these tasks."""

    def __init__(self, events: Iterable[Recorded] = ()) -> None:
        self._by_stream: dict[StreamId, Task] = {}
        for recorded in events:
            self.take(recorded)

    def __contains__(self, stream: StreamId) -> bool:
        """Whether a stream is one of these tasks."""
        return stream in self._by_stream

    def all(self) -> list[Task]:
        """Return the tasks, by number."""
        return list(self._by_stream.values())

    def running(self) -> list[Task]:
        """Return those that run, or did when their process died."""
        return [task for task in self.all() if task.status == "running"]

    def take(self, recorded: Recorded) -> Task | None:
        """Take one event; return the task that it is about, as it is now."""
        stream, event = recorded.stream, recorded.event
        if isinstance(event, TaskRequested):
            stream = task_stream(event.task_id)
            task = Task(
                number=len(self._by_stream) + 1, task_id=event.task_id, call_id=event.call_id
            )
            self._by_stream[stream] = task
        elif isinstance(event, BackgroundResultReceived):
            stream = task_stream(event.task_id)
        before = self._by_stream.get(stream)
        if before is not None:
            self._by_stream[stream] = _after(before, event)
        return self._by_stream.get(stream)


def _after(task: Task, event: Event) -> Task:
    match event:
        case TaskQueued():
            urls = event.arguments.get("urls")
            paths = map(path_of, map(str, urls if isinstance(urls, list) else ()))
            return replace(task, status="queued", pages=tuple(paths))
        case TaskStarted():
            return replace(task, status="running")
        case TaskStepCompleted() if event.key != RULES:
            return replace(task, recorded=(*task.recorded, event.key))
        case TaskRetryScheduled():
            return replace(task, status="queued", error=event.reason.message)
        case BackgroundResultReceived():
            return replace(task, heard=(*task.heard, event.status))
        case _ if type(event) in ENDS:
            status = ENDS[type(event)]
            result = event.result if isinstance(event, TaskSucceeded) else None
            error = event.error.message if isinstance(event, TaskFailed | TaskTimedOut) else ""
            ends = (*task.ends, status)
            return replace(task, status=status, ends=ends, result=result, error=error)
        case _:
            return task
