"""What a run does about its child runs: pure, as all of `decide`."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from outlive.actors.agent import Agent
from outlive.actors.mail import Acknowledge, acknowledged
from outlive.actors.run.commands import (
    CompleteModelCall,
    EndChildRun,
    PlannedCall,
    RefuseChildRun,
)
from outlive.actors.run.going_on import Events, go_on
from outlive.events import (
    CallId,
    ChildRun,
    ChildRunEnded,
    RunEvent,
    RunId,
    RunState,
    ToolCallCompleted,
    ToolCallFailed,
)
from outlive.events.values import digest

_LONGEST_ID: Final = 200  # bytes, as `stream_id` has it


def child_run_id(parent: RunId, call_id: CallId) -> RunId:
    """Return the id of the run that answers a call: the same each time.

    `7f3a:0.1` for the call `0.1` of run `7f3a`, and `7f3a:0.1:2.0` for a call of that one. Where
    that would be too long for an id, a digest of it.
    """
    readable = f"{parent}:{call_id}"
    if len(readable.encode()) <= _LONGEST_ID:
        return RunId(readable)
    return RunId(digest(parent.encode(), call_id.encode()))


def with_children(answer: CompleteModelCall, agent: Agent, run_id: RunId) -> CompleteModelCall:
    """Return the model's answer, with the runs that are to answer calls of sub-agents."""

    def planned(index: int, call: PlannedCall) -> PlannedCall:
        sub_agent = agent.agents.get(call.name)
        if sub_agent is None or call.problem is not None:
            return call
        call_id = CallId(f"{answer.step}.{index}")
        child = ChildRun(run_id=child_run_id(run_id, call_id), agent_id=sub_agent.id)
        return replace(call, child=child)

    calls = tuple(planned(index, call) for index, call in enumerate(answer.tool_calls))
    return replace(answer, tool_calls=calls)


def end_child(state: RunState, command: EndChildRun) -> Events:
    """A child run is over: its call is answered. Nothing if the call is not open any more."""
    if not _is_open(state, command.call_id, command.run_id):
        return ()
    ended = ChildRunEnded(
        call_id=command.call_id,
        run_id=command.run_id,
        status=command.status,
        usage=command.usage,
        message=command.message,
    )
    answer: RunEvent
    if command.error is None:
        answer = ToolCallCompleted(call_id=command.call_id, result=command.result)
    else:
        answer = ToolCallFailed(call_id=command.call_id, error=command.error)
    return go_on(state, ended, answer)


def refuse_child(state: RunState, command: RefuseChildRun) -> Events:
    """A child run could not be begun: its call has failed."""
    told = acknowledged(state.mail, Acknowledge(sequence=command.sequence))
    if not _is_open(state, command.call_id, command.run_id):
        return told
    ended = ChildRunEnded(call_id=command.call_id, run_id=command.run_id, status="failed")
    failed = ToolCallFailed(call_id=command.call_id, error=command.error)
    return go_on(state, *told, ended, failed)


def _is_open(state: RunState, call_id: CallId, run_id: RunId) -> bool:
    call = state.calls.get(call_id)
    return (
        call is not None
        and call.status == "child"
        and call.child is not None
        and call.child.run_id == run_id
    )
