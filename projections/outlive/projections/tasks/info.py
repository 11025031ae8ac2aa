"""What became of a background task, with all its attempts: folded from its events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from outlive.events import (
    CallId,
    Failure,
    LogReader,
    OpenEntry,
    Recorded,
    RunId,
    StreamId,
    TaskCancelled,
    TaskEvent,
    TaskFailed,
    TaskInDoubt,
    TaskNotFound,
    TaskProgressed,
    TaskQueued,
    TaskRecovered,
    TaskResumed,
    TaskRetryScheduled,
    TaskStarted,
    TaskState,
    TaskStepCompleted,
    TaskSucceeded,
    TaskSuspended,
    TaskTimedOut,
    Value,
    Version,
    task_stream,
)
from outlive.events.ids import id_of
from outlive.events.task import evolve
from outlive.projections.run_summary import STANDING_STILL

AttemptOutcome: TypeAlias = Literal[
    "open", "succeeded", "failed", "timed_out", "cut_off", "suspended", "in_doubt", "cancelled"
]
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE: Final = 1_000


class TaskAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One time that the tool's body was entered. `worker` is the process that has done it.

    `cut_off`: its process died; `ended_at` is when another one took it up then.
    """

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: AttemptOutcome = "open"
    error: Failure | None = None


class TaskProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the tool has said to be, last."""

    done: float
    total: float | None = None
    note: str = ""


class TaskQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a task asks a person; `answer_schema` is the JSON Schema of an answer, if it has one."""

    key: str
    payload: Value = None
    answer_schema: dict[str, Value] | None = None


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A background task.

    `status` is `queued` (with `retry_at` it waits to be tried again), `running`, `suspended` (it
    waits for answers to `questions`, or is `in_doubt`), `succeeded`, `failed`, `timed_out`,
    `cancelled` or `rejected`; or `blocked` or `quarantined`, and `error` tells why; or
    `submitted`: it waits for an owner. `run_id` and
    `call_id` are the run that has asked for it, if one has, and its call. `steps` counts the
    finished `ctx.step`s of all attempts. Times are in UTC.
    """

    task_id: str
    status: str
    tool: str
    arguments: dict[str, Value]
    agent_id: str
    run_id: RunId | None
    call_id: CallId | None
    priority: int
    queued_at: datetime
    ended_at: datetime | None
    attempts: tuple[TaskAttempt, ...] = ()
    retry_at: datetime | None = None
    progress: TaskProgress | None = None
    steps: int = 0
    questions: tuple[TaskQuestion, ...] = ()
    in_doubt: bool = False
    result: Value = None
    error: Failure | None = None
    version: Version

    @property
    def over(self) -> bool:
        """Whether it has come to its end. That never changes."""
        return self.ended_at is not None


class _Fold:
    """Folds a task's events, in order."""

    def __init__(self, queued: TaskQueued, at: datetime) -> None:
        self._queued = queued
        self._queued_at = at
        self._state = TaskState()
        self._attempts: dict[int, TaskAttempt] = {}
        self._questions: dict[str, TaskQuestion] = {}
        self._progress: TaskProgress | None = None
        self._steps = 0
        self._result: Value = None
        self._ended_at: datetime | None = None

    def take(self, event: TaskEvent, at: datetime) -> None:
        state = self._state = evolve(self._state, event)
        match event:
            case TaskStarted():
                started = TaskAttempt(number=event.attempt, worker=event.worker, started_at=at)
                self._attempts[event.attempt] = started
            case TaskProgressed():
                self._progress = TaskProgress(done=event.done, total=event.total, note=event.note)
            case TaskStepCompleted():
                self._steps += 1
            case TaskSuspended():
                self._questions[event.key] = TaskQuestion(
                    key=event.key, payload=event.payload, answer_schema=event.answer_schema
                )
                self._end(event.attempt, at, "suspended")
            case TaskResumed():
                self._questions.pop(event.key, None)
            case TaskInDoubt():
                self._end(event.attempt, at, "in_doubt")
            case TaskRecovered():
                self._end(state.attempt, at, "cut_off")
            case TaskRetryScheduled():
                late = event.reason.kind == "timeout"
                self._end(event.attempt, at, "timed_out" if late else "failed", event.reason)
            case TaskSucceeded():
                self._result = event.result
                self._end(event.attempt, at, "succeeded")
            case TaskFailed():
                self._end(event.attempt, at, "failed", event.error)
            case TaskTimedOut():
                self._end(event.attempt, at, "timed_out", event.error)
            case TaskCancelled():
                self._end(state.attempt, at, "cancelled")
            case _:
                pass
        if state.over and self._ended_at is None:
            self._ended_at = at

    def _end(
        self, number: int, at: datetime, outcome: AttemptOutcome, error: Failure | None = None
    ) -> None:
        attempt = self._attempts.get(number)
        if attempt is not None and attempt.outcome in ("open", "cut_off"):
            ended_at = attempt.ended_at or at
            self._attempts[number] = replace(
                attempt, ended_at=ended_at, outcome=outcome, error=error
            )

    def info(self, task_id: str, version: Version, entry: OpenEntry | None) -> TaskInfo:
        queued, state = self._queued, self._state
        status: str = state.status
        error = state.error
        if entry is not None and entry.status in STANDING_STILL:
            status, error = entry.status, Failure(kind=entry.status, message=entry.reason)
        return TaskInfo(
            task_id=task_id,
            status=status,
            tool=queued.tool,
            arguments=queued.arguments,
            agent_id=queued.agent_id,
            run_id=RunId(queued.run_id) if queued.run_id else None,
            call_id=queued.call_id if queued.run_id else None,
            priority=queued.priority,
            queued_at=self._queued_at,
            ended_at=self._ended_at,
            attempts=tuple(self._attempts.values()),
            retry_at=None if state.wake_at_ns is None else utc(state.wake_at_ns),
            progress=self._progress,
            steps=self._steps,
            questions=tuple(self._questions.values()) if not state.over else (),
            in_doubt=state.in_doubt,
            result=self._result,
            error=error,
            version=version,
        )


