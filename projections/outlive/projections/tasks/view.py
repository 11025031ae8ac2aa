"""The tasks view: a row a task, with its attempts and how far it is, and lists of tasks.

Tasks that are not over are found by their rows in the log's open table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from outlive.events import (
    Event,
    Failure,
    MessageDelivered,
    Position,
    Record,
    TaskCancelled,
    TaskFailed,
    TaskHooksCalled,
    TaskInDoubt,
    TaskProgressed,
    TaskQueued,
    TaskRecovered,
    TaskRejected,
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
)
from outlive.events.task.state import OVER
from outlive.projections.lists import ListedRow, Lists
from outlive.projections.views.rows import Rows

ATTEMPTS_KEPT: Final = 100
MESSAGE_CHARS: Final = 500


class AttemptRow(msgspec.Struct, array_like=True, gc=False):
    """What the view keeps of an attempt."""

    number: int
    started_at_ns: int
    worker: str
    outcome: str = "running"
    ended_at_ns: int | None = None
    error: Failure | None = None


class ProgressRow(msgspec.Struct, array_like=True, gc=False):
    """What was told last of how far it is."""

    attempt: int
    done: float
    total: float | None
    note: str
    at_ns: int


class TaskRow(ListedRow, kw_only=True, array_like=True, gc=False):
    """What the view keeps of a task. Changed in place."""

    tool: str
    agent_id: str
    run_id: str
    call_id: str
    thread_id: str
    resource_id: str
    mode: str
    priority: int
    attempt: int = 0  # the last one
    attempts: list[AttemptRow] = msgspec.field(default_factory=list[AttemptRow])
    progress: ProgressRow | None = None
    steps: int = 0
    recoveries: int = 0
    retry_at_ns: int | None = None
    asks: list[str] = msgspec.field(default_factory=list[str])  # what a person is asked
    in_doubt: bool = False


LISTS: Final = Lists(
    "task",
    TaskRow,
    ("run_id",),
    ("thread_id",),
    ("resource_id",),
    ("tool", "status"),
    ("agent_id", "status"),
    ("tool",),
    ("agent_id",),
    ("status",),
    (),
    over=OVER,
)


class TasksView:
    """The `Projection` of tasks."""

    name = "tasks"
    version = 1
    events: frozenset[type[Event]] = frozenset(
        {
            TaskQueued,
            TaskRejected,
            TaskStarted,
            TaskProgressed,
            TaskStepCompleted,
            TaskSuspended,
            TaskResumed,
            TaskInDoubt,
            TaskResolved,
            TaskRetryScheduled,
            TaskRecovered,
            TaskSucceeded,
            TaskFailed,
            TaskTimedOut,
            TaskCancelled,
            TaskResultIgnored,
            TaskHooksCalled,
            TaskRequeued,
            MessageDelivered,
        }
    )

    def apply(self, records: Sequence[Record], rows: Rows) -> None:
        """Put what happened into the rows of the tasks."""
        LISTS.fold(records, rows, begin=_begin, change=_change)


def _begin(record: Record) -> TaskRow | None:
    queued = record.events[0]
    if not isinstance(queued, TaskQueued):
        return None
    return begin_row(queued, record.recorded_at_ns, record.position)


def begin_row(queued: TaskQueued, at_ns: int, position: Position) -> TaskRow:
    """Return the row of a task that was queued."""
    return TaskRow(
        begun_at_ns=at_ns,
        first_position=position,
        status="queued",
        tool=queued.tool,
        agent_id=queued.agent_id,
        run_id=queued.run_id,
        call_id=queued.call_id if queued.run_id else "",
        thread_id=queued.thread_id,
        resource_id=queued.resource_id,
        mode=queued.mode,
        priority=queued.priority,
    )


def _change(row: TaskRow, events: Sequence[Event], at_ns: int) -> None:
    for event in events:
        change_row(row, event, at_ns)


def change_row(row: TaskRow, event: Event, at_ns: int) -> None:
    """Put an event into its task's row. `updated_at_ns` is the time of the record before."""
    change = _CHANGE.get(event.__class__)
    if change is not None:
        change(row, event, at_ns)
    if row.status in OVER:
        row.retry_at_ns, row.asks, row.in_doubt = None, [], False


def _started(row: TaskRow, event: TaskStarted, at_ns: int) -> None:
    _end_attempt(row, "cut_off", at_ns)  # With its process, or it would have another end.
    row.attempt = event.attempt
    row.attempts.append(AttemptRow(event.attempt, at_ns, event.worker))
    del row.attempts[:-ATTEMPTS_KEPT]
    row.status, row.retry_at_ns = "running", None


