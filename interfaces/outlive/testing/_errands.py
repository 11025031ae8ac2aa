"""What must hold between runs and their background tasks, as the log has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outlive.events import (
    BackgroundResultReceived,
    ModelCallCompleted,
    OpenEntry,
    Record,
    RunCancelled,
    RunState,
    StreamId,
    TaskCancelled,
    TaskFailed,
    TaskQueued,
    TaskRejected,
    TaskRequested,
    TaskRequeued,
    TaskState,
    TaskSucceeded,
    TaskTimedOut,
    run_stream,
    task_stream,
)

_ENDS: Final = {
    TaskSucceeded: "succeeded",
    TaskFailed: "failed",
    TaskTimedOut: "timed_out",
    TaskCancelled: "cancelled",
    TaskRejected: "rejected",
}
_AT_REST: Final = ("suspended", "blocked", "quarantined")


class Errands:
    """Follows records, and knows which task was asked for by whom, and what that one has heard."""

    def __init__(self) -> None:
        self._asked: dict[StreamId, StreamId] = {}  # by task: the run that has asked for it
        self._of: dict[StreamId, list[StreamId]] = {}  # by run, in the order of the calls
        self._begun: set[StreamId] = set()
        self._ends: dict[StreamId, list[str]] = {}  # several, if it was tried once more
        self._over: set[StreamId] = set()
        self._heard: dict[StreamId, str] = {}  # by task: how its run has heard that it ended
        self._cancelled: set[StreamId] = set()
        self._detached: set[StreamId] = set()
        self._problem: tuple[str, str] | None = None

    def hear(self, record: Record) -> None:
        """Take a record, in order."""
        stream = record.stream
        for event in record.events:
            match event:
                case ModelCallCompleted(tool_calls=calls):
                    tasks = [call.task for call in calls if call.task is not None]
                    self._detached |= {task_stream(it.task_id) for it in tasks if it.detached}
                case TaskRequested(task_id=task_id):
                    task = task_stream(task_id)
                    if task in self._asked:
                        self._wrong("a task is asked for once", f"{task} is asked for twice")
                    self._asked[task] = stream
                    self._of.setdefault(stream, []).append(task)
                case TaskQueued(run_id=run_id):
                    self._begun.add(stream)
                    if run_id and self._asked.get(stream) != run_stream(run_id):
                        self._wrong("a task works for a call", f"{stream} says: for {run_id}")
                case (
                    TaskSucceeded()
                    | TaskFailed()
                    | TaskTimedOut()
                    | TaskCancelled()
                    | TaskRejected()
                ):
                    if stream in self._over:
                        self._wrong("a task ends once", f"{stream} was {self._ends[stream][-1]}")
                    self._over.add(stream)
                    self._ends.setdefault(stream, []).append(_ENDS[type(event)])
                case TaskRequeued():
                    self._over.discard(stream)
                case BackgroundResultReceived():
                    self._receive(stream, event)
                case RunCancelled():
                    self._cancelled.add(stream)
                case _:
                    pass

    def _receive(self, run: StreamId, event: BackgroundResultReceived) -> None:
        task = task_stream(event.task_id)
        if task in self._heard:
            self._wrong("a task is heard of once", f"{task} has ended twice for {run}")
        if event.status not in self._ends.get(task, ())[:1]:  # Of what follows its thread is told.
            ended = self._ends.get(task, "open")
            self._wrong("a task is what its run heard", f"{task}: {event.status}, it is {ended}")
        self._heard[task] = event.status

    def _wrong(self, rule: str, detail: str) -> None:
        self._problem = self._problem or (rule, detail)

    def problem(self, states: Mapping[StreamId, object]) -> tuple[str, str] | None:
        """Return a rule that does not hold, and where; `states` are those that have changed."""
        for stream, state in states.items():
            match state:
                case TaskState(run_id=run_id) if run_id and state.over and not state.mail.outbox:
                    if stream not in self._heard and run_stream(run_id) not in self._cancelled:
                        self._wrong("a run hears of its tasks", f"{stream} has not told {run_id}")
                case RunState(status="cancelled") if not state.mail.outbox:
                    self._check_cancelled(stream)
                case _:
                    pass
        return self._problem

    def _check_cancelled(self, run: StreamId) -> None:
        for task in self._of.get(run, ()):
            if task not in self._ends and task not in self._detached and task in self._begun:
                self._wrong("no task is left over", f"{task} is open, {run} is cancelled")

    def waits_for_one_at_rest(self, stream: StreamId, rows: Mapping[StreamId, OpenEntry]) -> bool:
        """Whether a run waits for tasks, one of which waits for a person or stands still."""
        row = rows.get(stream)
        if row is None or row.status != "waiting":
            return False
        return any(
            task in rows and rows[task].status in _AT_REST
            for task in self._of.get(stream, ())
            if task not in self._heard
        )
