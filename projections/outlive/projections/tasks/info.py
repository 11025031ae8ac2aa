"""What is told of a task: who has asked for it, how far it is, what its attempts came to."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias, cast

import msgspec

from outlive.events import (
    CallId,
    Failure,
    OpenEntry,
    Position,
    RunId,
    StreamId,
    TaskUnsuccessful,
    Value,
    Version,
)
from outlive.events.background import TaskMode
from outlive.events.ids import id_of
from outlive.projections.lists import utc
from outlive.projections.run_summary import STANDING_STILL
from outlive.projections.tasks.view import MESSAGE_CHARS, AttemptRow, TaskRow

OPEN_STATUSES: Final = ("queued", "running", "suspended", *STANDING_STILL)
TASK_STATUSES: Final = (
    *OPEN_STATUSES,
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "rejected",
)
"""All statuses that a task in a list may have."""

AttemptOutcome: TypeAlias = Literal[
    "running",
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "suspended",
    "in_doubt",
    "cut_off",
]
"""`cut_off`: the process ended while it ran. `suspended`: it asked a person.
`in_doubt`: nobody knows what it has done, and a person must say."""


class TaskAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt at the tool's call.

    `ended_at` of one that was cut off, or in doubt after a crash, is the last that the log heard
    of its process. `worker` is the process that made it. Times are in UTC.
    """

    number: int
    outcome: AttemptOutcome
    started_at: datetime
    ended_at: datetime | None = None
    error: Failure | None = None
    worker: str = ""


class TaskProgress(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the tool has told last of how far it is: `done`, of `total` if that is known."""

    attempt: int
    done: float
    total: float | None
    note: str
    at: datetime


class TaskQuestion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a task asks a person; `answer_schema` is the JSON Schema of an answer, if it has one."""

    key: str
    payload: Value = None
    answer_schema: dict[str, Value] | None = None


class TaskSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A background task in a list.

    `status` is `queued` (with `retry_at` it waits to be tried again), `running`, `suspended` (it
    waits for a person: for answers to what it `asks`, or to say what became of an attempt,
    `in_doubt`), `succeeded`, `failed`, `timed_out`, `cancelled` or `rejected`; or `blocked` or
    `quarantined`, and `error` tells why; or `submitted`: it waits for an owner (`get` tells of
    these, `list` does not). `run_id` and `call_id` are the run that has asked for it, if one has,
    and its call. `attempt` is the number of the last attempt, and `attempts` holds the last 100
    of them. `steps` counts the finished `ctx.step`s of all attempts, `recoveries` how often a
    process took the task up. `version` and `position` are those of the last event, and
    `updated_at` is its time. Times are in UTC.
    """

    task_id: str
    status: str
    tool: str
    agent_id: str
    run_id: RunId | None = None
    call_id: CallId | None = None
    thread_id: str | None = None
    resource_id: str | None = None
    mode: TaskMode = "deferred"
    priority: int
    queued_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    retry_at: datetime | None = None
    attempt: int = 0
    attempts: tuple[TaskAttempt, ...] = ()
    progress: TaskProgress | None = None
    steps: int = 0
    recoveries: int = 0
    asks: tuple[str, ...] = ()
    in_doubt: bool = False
    error: Failure | None = None
    version: Version
    position: Position

    @property
    def over(self) -> bool:
        """Whether it has come to its end. Only `retry` has it go on."""
        return self.ended_at is not None


class TaskInfo(TaskSummary, frozen=True, kw_only=True):
    """All that is known of a background task.

    `questions` are those that a person has to answer, and `result` is what the tool has returned.
    """

    arguments: dict[str, Value]
    questions: tuple[TaskQuestion, ...] = ()
    result: Value = None

    def unwrap(self) -> Value:
        """Return the result of a task that has succeeded.

        Raises:
            TaskUnsuccessful: it has not; the message says why.
        """
        if self.status != "succeeded":
            error = self.error or Failure(kind=self.status)
            reason = f"{error.kind}: {error.message}".rstrip(": ")
            raise TaskUnsuccessful(self.task_id, self.status, reason)
        return self.result


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some tasks; `cursor` leads to the next page, None when there is none."""

    tasks: tuple[TaskSummary, ...]
    cursor: str | None = None


def task_summary(task_id: str, row: TaskRow, entry: OpenEntry | None) -> TaskSummary:
    """Put together what the view and the open table know of a task."""
    status, error = row.status, None
    if row.error_kind:
        error = Failure(kind=row.error_kind, message=row.error_message)
    if row.ended_at_ns is None and entry is not None and entry.status in STANDING_STILL:
        status = entry.status
        error = Failure(kind=status, message=entry.reason[:MESSAGE_CHARS])
    progress = row.progress
    return TaskSummary(
        task_id=task_id,
        tool=row.tool,
        agent_id=row.agent_id,
        run_id=RunId(row.run_id) if row.run_id else None,
        call_id=CallId(row.call_id) if row.call_id else None,
        thread_id=row.thread_id or None,
        resource_id=row.resource_id or None,
        mode=cast("TaskMode", row.mode),
        priority=row.priority,
        status=status,
        queued_at=utc(row.begun_at_ns),
        updated_at=utc(row.updated_at_ns),
        ended_at=_utc(row.ended_at_ns),
        retry_at=_utc(row.retry_at_ns),
        attempt=row.attempt,
        attempts=tuple(map(_attempt, row.attempts)),
        progress=None
        if progress is None
        else TaskProgress(
            attempt=progress.attempt,
            done=progress.done,
            total=progress.total,
            note=progress.note,
            at=utc(progress.at_ns),
        ),
        steps=row.steps,
        recoveries=row.recoveries,
        asks=tuple(row.asks),
        in_doubt=row.in_doubt,
        error=error,
        version=Version(row.version),
        position=Position(row.position),
    )


def submitted_task(
    stream: StreamId,
    *,
    tool: str,
    arguments: dict[str, Value],
    agent_id: str,
    priority: int,
    submitted_at_ns: int,
) -> TaskInfo:
    """Return what is known of a task that no owner has begun."""
    at = utc(submitted_at_ns)
    return TaskInfo(
        task_id=id_of(stream),
        status="submitted",
        tool=tool,
        arguments=arguments,
        agent_id=agent_id,
        priority=priority,
        queued_at=at,
        updated_at=at,
        version=Version(0),
        position=Position(0),
    )


def _attempt(row: AttemptRow) -> TaskAttempt:
    return TaskAttempt(
        number=row.number,
        outcome=cast("AttemptOutcome", row.outcome),
        started_at=utc(row.started_at_ns),
        ended_at=_utc(row.ended_at_ns),
        error=row.error,
        worker=row.worker,
    )


def _utc(at_ns: int | None) -> datetime | None:
    return None if at_ns is None else utc(at_ns)
