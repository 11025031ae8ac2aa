"""All that is known of one task, folded from its own events."""

from __future__ import annotations

import msgspec

from outlive.events import (
    Failure,
    LogReader,
    OpenEntry,
    Recorded,
    TaskFailed,
    TaskNotFound,
    TaskQueued,
    TaskRequeued,
    TaskSucceeded,
    TaskSuspended,
    TaskTimedOut,
    Value,
    task_stream,
)
from outlive.events.ids import id_of
from outlive.events.task.state import OVER
from outlive.projections.tasks.info import TaskInfo, TaskQuestion, task_summary
from outlive.projections.tasks.view import TaskRow, begin_row, change_row
from outlive.projections.to_the_end import read_stream


class TaskFold:
    """Folds the events of one task, from its first one on."""

    def __init__(self) -> None:
        self._task_id = ""
        self._row: TaskRow | None = None  # as the view has it
        self._heard_at_ns = 0
        self.ends = 0
        """How often it has come to an end."""
        self._arguments: dict[str, Value] = {}
        self._questions: dict[str, TaskQuestion] = {}
        self._result: Value = None
        self._error: Failure | None = None  # as it was recorded, whole

    def apply(self, recorded: Recorded) -> None:
        """Take one event, in order."""
        row, event, at_ns = self._row, recorded.event, recorded.recorded_at_ns
        if row is None:
            if not isinstance(event, TaskQueued):
                return
            row = self._row = begin_row(event, at_ns, recorded.position)
            self._task_id = id_of(recorded.stream)
        elif recorded.position != row.position:
            row.updated_at_ns = self._heard_at_ns
        change_row(row, event, at_ns)
        if row.status not in OVER:
            row.ended_at_ns = None
        elif row.ended_at_ns is None:
            row.ended_at_ns = at_ns
            self.ends += 1
        row.version, row.position = recorded.version, recorded.position
        self._heard_at_ns = at_ns
        match event:
            case TaskQueued():
                self._arguments = event.arguments
            case TaskSuspended(key=key):
                self._questions[key] = TaskQuestion(
                    key=key, payload=event.payload, answer_schema=event.answer_schema
                )
            case TaskSucceeded():
                self._result = event.result
            case TaskFailed() | TaskTimedOut():
                self._error = event.error
            case TaskRequeued():
                self._error = None
            case _:
                pass

    def info(self, entry: OpenEntry | None = None) -> TaskInfo | None:
        """Return what is known of it so far; None before it began.

        `entry` is its row of the open table.
        """
        row = self._row
        if row is None:
            return None
        row.updated_at_ns = self._heard_at_ns
        summary = msgspec.structs.asdict(task_summary(self._task_id, row, entry))
        if self._error is not None:
            summary["error"] = self._error
        questions = tuple(self._questions[key] for key in row.asks)
        return TaskInfo(
            **summary, arguments=self._arguments, questions=questions, result=self._result
        )


def read_task(log: LogReader, task_id: str) -> list[Recorded]:
    """Return all events of a task. Raises TaskNotFound."""
    found = read_stream(log, task_stream(task_id))
    if not found:
        raise TaskNotFound(task_id)
    return found


def task_info(log: LogReader, task_id: str, *, end: int | None = None) -> TaskInfo:
    """Return what became of a task so far. Raises TaskNotFound.

    Args:
        log: where it is.
        task_id: the task.
        end: as it was when it had come to its first, second ... end.
    """
    entry = log.open_entry(task_stream(task_id))  # Before its events, which then tell no less.
    fold = TaskFold()
    for recorded in read_task(log, task_id):
        fold.apply(recorded)
        if fold.ends == end:
            entry = None  # That is of what came after it.
            break
    info = fold.info(entry)
    if info is None:
        raise TaskNotFound(task_id)
    return info
