"""The state that a run's events fold into: positions and counters, never messages."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from outlive.events.background import BackgroundCall
from outlive.events.event import ChildRun, Failure, Usage
from outlive.events.fires import (
    FIRE_ENDED,
    FIRE_RESUMED,
    FIRE_SUSPENDED,
    FireOf,
    tell_heartbeat,
)
from outlive.events.ids import CallId
from outlive.events.mail import NO_MAIL, Mail, MessageDelivered, MessageId, delivered, hear
from outlive.events.run.background import (
    BackgroundEvent,
    BackgroundResultReceived,
    IdlePolicy,
    OpenTask,
    RunWaiting,
    TaskRequested,
    ToolCallDeferred,
    task_requested,
    tasks_cancelled,
)
from outlive.events.run.children import (
    ChildRunEnded,
    ChildRunStarted,
    ParentCall,
    child_ended,
    child_started,
    children_cancelled,
)
from outlive.events.run.events import (
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    OutputRejected,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunStarted,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
)
from outlive.events.run.people import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    PeopleEvent,
    RunCancelled,
    RunResumed,
    RunSuspended,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallSuspended,
)
from outlive.events.run.requested import request_digest
from outlive.events.run.stopping import (
    StopCondition,
    StopFunction,
    after_answer,
    after_tool,
)
from outlive.events.run.thread import (
    RunSignalled,
    ThreadPlace,
    result_came_late,
    run_on_thread_ended,
)
from outlive.events.values import Value, canonical, digest

RunStatus: TypeAlias = Literal["none", "running", "suspended", "completed", "failed", "cancelled"]
CallStatus: TypeAlias = Literal[
    "waiting", "started", "retrying", "asked", "suspended", "in_doubt", "child", "task"
]
FOR_A_PERSON: Final = frozenset({"asked", "suspended", "in_doubt"})
"""The statuses of calls that wait for a person."""
FOR_MESSAGES: Final = frozenset({"child", "task"})
"""The statuses of calls that wait for another entity."""
SIGNALS_KEPT: Final = 100
"""So many signals of a run are known again when they are repeated."""


class ModelAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The model call in flight. Its step is the state's."""

    attempt: int = 1
    messages: int = 0


class ModelWait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A model call that has failed and is made again at `wake_at_ns`."""

    attempt: int  # the one that failed
    messages: int = 0
    wake_at_ns: int


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An open tool call. `attempt` is the last one started, 0 when none was.

    `failures` counts attempts that failed and were retried; those that a crash cut off are
    not among them.
    """

    name: str
    status: CallStatus = "waiting"
    attempt: int = 0
    failures: int = 0
    wake_at_ns: int | None = None  # of the next try, or when nobody has agreed until then
    asks: dict[str, dict[str, Value] | None] = {}  # keys that wait, and schemas of their answers
    digest: str = ""  # of the arguments that wait for consent
    child: ChildRun | None = None  # the run that answers it; "child": it has been started
    task: BackgroundCall | None = None  # that answers it; "task": it has been asked for


