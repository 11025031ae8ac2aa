"""The state that a task's events fold into: positions and counters, never a result."""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from outlive.events.background import TaskLimits, TaskMode
from outlive.events.event import Failure
from outlive.events.fires import (
    FIRE_ENDED,
    FIRE_RESUMED,
    FIRE_SUSPENDED,
    FireOf,
    tell_heartbeat,
)
from outlive.events.ids import CallId, StreamId
from outlive.events.mail import NO_MAIL, Letter, Mail, MessageDelivered, delivered, hear, post
from outlive.events.task.events import (
    FIRST_CALL,
    TaskCancelled,
    TaskEvent,
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
from outlive.events.values import Value, canonical, digest

TaskStatus: TypeAlias = Literal[
    "none",
    "queued",
    "running",
    "suspended",
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "rejected",
]
OVER: Final = frozenset({"succeeded", "failed", "timed_out", "cancelled", "rejected"})
"""The statuses that change no more, unless somebody wants the task to be tried once more."""
SUSPECTED_FROM: Final = 2
"""After so many unclean ends without anything new in between, a task may be what causes them."""
OUTCOME: Final = "task-outcome"
"""The subject of the message by which a task tells its run, or thread, how it has ended.

It is about the number of that end, if it is not the first one.
"""


class TaskState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task between two events.

    While it is queued with `wake_at_ns`, it waits to be tried again. A task that is suspended
    waits for answers to what is in `asks`, or is `in_doubt`.
    """

    status: TaskStatus = "none"
    request: str = ""  # digest of what it was queued with
    tool: str = ""
    agent_id: str = ""
    run_id: str = ""
    call_id: CallId = FIRST_CALL
    thread_id: str = ""  # that hears of each end of which no run does
    mode: TaskMode = "deferred"
    inline: bool = False
    hooked: bool = False
    ends: int = 0  # how often it has come to an end: more than once if it was tried again
    hooks: dict[int, int] = {}  # by end: how often those are being called who want to know
    priority: int = 0
    place: int = 0
    limits: TaskLimits = TaskLimits()
    attempt: int = 0  # the last one started
    turn: int = 0  # of the last start
    failures: int = 0  # attempts that were or will be retried; not those that a crash cut off
    recoveries: int = 0  # unclean ones, since something new was recorded
    wake_at_ns: int | None = None
    asks: dict[str, dict[str, Value] | None] = {}  # by key: the schema of an answer
    in_doubt: bool = False
    answers: dict[str, str] = {}  # by key: the digest of what a person has said
    resolved: dict[int, str] = {}  # by attempt: what a person has said became of it
    cut_off: int = 0  # the attempt that went on when it was cancelled: it may end yet
    error: Failure | None = None
    fire: FireOf | None = None  # of a heartbeat that has not been told its end yet
    mail: Mail = NO_MAIL

    @property
    def over(self) -> bool:
        """Whether the task has come to its end."""
        return self.status in OVER

    @property
    def suspected(self) -> bool:
        """Whether it may be what ends its process each time. No two such tasks run together."""
        return self.recoveries >= SUSPECTED_FROM and not self.inline


class _Request(Protocol):
    @property
    def tool(self) -> str: ...
    @property
    def arguments(self) -> dict[str, Value]: ...
    @property
    def agent_id(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def call_id(self) -> CallId: ...
    @property
    def thread_id(self) -> str: ...


def request_digest(request: _Request) -> str:
    """Return the digest that tells a repeated request from another one under the same id."""
    who = (request.tool, request.agent_id, request.run_id, request.call_id)
    known = [*(part.encode() for part in who), canonical(request.arguments)]
    if request.thread_id and not request.run_id:
        known.append(request.thread_id.encode())
    return digest(*known)


def evolve(state: TaskState, event: TaskEvent) -> TaskState:  # one arm an event
    """Return the state after `event`. Pure and total; raises nothing."""
    match event:
        case TaskQueued():
            return replace(
                state,
                status="queued",
                request=request_digest(event),
                tool=event.tool,
                agent_id=event.agent_id,
                run_id=event.run_id,
                call_id=event.call_id,
                thread_id="" if event.on_complete == "ignore" else event.thread_id,
                mode=event.mode,
                inline=event.inline,
                hooked=event.hooked,
                priority=event.priority,
                place=event.place,
                limits=event.limits,
                fire=event.fire,
                mail=hear(state.mail, event.message),
            )
        case TaskStarted():
            return replace(
                state,
                status="running",
                attempt=event.attempt,
                turn=event.turn,
                wake_at_ns=None,
            )
        case TaskProgressed():
            return state
        case TaskResultIgnored():
            return replace(state, cut_off=0) if event.attempt == state.cut_off else state
        case TaskStepCompleted():
            return replace(state, recoveries=0) if state.recoveries else state
        case TaskSuspended():
            asks = {**state.asks, event.key: event.answer_schema}
            return replace(_waits(state), status="suspended", asks=asks, recoveries=0)
        case TaskResumed():
            asks = {key: schema for key, schema in state.asks.items() if key != event.key}
            return replace(
                state if asks else _goes_on(state),
                status="suspended" if asks else "queued",
                asks=asks,
                answers={**state.answers, event.key: digest(canonical(event.value))},
                recoveries=0,
            )
        case TaskInDoubt():
            return replace(_waits(state), status="suspended", in_doubt=True)
        case TaskResolved():
            return replace(
                _goes_on(state),
                status="queued",
                in_doubt=False,
                resolved={**state.resolved, event.attempt: event.outcome},
                recoveries=0,
            )
        case TaskRetryScheduled():
            return replace(
                state,
                status="queued",
                wake_at_ns=event.at_ns,
                failures=state.failures + 1,
                recoveries=0,
            )
        case TaskRecovered():
            return replace(
                state,
                status="queued" if event.suspected else state.status,
                recoveries=state.recoveries if event.clean else event.attempt,
                hooks={end: number + 1 for end, number in state.hooks.items()},
            )
        case TaskRequeued():
            return replace(
                state, status="queued", error=None, failures=0, recoveries=0, inline=False
            )
        case TaskHooksCalled():
            hooks = {end: number for end, number in state.hooks.items() if end != event.end}
            return replace(state, hooks=hooks)
        case TaskSucceeded():
            return _ended(state, "succeeded")
        case TaskFailed():
            return _ended(state, "failed", event.error)
        case TaskTimedOut():
            return _ended(state, "timed_out", event.error)
        case TaskCancelled():
            error = Failure(kind="cancelled", message=event.reason)
            cut_off = state.attempt if state.status == "running" else 0
            return replace(_ended(state, "cancelled", error), cut_off=cut_off)
        case TaskRejected():
            error = Failure(kind="rejected", message=event.reason)
            return _ended(state, "rejected", error)
        case MessageDelivered():
            return replace(state, mail=delivered(state.mail, event.sequence))
        case _:
            assert_never(event)


def _ended(state: TaskState, status: TaskStatus, error: Failure | None = None) -> TaskState:
    """The task is over: who has asked for it is to be told, or the thread."""
    mail = tell_heartbeat(state.mail, state.fire, FIRE_ENDED)
    ends = state.ends + 1
    to = _who_hears(state, ends)
    if to:
        mail = post(mail, Letter(to=to, subject=OUTCOME, about=str(ends) if ends > 1 else ""))
    return replace(
        state,
        status=status,
        ends=ends,
        error=error,
        wake_at_ns=None,
        asks={},
        in_doubt=False,
        recoveries=0,
        hooks={**state.hooks, ends: 1} if state.hooked else {},
        fire=None,
        mail=mail,
    )


def _who_hears(state: TaskState, end: int) -> StreamId | None:
    """Return who is told of an end: of the first one the run that has asked for the task.

    What comes of another try is told to the thread: the run has gone on from the first end.
    """
    if state.run_id and end == 1:
        return StreamId(f"run-{state.run_id}")
    return StreamId(f"thread-{state.thread_id}") if state.thread_id else None


def _waits(state: TaskState) -> TaskState:
    """The task waits for a person, unless it did so before."""
    if state.status == "suspended":
        return state
    return replace(state, mail=tell_heartbeat(state.mail, state.fire, FIRE_SUSPENDED))


def _goes_on(state: TaskState) -> TaskState:
    return replace(state, mail=tell_heartbeat(state.mail, state.fire, FIRE_RESUMED))
