"""What happens in a task, in the past tense.

`attempt` counts from 1: how often the tool's body was entered.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from outlive.events.background import OnComplete, TaskLimits, TaskMode
from outlive.events.event import Event, Failure
from outlive.events.fires import FireOf
from outlive.events.ids import CallId
from outlive.events.mail import MessageDelivered, MessageId
from outlive.events.values import Value

FIRST_CALL: Final = CallId("0.0")


class TaskQueued(Event, tag="task-queued", frozen=True, kw_only=True):
    """A tool is to be called in the background. Always the first event, once.

    Of two tasks of one agent with the same priority, the one with the lower `place` is the
    older. With `inline` it does not wait for a slot and holds none.
    """

    tool: str
    arguments: dict[str, Value] = {}
    agent_id: str = ""
    run_id: str = ""  # the run that has asked for it; none has asked if it is empty
    call_id: CallId = FIRST_CALL  # of that run
    thread_id: str = ""
    resource_id: str = ""
    on_complete: OnComplete = "append"  # what the thread is told of an end that no run hears of
    request_context: dict[str, Value] = {}
    priority: int = 0
    place: int = 0
    mode: TaskMode = "deferred"
    inline: bool = False
    hooked: bool = False  # somebody wants to be called when it is over
    limits: TaskLimits = TaskLimits()
    fire: FireOf | None = None  # of a heartbeat, in the place of a run
    message: MessageId | None = None  # by which the heartbeat has asked for it


class TaskRejected(Event, tag="task-rejected", frozen=True, kw_only=True):
    """There was no slot for it, and it was not to wait. The task is over."""

    reason: str = ""


class TaskStarted(Event, tag="task-started", frozen=True, kw_only=True):
    """An attempt is about to begin. Durable before the tool's body is entered."""

    attempt: int = 1
    worker: str = ""  # the process
    turn: int = 0  # the number of the start, over all tasks; 0 for one that needs no slot


class TaskProgressed(Event, tag="task-progressed", frozen=True, kw_only=True):
    """The tool tells how far it is. Changes no state."""

    attempt: int = 1
    done: float
    total: float | None = None
    note: str = ""


class TaskStepCompleted(Event, tag="task-step-completed", frozen=True, kw_only=True):
    """A `ctx.step` of the tool succeeded; later attempts are given its value."""

    attempt: int = 1
    key: str
    value: Value = None
    elapsed_ms: int = 0


class TaskSuspended(Event, tag="task-suspended", frozen=True, kw_only=True):
    """The tool asks a person. Its attempt is over, and its slot is free."""

    attempt: int = 1
    key: str
    payload: Value = None  # what the person is shown
    answer_schema: dict[str, Value] | None = None  # JSON Schema of an answer; None: anything


class TaskResumed(Event, tag="task-resumed", frozen=True, kw_only=True):
    """A person has answered. With the last answer the task is queued again, at its old place."""

    key: str
    value: Value = None
    by: str = ""


class TaskInDoubt(Event, tag="task-in-doubt", frozen=True, kw_only=True):
    """An attempt ended and nobody knows what it has done. A person must say."""

    attempt: int = 1
    cause: Literal["crash", "timeout"] = "crash"


class TaskResolved(Event, tag="task-resolved", frozen=True, kw_only=True):
    """A person has said what became of an attempt in doubt, or that it is to be made again."""

    attempt: int = 1
    outcome: Literal["completed", "failed", "retry"]
    note: str = ""
    by: str = ""


class TaskRetryScheduled(Event, tag="task-retry-scheduled", frozen=True, kw_only=True):
    """An attempt failed. The task is queued again once it is `at_ns`."""

    attempt: int = 1
    at_ns: int
    reason: Failure
    elapsed_ms: int = 0


class TaskRecovered(Event, tag="task-recovered", frozen=True, kw_only=True):
    """The process died in an attempt. What becomes of it is in the same commit."""

    epoch: int  # of the owner that goes on with it
    attempt: int = 1  # recoveries after an unclean end, without anything new between them
    clean: bool = False  # the owner before had closed in good order
    suspected: bool = False  # of ending its process: it is queued again, and has its turn alone


class TaskSucceeded(Event, tag="task-succeeded", frozen=True, kw_only=True):
    """The tool has answered. The task is over."""

    attempt: int = 1
    result: Value = None
    elapsed_ms: int = 0


class TaskFailed(Event, tag="task-failed", frozen=True, kw_only=True):
    """The last attempt failed. The task is over.

    The kinds of `error`: those of `ToolCallFailed`.
    """

    attempt: int = 1
    error: Failure
    elapsed_ms: int = 0


class TaskTimedOut(Event, tag="task-timed-out", frozen=True, kw_only=True):
    """The last attempt came to its deadline, or told of no progress for too long. It is over."""

    attempt: int = 1
    error: Failure
    elapsed_ms: int = 0


class TaskCancelled(Event, tag="task-cancelled", frozen=True, kw_only=True):
    """The task is not wanted any more, and over. What comes in later is not applied."""

    reason: str = ""
    by: str = ""


class TaskRequeued(Event, tag="task-requeued", frozen=True, kw_only=True):
    """Somebody wants a task that was over to be tried once more. It has all its retries again.

    How it ends then is told to the hooks and to its thread, as `on_complete` says; not to its
    run, which has heard of the first end.
    """

    by: str = ""


class TaskHooksCalled(Event, tag="task-hooks-called", frozen=True, kw_only=True):
    """All who wanted to know of an end of the task were told. `failures`: who has raised."""

    end: int = 1  # which one, if it has ended several times
    failures: tuple[Failure, ...] = ()


class TaskResultIgnored(Event, tag="task-result-ignored", frozen=True, kw_only=True):
    """An attempt that had been given up came to an end after all. Recorded, not applied."""

    attempt: int = 1
    outcome: Literal["completed", "failed"] = "completed"


TaskEvent: TypeAlias = (
    TaskQueued
    | TaskRejected
    | TaskStarted
    | TaskProgressed
    | TaskStepCompleted
    | TaskSuspended
    | TaskResumed
    | TaskInDoubt
    | TaskResolved
    | TaskRetryScheduled
    | TaskRecovered
    | TaskSucceeded
    | TaskFailed
    | TaskTimedOut
    | TaskCancelled
    | TaskResultIgnored
    | TaskHooksCalled
    | TaskRequeued
    | MessageDelivered
)
