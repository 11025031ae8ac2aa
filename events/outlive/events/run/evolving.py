"""What events make of a run's state."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from outlive.events.event import ChildRun
from outlive.events.mail import MessageDelivered, delivered, hear
from outlive.events.run.background import (
    BackgroundResultReceived,
    RunWaiting,
    TaskRequested,
    ToolCallDeferred,
)
from outlive.events.run.calls import call_of, with_call, without_call
from outlive.events.run.children import ChildRunEnded, ChildRunStarted, child_started
from outlive.events.run.ending import last_mail
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
from outlive.events.run.evolving_background import evolve_background
from outlive.events.run.evolving_people import evolve_people
from outlive.events.run.requested import request_digest
from outlive.events.run.state import SIGNALS_KEPT, Call, ModelAttempt, ModelWait, RunState
from outlive.events.run.stopping import after_answer
from outlive.events.run.thread import RunSignalled

_NOTHING: Final = (RunState(), None, RunState())
_ahead: tuple[RunState, RunEvent | None, RunState] = _NOTHING


def look_ahead(state: RunState, event: RunEvent) -> RunState:
    """Return what `evolve` does, and have that know it when it is asked for the same, once.

    For who decides by the state after an event: the one who obeys asks for that state again.
    """
    global _ahead  # noqa: PLW0603  # one tuple, so that a thread sees all of it or nothing
    after = evolve(state, event)
    _ahead = (state, event, after)
    return after


def evolve(state: RunState, event: RunEvent) -> RunState:  # one arm an event
    """Return the state after `event`. Pure and total; raises nothing."""
    global _ahead
    if event is _ahead[1]:
        known, _ahead = _ahead, _NOTHING  # An event may be large.
        if event is known[1] and state is known[0]:
            return known[2]
    match event:  # Its arms are tried in turn: what every run has comes first.
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
            return without_call(state, event.call_id, succeeded=True)
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
        case RunCompleted():
            return replace(
                state,
                status="completed",
                finish_reason=event.finish_reason,
                calls={},
                rests=False,
                rests_until_ns=None,
                mail=last_mail(state),
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
                return without_call(state, event.call_id)
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
        case RunFailed():
            return replace(
                state,
                status="failed",
                error=event.error,
                calls={},
                model_attempt=None,
                rests=False,
                rests_until_ns=None,
                mail=last_mail(state),
            )
        case ChildRunStarted():
            child = ChildRun(run_id=event.run_id, agent_id=event.agent_id)
            call = replace(call_of(state, event.call_id), status="child", attempt=1, child=child)
            started = with_call(state, event.call_id, call)
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
            return evolve_background(state, event)
        case _:
            return evolve_people(state, event)


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