def _progressed(row: TaskRow, event: TaskProgressed, at_ns: int) -> None:
    note = event.note[:MESSAGE_CHARS]
    row.progress = ProgressRow(event.attempt, event.done, event.total, note, at_ns)


def _stepped(row: TaskRow, event: TaskStepCompleted, at_ns: int) -> None:
    row.steps += 1


def _suspended(row: TaskRow, event: TaskSuspended, at_ns: int) -> None:
    _end_attempt(row, "suspended", at_ns)
    row.status = "suspended"
    row.asks.append(event.key)


def _resumed(row: TaskRow, event: TaskResumed, at_ns: int) -> None:
    row.asks = [key for key in row.asks if key != event.key]
    if not row.asks:
        row.status = "queued"


def _in_doubt(row: TaskRow, event: TaskInDoubt, at_ns: int) -> None:
    _end_attempt(row, "in_doubt", at_ns)
    row.status, row.in_doubt = "suspended", True


def _resolved(row: TaskRow, event: TaskResolved, at_ns: int) -> None:
    row.status, row.in_doubt = "queued", False


def _to_be_retried(row: TaskRow, event: TaskRetryScheduled, at_ns: int) -> None:
    outcome = "timed_out" if event.reason.kind == "timeout" else "failed"
    _end_attempt(row, outcome, at_ns, event.reason)
    row.status, row.retry_at_ns = "queued", event.at_ns


def _recovered(row: TaskRow, event: TaskRecovered, at_ns: int) -> None:
    row.recoveries += 1
    if row.attempts and row.attempts[-1].outcome == "running":
        row.attempts[-1].ended_at_ns = row.updated_at_ns  # It lived until then, at least.
    if event.suspected:
        _end_attempt(row, "cut_off", at_ns)
        row.status = "queued"


def _succeeded(row: TaskRow, event: TaskSucceeded, at_ns: int) -> None:
    _end_attempt(row, "succeeded", at_ns)
    row.status = "succeeded"


def _failed(row: TaskRow, event: TaskFailed, at_ns: int) -> None:
    cut_off = event.error.kind == "in_doubt"
    _end_attempt(row, "cut_off" if cut_off else "failed", at_ns, event.error)
    _fail(row, "failed", event.error)


def _timed_out(row: TaskRow, event: TaskTimedOut, at_ns: int) -> None:
    _end_attempt(row, "timed_out", at_ns, event.error)
    _fail(row, "timed_out", event.error)


def _cancelled(row: TaskRow, event: TaskCancelled, at_ns: int) -> None:
    _end_attempt(row, "cancelled", at_ns)
    _fail(row, "cancelled", Failure(kind="cancelled", message=event.reason))


def _rejected(row: TaskRow, event: TaskRejected, at_ns: int) -> None:
    _fail(row, "rejected", Failure(kind="rejected", message=event.reason))


def _requeued(row: TaskRow, event: TaskRequeued, at_ns: int) -> None:
    row.status, row.error_kind, row.error_message = "queued", "", ""


def _fail(row: TaskRow, status: str, error: Failure) -> None:
    row.status = status
    row.error_kind, row.error_message = error.kind, error.message[:MESSAGE_CHARS]


def _end_attempt(row: TaskRow, outcome: str, at_ns: int, error: Failure | None = None) -> None:
    """The attempt that runs, if one does, is over."""
    attempt = row.attempts[-1] if row.attempts else None
    if attempt is None or attempt.outcome != "running":
        return
    attempt.outcome = outcome
    if attempt.ended_at_ns is None:
        attempt.ended_at_ns = at_ns
    if error is not None:
        attempt.error = replace(error, message=error.message[:MESSAGE_CHARS])


_CHANGE: Final[dict[type[Event], Callable[[TaskRow, Any, int], None]]] = {
    TaskStarted: _started,
    TaskProgressed: _progressed,
    TaskStepCompleted: _stepped,
    TaskSuspended: _suspended,
    TaskResumed: _resumed,
    TaskInDoubt: _in_doubt,
    TaskResolved: _resolved,
    TaskRetryScheduled: _to_be_retried,
    TaskRecovered: _recovered,
    TaskSucceeded: _succeeded,
    TaskFailed: _failed,
    TaskTimedOut: _timed_out,
    TaskCancelled: _cancelled,
    TaskRejected: _rejected,
    TaskRequeued: _requeued,
}
"""What an event changes. A dict, not a `match`: each event of each task comes through here."""