class RunState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run between two events.

    `step` counts completed model calls. `calls` holds the open calls of the last of them, in
    the order in which the model asked; a call that is over is in it no more, and a call of an
    earlier step never comes back. Its dict is never changed in place.
    """

    status: RunStatus = "none"
    agent_id: str = ""
    request: str = ""  # digest of what the run was started with
    max_steps: int = 20
    tool_concurrency: int = 10
    step: int = 0
    messages: int = 0
    model: str = ""
    model_attempt: ModelAttempt | None = None
    model_wait: ModelWait | None = None  # in the place of an attempt in flight
    model_failures: int = 0  # of this model in this step, that were or will be retried
    calls: dict[CallId, Call] = {}
    usage: Usage = Usage()  # with that of its child runs
    model_calls: int = 0  # attempts included
    recoveries: int = 0  # unclean ones, since something new was recorded
    finish_reason: str = ""
    error: Failure | None = None
    answers: dict[str, str] = {}  # by suspension: the digest of what a person has said
    stop_when: tuple[StopCondition, ...] = ()
    stop: str = ""  # the condition that is met: the run ends with its step
    repairs: int = 0  # answers that were not of the output type, and were to be given anew
    rejected: Failure | None = None  # what is wrong with the last answer
    until_idle: IdlePolicy | None = None
    rests: bool = False  # the model has answered, and results of tasks are waited for,
    rests_until_ns: int | None = None  # so long
    untold: int = 0  # results that have come since the model was called last
    wakes: tuple[CallId, ...] = ()  # those of them for which its thread is to be woken
    tasks: dict[CallId, OpenTask] = {}  # deferred, and not over yet as far as the run knows
    checks: int = 0  # recoveries while registered functions were asked whether to stop
    parent: ParentCall | None = None
    thread: ThreadPlace | None = None
    unread: int = 0  # signals that have come since the model was called last
    signals: tuple[str, ...] = ()  # the last ones, to be known when they are repeated
    fire: FireOf | None = None  # of a heartbeat, which is told how it goes
    cut_off: dict[CallId, int] = {}  # attempts that went on when it was cancelled: they may end yet
    mail: Mail = NO_MAIL

    @property
    def checking(self) -> bool:
        """Whether a step is over, and registered functions are to say if the run goes on."""
        return (
            self.status == "running"
            and not self.calls
            and self.model_attempt is None
            and self.model_wait is None
            and not self.rests
            and any(isinstance(condition, StopFunction) for condition in self.stop_when)
        )

    @property
    def waiting(self) -> bool:
        """Whether nothing goes on but child runs and tasks; a person may be waited for besides."""
        others = False
        for call in self.calls.values():
            if call.status in FOR_MESSAGES:
                others = True
            elif call.status not in FOR_A_PERSON and call.status != "waiting":
                return self.rests  # One that waits for its turn waits for those.
        return self.rests or (others and self.status == "running")

    @property
    def over(self) -> bool:
        """Whether the run has come to its end."""
        return self.status in ("completed", "failed", "cancelled")


def evolve(state: RunState, event: RunEvent) -> RunState:  # one arm an event
    """Return the state after `event`. Pure and total; raises nothing."""
    match event:
        case ToolCallStarted():
            before = state.calls.get(event.call_id)
            call = Call(
                name=event.name,
                status="started",
                attempt=event.attempt,
                failures=before.failures if before is not None else 0,
            )
            return replace(state, calls={**state.calls, event.call_id: call})
        case ToolCallCompleted():
            return _without_call(state, event.call_id, succeeded=True)
        case ModelCallStarted():
            return replace(
                state,
                model=event.model,
                model_attempt=ModelAttempt(attempt=event.attempt, messages=event.messages),
                model_wait=None,
                model_calls=state.model_calls + 1,
                untold=0 if event.attempt == 1 else state.untold,
                wakes=() if event.attempt == 1 else state.wakes,
                unread=0 if event.attempt == 1 else state.unread,
            )
        case ModelCallCompleted():
            return replace(
                state,
                step=state.step + 1,
                messages=state.messages + 1,
                model_attempt=None,
                model_failures=0,
                calls={
                    call.call_id: Call(name=call.name, child=call.child, task=call.task)
                    for call in event.tool_calls
                },
                usage=state.usage + event.usage,
                recoveries=0,
                finish_reason=event.finish_reason,
                rejected=None,
                stop=after_answer(state.stop_when, state.step + 1, event.text)
                if state.stop_when
                else "",
            )
        case ModelDelta() | ToolProgressed():
            return state
        case ToolResultIgnored():
            if state.cut_off.get(event.call_id) != event.attempt:
                return state
            cut_off = {id: attempt for id, attempt in state.cut_off.items() if id != event.call_id}
            return replace(state, cut_off=cut_off)
        case ToolStepCompleted():
            return replace(state, recoveries=0) if state.recoveries else state
        case RunStarted():
            return replace(
                state,
                status="running",
                agent_id=event.agent_id,
                request=request_digest(event),
                max_steps=event.max_steps,
                tool_concurrency=event.tool_concurrency,
                messages=1,
                stop_when=event.stop_when,
                until_idle=event.until_idle,
                parent=event.parent,
                thread=event.thread,
                fire=event.fire,
                mail=hear(state.mail, event.message),
            )
        case OutputRejected():
            return replace(
                state,
                messages=state.messages + 1,
                repairs=state.repairs + 1,
                rejected=event.error,
            )
        case RunRecovered():
            return replace(
                state,
                model=event.model or state.model,
                recoveries=state.recoveries if event.clean else event.attempt,
                checks=state.checks + state.checking,
            )
        case ModelAttemptAbandoned():
            return replace(state, model_attempt=None)
        case ModelCallFailed():
            return _without_answer(state, event)
        case ToolCallFailed():
            if event.retry_at_ns is None:
                return _without_call(state, event.call_id)
            failed = state.calls.get(event.call_id, Call(name=""))
            waiting = Call(
                name=failed.name,
                status="retrying",
                attempt=event.attempt,
                failures=failed.failures + 1,
                wake_at_ns=event.retry_at_ns,
            )
            return replace(state, calls={**state.calls, event.call_id: waiting}, recoveries=0)
        case MessageDelivered():
            return replace(state, mail=delivered(state.mail, event.sequence))
        case RunCompleted():
            return replace(
                state,
                status="completed",
                finish_reason=event.finish_reason,
                calls={},
                rests=False,
                rests_until_ns=None,
                mail=_last_mail(state),
            )
        case RunFailed():
            return replace(
                state,
                status="failed",
                error=event.error,
                calls={},
                model_attempt=None,
                rests=False,
                rests_until_ns=None,
                mail=_last_mail(state),
            )
        case ChildRunStarted():
            child = ChildRun(run_id=event.run_id, agent_id=event.agent_id)
            call = replace(_call(state, event.call_id), status="child", attempt=1, child=child)
            started = _with_call(state, event.call_id, call)
            return replace(started, mail=child_started(state.mail, event))
        case ChildRunEnded():
            return replace(
                state,
                usage=state.usage + event.usage,
                mail=hear(state.mail, event.message, last=True),
            )
        case RunSignalled():
            return replace(
                state,
                messages=state.messages + 1,
                unread=state.unread + 1,
                signals=(*state.signals, event.signal_id)[-SIGNALS_KEPT:],
                rests=False,
                rests_until_ns=None,
                mail=hear(state.mail, event.message),
            )
        case TaskRequested() | ToolCallDeferred() | BackgroundResultReceived() | RunWaiting():
            return _evolve_background(state, event)
        case _:
            return _evolve_people(state, event)


def _evolve_background(state: RunState, event: BackgroundEvent) -> RunState:
    """Return the state after an event about background tasks."""
    match event:
        case TaskRequested():
            call = replace(_call(state, event.call_id), status="task", attempt=1)
            asked = _with_call(state, event.call_id, call)
            return replace(asked, mail=task_requested(state.mail, event))
        case ToolCallDeferred():
            call = _call(state, event.call_id)
            asked_for = call.task or BackgroundCall(task_id=event.task_id)
            task = OpenTask(
                task_id=event.task_id,
                detached=asked_for.detached,
                on_complete=asked_for.on_complete,
            )
            told = _without_call(state, event.call_id)
            return replace(told, tasks={**state.tasks, event.call_id: task})
        case BackgroundResultReceived():
            received = state.tasks.get(event.call_id)
            if received is None:
                return state  # The call is answered in the same commit.
            mail, wakes = state.mail, state.wakes
            if state.over:
                mail = result_came_late(mail, state.thread, event.call_id, received.on_complete)
            elif received.on_complete == "wake":
                wakes = (*wakes, event.call_id)
            tasks = {id: task for id, task in state.tasks.items() if id != event.call_id}
            all_of_them = state.until_idle is not None and state.until_idle.react == "all"
            rests = state.rests and all_of_them and bool(tasks)
            return replace(
                state,
                tasks=tasks,
                messages=state.messages + 1,
                untold=state.untold + 1,
                wakes=wakes,
                rests=rests,
                rests_until_ns=state.rests_until_ns if rests else None,
                mail=mail,
            )
        case RunWaiting():
            return replace(state, rests=True, rests_until_ns=event.until_ns)
        case _:
            assert_never(event)


def _evolve_people(state: RunState, event: PeopleEvent) -> RunState:
    """Return the state after an event about people. They are rare beside the others."""
    match event:
        case ToolCallSuspended():
            call = _call(state, event.call_id)
            asks = {**call.asks, event.key: event.answer_schema}
            return _with_call(state, event.call_id, replace(call, status="suspended", asks=asks))
        case RunResumed():
            call = _call(state, event.call_id)
            asks = {key: schema for key, schema in call.asks.items() if key != event.key}
            call = replace(call, status="suspended" if asks else "waiting", asks=asks)
            said = digest(canonical(event.value))
            return _said(
                _with_call(state, event.call_id, call), suspension(event.call_id, event.key), said
            )
        case ApprovalRequested():
            call = replace(
                _call(state, event.call_id),  # Consent does not change how it is called then.
                name=event.name,
                status="asked",
                wake_at_ns=event.expires_at_ns,
                digest=event.digest,
            )
            return _with_call(state, event.call_id, call)
        case ApprovalGranted():
            call = replace(_call(state, event.call_id), status="waiting", wake_at_ns=None)
            return _said(
                _with_call(state, event.call_id, call), event.call_id, f"granted {event.digest}"
            )
        case ApprovalDenied():
            return _said(state, event.call_id, "denied")
        case ToolCallInDoubt():
            call = replace(_call(state, event.call_id), status="in_doubt", wake_at_ns=None)
            return _with_call(state, event.call_id, call)
        case ToolCallResolved():
            name = f"{event.call_id}?{event.attempt}"
            call = replace(_call(state, event.call_id), status="waiting")
            return _said(_with_call(state, event.call_id, call), name, event.outcome)
        case RunSuspended():
            mail = tell_heartbeat(state.mail, state.fire, FIRE_SUSPENDED)
            return replace(state, status="suspended", mail=mail)
        case RunCancelled():
            error = Failure(kind="cancelled", message=event.reason)
            return replace(
                state,
                status="cancelled",
                error=error,
                calls={},
                cut_off={
                    call_id: call.attempt
                    for call_id, call in state.calls.items()
                    if call.status == "started"
                },
                model_attempt=None,
                model_wait=None,
                rests=False,
                rests_until_ns=None,
                mail=tasks_cancelled(_last_mail(state, event.message), _open_tasks(state)),
            )
        case _:
            assert_never(event)


def suspension(call_id: CallId, key: str) -> str:
    """Return the name of what a tool asks under a key."""
    return f"{call_id}/{key}"


def _last_mail(state: RunState, message: MessageId | None = None) -> Mail:
    """Return the mail of a run that is over: its children are cancelled, others are told.

    Its thread is told, also of results that are to wake it and no model has seen; and its parent,
    unless it ends by a `message` of that, which does not want to know any more. A heartbeat
    always does.
    """
    children = (
        (call_id, call.child)
        for call_id, call in state.calls.items()
        if call.status == "child" and call.child is not None
    )
    mail = children_cancelled(state.mail, children)
    mail = run_on_thread_ended(mail, state.thread)
    for call_id in state.wakes:
        mail = result_came_late(mail, state.thread, call_id, "wake")
    mail = tell_heartbeat(mail, state.fire, FIRE_ENDED)
    return mail if state.parent is None or message is not None else child_ended(mail, state.parent)


def _open_tasks(state: RunState) -> list[tuple[CallId, OpenTask]]:
    """Return the tasks that may still go on: deferred, or waited for."""
    waited_for = [
        (call_id, OpenTask(task_id=call.task.task_id, detached=call.task.detached))
        for call_id, call in state.calls.items()
        if call.status == "task" and call.task is not None
    ]
    return [*state.tasks.items(), *waited_for]


def _said(state: RunState, name: str, said: str) -> RunState:
    """A person has said something: the run goes on, or is suspended anew."""
    mail = state.mail
    if state.status == "suspended":
        mail = tell_heartbeat(mail, state.fire, FIRE_RESUMED)
    answers = {**state.answers, name: said}
    return replace(state, status="running", answers=answers, recoveries=0, mail=mail)


def _call(state: RunState, call_id: CallId) -> Call:
    return state.calls.get(call_id, Call(name=""))


def _with_call(state: RunState, call_id: CallId, call: Call) -> RunState:
    return replace(state, calls={**state.calls, call_id: call})


def _without_answer(state: RunState, event: ModelCallFailed) -> RunState:
    if event.retry_at_ns is None:
        return replace(state, model_attempt=None, model_failures=0, recoveries=0)
    failed = state.model_attempt or ModelAttempt(attempt=event.attempt)
    wait = ModelWait(attempt=event.attempt, messages=failed.messages, wake_at_ns=event.retry_at_ns)
    return replace(
        state,
        model_attempt=None,
        model_wait=wait,
        model_failures=state.model_failures + 1,
        recoveries=0,
    )


def _without_call(state: RunState, call_id: CallId, *, succeeded: bool = False) -> RunState:
    """The call is over, and its result one more message."""
    stop = state.stop
    if succeeded and state.stop_when and not stop and call_id in state.calls:
        stop = after_tool(state.stop_when, state.calls[call_id].name)
    calls = {other: call for other, call in state.calls.items() if other != call_id}
    return replace(state, calls=calls, messages=state.messages + 1, recoveries=0, stop=stop)
