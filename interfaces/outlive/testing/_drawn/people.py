"""Commands about people, for a run in some state."""

from __future__ import annotations

from typing import Literal

from hypothesis import strategies as st

from outlive.actors.run.commands import (
    AnswerSuspension,
    CancelRun,
    DecideApproval,
    ResolveToolCall,
    RunCommand,
    SuspendToolCall,
)
from outlive.events import CallId, RunState
from outlive.events.run.state import FOR_A_PERSON, suspension


def waits_for_a_person(state: RunState) -> bool:
    """Whether a call of the run waits for a person."""
    return any(call.status in FOR_A_PERSON for call in state.calls.values())


def what_is_said(draw: st.DrawFn, state: RunState) -> RunCommand:
    """Draw what a person says to a call that waits for one."""
    waiting = [id for id, call in state.calls.items() if call.status in FOR_A_PERSON]
    call_id = draw(st.sampled_from(waiting))
    call = state.calls[call_id]
    match call.status:
        case "asked":
            granted = draw(st.booleans())
            return DecideApproval(call_id=call_id, granted=granted, note="n", by="p")
        case "suspended":
            key = draw(st.sampled_from(list(call.asks)))
            value = draw(st.integers(0, 2))
            return AnswerSuspension(value=value, suspension=suspension(call_id, key), by="p")
        case _:
            outcomes: list[Literal["completed", "failed", "retry"]]
            outcomes = ["completed", "failed", "retry"]
            outcome = draw(st.sampled_from(outcomes))
            return ResolveToolCall(call_id=call_id, outcome=outcome, result=1, by="p")


def asked_by(draw: st.DrawFn, call_id: CallId, attempt: int) -> SuspendToolCall:
    """Draw what a tool asks."""
    key = draw(st.sampled_from(["k", "l"]))
    return SuspendToolCall(call_id=call_id, attempt=attempt, key=key)


def cancelled() -> CancelRun:
    """Return the wish that a run ends."""
    return CancelRun(reason="enough", by="p")
