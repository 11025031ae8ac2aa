"""The demo's background tasks, folded from the events of their run and their own. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from outlive.cli._demo.fetch import path_of
from outlive.cli._demo.reading import RULES
from outlive.events import (
    BackgroundResultReceived,
    Event,
    Recorded,
    RunRecovered,
    StreamId,
    TaskCancelled,
    TaskFailed,
    TaskQueued,
    TaskRecovered,
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

Outcome: TypeAlias = Literal["running", "completed", "failed", "cut_off"]

ENDS: Final[dict[type[Event], str]] = {
    TaskSucceeded: "succeeded",
    TaskFailed: "failed",
    TaskTimedOut: "timed_out",
    TaskCancelled: "cancelled",
    TaskRejected: "rejected",
}
"""How a task has ended, by the event that says so."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a task. That of a dead process ended with the last event of the log then."""

    number: int
    outcome: Outcome = "running"
    started_at_ns: int
    ended_at_ns: int | None = None
    pages: int = 0  # that it has recorded


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
    attempts: tuple[Attempt, ...] = ()
    ends: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    result: Value = None
    error: str = ""


class Tasks:
    """Folds events of a run and its tasks, in the order of the log, into these tasks."""

    def __init__(self, events: Iterable[Recorded] = ()) -> None:
        self._by_stream: dict[StreamId, Task] = {}
        self._last_at_ns = 0
        self._owner = 0  # the last one that has taken a task up, and
        self._silent_since_ns = 0
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
        elif isinstance(event, RunRecovered | TaskRecovered) and event.epoch != self._owner:
            self._owner, self._silent_since_ns = event.epoch, self._last_at_ns
        before = self._by_stream.get(stream)
        if before is not None:
            self._by_stream[stream] = _after(before, recorded, self._silent_since_ns)
        self._last_at_ns = recorded.recorded_at_ns
        return self._by_stream.get(stream)


def _after(task: Task, recorded: Recorded, silent_since_ns: int) -> Task:
    event, at_ns = recorded.event, recorded.recorded_at_ns
    match event:
        case TaskQueued():
            urls = event.arguments.get("urls")
            paths = map(path_of, map(str, urls if isinstance(urls, list) else ()))
            return replace(task, status="queued", pages=tuple(paths))
        case TaskStarted():
            attempt = Attempt(number=event.attempt, started_at_ns=at_ns)
            return replace(task, status="running", attempts=(*task.attempts, attempt))
        case TaskStepCompleted() if event.key != RULES:
            read = replace(task, recorded=(*task.recorded, event.key))
            return _with_last(read, pages=task.attempts[-1].pages + 1)
        case TaskRecovered():
            return _with_last(task, outcome="cut_off", ended_at_ns=silent_since_ns)
        case TaskRetryScheduled():
            failed = _with_last(task, outcome="failed", ended_at_ns=at_ns)
            return replace(failed, status="queued", error=event.reason.message)
        case BackgroundResultReceived():
            return replace(task, heard=(*task.heard, event.status))
        case _ if type(event) in ENDS:
            return _ended(task, event, ENDS[type(event)], at_ns)
        case _:
            return task


def _ended(task: Task, event: Event, status: str, at_ns: int) -> Task:
    result = event.result if isinstance(event, TaskSucceeded) else None
    error = event.error.message if isinstance(event, TaskFailed | TaskTimedOut) else ""
    over = replace(task, status=status, ends=(*task.ends, status), result=result, error=error)
    outcome = "completed" if status == "succeeded" else "failed"
    return _with_last(over, outcome=outcome, ended_at_ns=at_ns)


def _with_last(task: Task, **changed: object) -> Task:
    """Return the task with a change to its last attempt, if that has not ended before."""
    if not task.attempts or task.attempts[-1].outcome != "running":
        return task
    return replace(task, attempts=(*task.attempts[:-1], replace(task.attempts[-1], **changed)))
