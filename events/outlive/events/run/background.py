"""What happens between a run and the background tasks that its model has asked for.

A call in the background is a tool call whose body is a task, with a stream of its own. The run
owes the task its beginning, from the commit that records `TaskRequested`; the task owes the run
its outcome. Both are messages, and so is the run's wish that the task be cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from outlive.events.background import OnComplete
from outlive.events.event import Event, Failure
from outlive.events.ids import CallId, StreamId
from outlive.events.mail import Letter, Mail, delivered, post
from outlive.events.values import Value

QUEUE: Final = "queue-task"
CANCEL: Final = "cancel-task"
"""The subjects of messages to tasks; all are about a call of the run."""

TaskEnd: TypeAlias = Literal["succeeded", "failed", "timed_out", "cancelled", "rejected"]


class IdlePolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A run goes on until it and its tasks are idle.

    The model is told of results as they come (`each`), or when there is the last one (`all`).
    """

    react: Literal["each", "all"] = "each"
    max_wait_ns: int | None = None  # each time that it waits


class OpenTask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task of which the model is to be told how it has ended."""

    task_id: str
    detached: bool = False
    on_complete: OnComplete = "append"


class TaskRequested(Event, tag="task-requested", frozen=True, kw_only=True):
    """A tool is to be called in the background: the task will begin, whatever dies meanwhile.

    In the place of `ToolCallStarted`; the task counts the attempts.
    """

    call_id: CallId
    task_id: str


class ToolCallDeferred(Event, tag="tool-call-deferred", frozen=True, kw_only=True):
    """The task is queued. The model is told so, and goes on; the result comes later."""

    call_id: CallId
    task_id: str


class BackgroundResultReceived(Event, tag="background-result-received", frozen=True, kw_only=True):
    """A task has ended. At most one per `call_id` in a stream.

    Of a deferred call the model is told what is in here. One that was still open is answered by
    `ToolCallCompleted` or `ToolCallFailed` in the same commit, and there is nothing in here.
    """

    call_id: CallId
    task_id: str
    status: TaskEnd
    result: Value = None
    error: Failure | None = None


class RunWaiting(Event, tag="run-waiting", frozen=True, kw_only=True):
    """The model has answered, and the run waits for results of its tasks. Nothing else goes on."""

    until_ns: int | None = None  # then it ends without them
    data: Value = None  # of the agent's output type, if it has one


BackgroundEvent: TypeAlias = (
    TaskRequested | ToolCallDeferred | BackgroundResultReceived | RunWaiting
)


def task_requested(mail: Mail, event: TaskRequested) -> Mail:
    """Return the mail of a run that owes a task its beginning."""
    return post(mail, Letter(to=_stream(event.task_id), subject=QUEUE, about=event.call_id))


def tasks_cancelled(mail: Mail, tasks: Iterable[tuple[CallId, OpenTask]]) -> Mail:
    """Return the mail of a run that was cancelled, and wants its tasks to be so, too.

    A beginning that was not acknowledged is taken back. It may have arrived all the same: the
    cancellation, which comes later, then ends what it has begun; or finds no task.
    """
    for call_id, task in tasks:
        if task.detached:
            continue
        to = _stream(task.task_id)
        for sequence, letter in mail.outbox.items():
            if letter.to == to:
                mail = delivered(mail, sequence)
        mail = post(mail, Letter(to=to, subject=CANCEL, about=call_id))
    return mail


def _stream(task_id: str) -> StreamId:
    return StreamId(f"task-{task_id}")  # Folding never refuses an id.
