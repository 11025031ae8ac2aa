"""The open calls of a run: begun, changed, over."""

from __future__ import annotations

from msgspec.structs import replace

from outlive.events.ids import CallId
from outlive.events.run.state import Call, RunState
from outlive.events.run.stopping import after_tool


def call_of(state: RunState, call_id: CallId) -> Call:
    """Return an open call; one without a name if it is not open."""
    return state.calls.get(call_id, Call(name=""))


def with_call(state: RunState, call_id: CallId, call: Call) -> RunState:
    """The call is now as `call` says."""
    return replace(state, calls={**state.calls, call_id: call})


def without_call(state: RunState, call_id: CallId, *, succeeded: bool = False) -> RunState:
    """The call is over, and its result one more message."""
    stop = state.stop
    if succeeded and state.stop_when and not stop and call_id in state.calls:
        stop = after_tool(state.stop_when, state.calls[call_id].name)
    calls = {other: call for other, call in state.calls.items() if other != call_id}
    return replace(state, calls=calls, messages=state.messages + 1, recoveries=0, stop=stop)
