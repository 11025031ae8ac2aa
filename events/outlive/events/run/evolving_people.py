"""What events about people make of a run's state."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from outlive.events.event import Failure
from outlive.events.fires import FIRE_RESUMED, FIRE_SUSPENDED, tell_heartbeat
from outlive.events.run.background import tasks_cancelled
from outlive.events.run.calls import call_of, with_call
from outlive.events.run.ending import last_mail, open_tasks
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
from outlive.events.run.state import RunState, suspension
from outlive.events.values import canonical, digest


def evolve_people(state: RunState, event: PeopleEvent) -> RunState:
    """Return the state after an event about people. They are rare beside the others."""
    match event:
        case ToolCallSuspended():
            call = call_of(state, event.call_id)
            asks = {**call.asks, event.key: event.answer_schema}
            return with_call(state, event.call_id, replace(call, status="suspended", asks=asks))
        case RunResumed():
            call = call_of(state, event.call_id)
            asks = {key: schema for key, schema in call.asks.items() if key != event.key}
            call = replace(call, status="suspended" if asks else "waiting", asks=asks)
            said = digest(canonical(event.value))
            return _said(
                with_call(state, event.call_id, call), suspension(event.call_id, event.key), said
            )
        case ApprovalRequested():
            call = replace(
                call_of(state, event.call_id),  # Consent does not change how it is called then.
                name=event.name,
                status="asked",
                wake_at_ns=event.expires_at_ns,
                digest=event.digest,
            )
            return with_call(state, event.call_id, call)
        case ApprovalGranted():
            call = replace(call_of(state, event.call_id), status="waiting", wake_at_ns=None)
            return _said(
                with_call(state, event.call_id, call), event.call_id, f"granted {event.digest}"
            )
        case ApprovalDenied():
            return _said(state, event.call_id, "denied")
        case ToolCallInDoubt():
            call = replace(call_of(state, event.call_id), status="in_doubt", wake_at_ns=None)
            return with_call(state, event.call_id, call)
        case ToolCallResolved():
            name = f"{event.call_id}?{event.attempt}"
            call = replace(call_of(state, event.call_id), status="waiting")
            return _said(with_call(state, event.call_id, call), name, event.outcome)
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
                mail=tasks_cancelled(last_mail(state, event.message), open_tasks(state)),
            )
        case _:
            assert_never(event)


def _said(state: RunState, name: str, said: str) -> RunState:
    """A person has said something: the run goes on, or is suspended anew."""
    mail = state.mail
    if state.status == "suspended":
        mail = tell_heartbeat(mail, state.fire, FIRE_RESUMED)
    answers = {**state.answers, name: said}
    return replace(state, status="running", answers=answers, recoveries=0, mail=mail)
