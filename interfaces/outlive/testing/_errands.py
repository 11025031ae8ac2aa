"""What must hold between runs and their background tasks, as the log has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from outlive.events import (
    BackgroundResultReceived,
    Event,
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
from outlive.testing._listener import Listener

_ENDS: Final[dict[type[Event], str]] = {
    TaskSucceeded: "succeeded",
    TaskFailed: "failed",
    TaskTimedOut: "timed_out",
    TaskCancelled: "cancelled",
    TaskRejected: "rejected",
}
_AT_REST: Final = ("suspended", "blocked", "quarantined")


class Errands(Listener):
    """Follows records, and knows which task was asked for by whom, and what that one has heard."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[StreamId, StreamId] = {}  # by task: the run that has asked for it
        self._of: dict[StreamId, list[StreamId]] = {}  # by run, in the order of the calls
        self._begun: set[StreamId] = set()
        self._ends: dict[StreamId, list[str]] = {}  # several, if it was tried once more
        self._over: set[StreamId] = set()
        self._heard: dict[StreamId, str] = {}  # by task: how its run has heard that it ended
        self._cancelled: set[StreamId] = set()
        self._detached: set[StreamId] = set()

    def _answered(self, _: Record, event: ModelCallCompleted) -> None:
        tasks = [call.task for call in event.tool_calls if call.task is not None]
        self._detached |= {task_stream(it.task_id) for it in tasks if it.detached}

    def _requested(self, record: Record, event: TaskRequested) -> None:
        stream, task = record.stream, task_stream(event.task_id)
        if task in self._asked:
            self._wrong("a task is asked for once", f"{task} is asked for twice")
        self._asked[task] = stream
        self._of.setdefault(stream, []).append(task)

    def _queued(self, record: Record, event: TaskQueued) -> None:
        stream, run_id = record.stream, event.run_id
        self._begun.add(stream)
        if run_id and self._asked.get(stream) != run_stream(run_id):
            self._wrong("a task works for a call", f"{stream} says: for {run_id}")

    def _ended(self, record: Record, event: Event) -> None:
        stream = record.stream
        if stream in self._over:
            self._wrong("a task ends once", f"{stream} was {self._ends[stream][-1]}")
        self._over.add(stream)
        self._ends.setdefault(stream, []).append(_ENDS[type(event)])

    def _requeued(self, record: Record, _: TaskRequeued) -> None:
        self._over.discard(record.stream)

    def _run_cancelled(self, record: Record, _: RunCancelled) -> None:
        self._cancelled.add(record.stream)

    def _receive(self, record: Record, event: BackgroundResultReceived) -> None:
        task = task_stream(event.task_id)
        if task in self._heard:
            self._wrong("a task is heard of once", f"{task} has ended twice for {record.stream}")
        if event.status not in self._ends.get(task, ())[:1]:  # Of what follows its thread is told.
            ended = self._ends.get(task, "open")
            self._wrong("a task is what its run heard", f"{task}: {event.status}, it is {ended}")
        self._heard[task] = event.status

    HEARS: ClassVar[Mapping[type[Event], Callable[[Any, Record, Any], None]]] = {
        ModelCallCompleted: _answered,
        TaskRequested: _requested,
        TaskQueued: _queued,
        **dict.fromkeys(_ENDS, _ended),
        TaskRequeued: _requeued,
        BackgroundResultReceived: _receive,
        RunCancelled: _run_cancelled,
    }

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
