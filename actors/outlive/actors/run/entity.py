"""The run as an entity: its pure parts, put together for the shell."""

from __future__ import annotations

from typing import Final

from outlive.actors.entity import PureParts
from outlive.actors.mail import deliveries
from outlive.actors.run.commands import CallModel, CallTool, CheckStop, Effect
from outlive.actors.run.decide import decide
from outlive.actors.run.signals import unread_of
from outlive.events import OpenEntry, RunState
from outlive.events.run import evolve
from outlive.events.run.state import FOR_A_PERSON


def outstanding(state: RunState) -> dict[Effect, None]:
    """Return what the run owes: the model call, or the started tool calls; and messages."""
    effects: dict[Effect, None] = {}
    if state.model_attempt is not None:
        effects[CallModel(state.step, state.model_attempt.attempt)] = None
    for call_id, call in state.calls.items():
        if call.status == "started":
            effects[CallTool(call_id, call.name, call.attempt)] = None
    if state.stop_when and state.checking:
        effects[CheckStop(state.step, state.checks)] = None
    if state.mail.outbox:
        for message in deliveries(state.mail):
            effects[message] = None
    return effects


def open_entry(state: RunState) -> OpenEntry | None:
    """Return the run's row of the open table; None when it is over and owes nothing."""
    if state.status not in ("running", "suspended"):
        return _last_entry(state) if state.mail.outbox else None
    owes = state.model_attempt is not None or bool(state.mail.outbox)
    if state.stop_when:
        owes = owes or state.checking
    wake_at_ns = state.rests_until_ns
    if state.model_wait is not None:
        wake_at_ns = state.model_wait.wake_at_ns
    people = 0
    for call in state.calls.values():
        if call.status in FOR_A_PERSON:
            people += max(len(call.asks), 1)
        if call.wake_at_ns is None:
            owes = owes or call.status == "started"
        elif wake_at_ns is None or call.wake_at_ns < wake_at_ns:
            wake_at_ns = call.wake_at_ns
    summary = {"agent_id": state.agent_id}
    if people:
        summary["waiting_for"] = str(people)
    if state.unread:
        summary["unread"] = unread_of(state)
    return OpenEntry(
        kind="run",
        status="waiting" if (state.calls or state.rests) and state.waiting else state.status,
        wake_at_ns=wake_at_ns,
        owes=owes,
        summary=summary,
    )


def _last_entry(state: RunState) -> OpenEntry:
    """Return the row of a run that is over and has messages to deliver."""
    summary = {"agent_id": state.agent_id}
    return OpenEntry(kind="run", status=state.status, owes=True, summary=summary, over=True)


RUN: Final = PureParts(
    initial=RunState(),
    decide=decide,
    evolve=evolve,
    outstanding=outstanding,
    open_entry=open_entry,
    edition=1,
    lasts=False,
)