def fold_task(
    task_id: str, events: Iterable[Recorded], *, entry: OpenEntry | None = None
) -> TaskInfo:
    """Return what became of a task, from all its events.

    `entry` is its row of the open table, if it has one. Raises TaskNotFound: there are no events.
    """
    fold: _Fold | None = None
    version = Version(0)
    for recorded in events:
        at = utc(recorded.recorded_at_ns)
        if fold is None:
            if not isinstance(recorded.event, TaskQueued):
                break
            fold = _Fold(recorded.event, at)
        if isinstance(recorded.event, TaskEvent):
            fold.take(recorded.event, at)
        version = recorded.version
    if fold is None:
        raise TaskNotFound(task_id)
    return fold.info(task_id, version, entry)


def read_task(log: LogReader, task_id: str) -> list[Recorded]:
    """Return all events of a task. Raises TaskNotFound."""
    stream, found, after = task_stream(task_id), list[Recorded](), Version(0)
    while True:
        page = log.read(stream, after=after, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            break
        after = page[-1].version
    if not found:
        raise TaskNotFound(task_id)
    return found


def task_info(log: LogReader, task_id: str) -> TaskInfo:
    """Return what became of a task so far. Raises TaskNotFound."""
    events = read_task(log, task_id)
    return fold_task(task_id, events, entry=log.open_entry(task_stream(task_id)))


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
    return TaskInfo(
        task_id=id_of(stream),
        status="submitted",
        tool=tool,
        arguments=arguments,
        agent_id=agent_id,
        run_id=None,
        call_id=None,
        priority=priority,
        queued_at=utc(submitted_at_ns),
        ended_at=None,
        version=Version(0),
    )


def utc(at_ns: int) -> datetime:
    """Return an instant of the log as a time."""
    return _START + timedelta(microseconds=at_ns // 1000)
