"""What may be wished of a task. Everything that `decide` needs is in the command.

How an attempt goes on is told as that of any tool call: `CompleteToolCall` and the like.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from outlive.actors.mail import Acknowledge, Deliver
from outlive.actors.run.commands import (
    CallTool,
    Command,
    CompleteStep,
    CompleteToolCall,
    FailToolCall,
    IgnoreToolResult,
    InDoubt,
    ReportProgress,
    SuspendToolCall,
)
from outlive.actors.task.admission import Backpressure
from outlive.events import CallId, Failure, FireOf, MessageId, TaskLimits, Value
from outlive.events.background import OnComplete, TaskMode
from outlive.events.task.events import FIRST_CALL


class QueueTask(Command, kw_only=True, frozen=True, gc=False):
    """Call a tool in the background; the same again changes nothing.

    `verdict` and `turn` are what `Admission` has said: a task that is to run inline begins at
    once, and so does one that has been given a slot, under the number `turn`.
    """

    task_id: str = ""  # for what is said of it
    tool: str
    arguments: dict[str, Value]
    agent_id: str = ""
    run_id: str = ""
    call_id: CallId = FIRST_CALL
    thread_id: str = ""
    resource_id: str = ""
    on_complete: OnComplete = "append"
    request_context: dict[str, Value]
    priority: int = 0
    place: int = 0
    mode: TaskMode = "deferred"
    limits: TaskLimits = TaskLimits()
    verdict: Backpressure = "queue"
    turn: int = 0
    reason: str = ""  # of a rejection
    worker: str = ""
    hooked: bool = False
    fire: FireOf | None = None  # of the heartbeat that asks for it,
    message: MessageId | None = None  # and by which it does so


class StartTask(Command, kw_only=True, frozen=True, gc=False):
    """The task may start. Changes nothing if it does not wait any more.

    `turn` is the number under which it was given a slot; 0 for one that needs no slot, and has
    waited long enough to be tried again.
    """

    now_ns: int
    turn: int
    worker: str = ""


class RecoverTask(Command, kw_only=True, frozen=True, gc=False):
    """Settle the attempt that was in flight when its process died.

    Args:
        running: effects that are still being performed in this process.
        in_doubt: what the tool wants done about an attempt whose outcome is unknown.
        clean: the process before had closed in good order; the recovery does not count.
        max_recoveries: unclean recoveries allowed without anything new; then the task has
            failed. None: no bound.
    """

    epoch: int
    running: frozenset[Effect] = frozenset()
    in_doubt: InDoubt = "retry"
    clean: bool = False
    max_recoveries: int | None = 5
    worker: str = ""


class ResumeTask(Command, kw_only=True, frozen=True, gc=False):
    """A person answers what the task asks.

    Of a task in doubt, the value says what became of its attempt: `{"outcome": ...}`,
    `{"error": "..."}` or `{"retry": true}`.
    """

    task_id: str = ""  # for what is said of it
    value: Value = None
    key: str | None = None  # may be left out when there is only one question
    by: str = ""
    worker: str = ""


class CancelTask(Command, kw_only=True, frozen=True, gc=False):
    """The task is not wanted any more."""

    task_id: str = ""  # for what is said of it
    reason: str = ""
    by: str = ""


class RetryTask(Command, kw_only=True, frozen=True, gc=False):
    """A task that has failed, timed out or was cancelled is to be tried once more."""

    task_id: str = ""  # for what is said of it
    by: str = ""


class ConcludeHooks(Command, kw_only=True, frozen=True, gc=False):
    """The hooks have been called; `failures` says which of them have raised."""

    end: int = 1
    number: int
    failures: tuple[Failure, ...] = ()


class CallHooks(msgspec.Struct, frozen=True, gc=False, tag="call-hooks"):
    """An effect: those are to be called who want to know of an end of the task."""

    end: int  # counts from 1
    number: int  # more than 1 after a crash in the middle


Effect: TypeAlias = CallTool | CallHooks | Deliver
Outcome: TypeAlias = Literal["completed", "failed", "retry"]

TaskCommand: TypeAlias = (
    QueueTask
    | StartTask
    | RecoverTask
    | ResumeTask
    | CancelTask
    | RetryTask
    | CompleteStep
    | ReportProgress
    | CompleteToolCall
    | FailToolCall
    | SuspendToolCall
    | IgnoreToolResult
    | ConcludeHooks
    | Acknowledge
)
