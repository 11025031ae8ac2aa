"""What follows from a run's state, whatever the fact was that brought it there."""

from __future__ import annotations

from outlive.actors.run.next_step import next_step
from outlive.events import (
    CallId,
    ChildRunStarted,
    RunEvent,
    RunState,
    RunSuspended,
    TaskRequested,
    ToolCallStarted,
)
from outlive.events.run.evolving import look_ahead
from outlive.events.run.state import FOR_A_PERSON, Call, suspension

Events = tuple[RunEvent, ...]


def go_on(state: RunState, *facts: RunEvent) -> Events:
    """Return the facts, and what is to be done now that they hold."""
    for fact in facts:
        state = look_ahead(state, fact)
    if state.over:
        return facts
    if not state.calls:
        if state.model_attempt is not None or state.model_wait is not None or state.rests:
            return facts
        return (*facts, *next_step(state))
    waiting: list[tuple[CallId, Call]] = []
    busy = 0
    for call_id, call in state.calls.items():
        if call.status == "waiting":
            waiting.append((call_id, call))
        elif call.status not in FOR_A_PERSON:
            busy += 1
    if not waiting:
        if busy or state.status != "running":
            return facts
        return (*facts, RunSuspended(waiting=waiting_for(state.calls)))
    free = max(state.tool_concurrency - busy, 0)
    return (*facts, *[_start_of(call_id, call) for call_id, call in waiting[:free]])


def _start_of(call_id: CallId, call: Call) -> RunEvent:
    if call.child is not None:
        child = call.child
        return ChildRunStarted(call_id=call_id, run_id=child.run_id, agent_id=child.agent_id)
    if call.task is not None:
        return TaskRequested(call_id=call_id, task_id=call.task.task_id)
    return ToolCallStarted(call_id=call_id, name=call.name, attempt=call.attempt + 1)


def waiting_for(calls: dict[CallId, Call]) -> tuple[str, ...]:
    """Return the names of what a person is waited for, in the order of the calls."""
    names: list[str] = []
    for call_id, call in calls.items():
        if call.status == "suspended":
            names += (suspension(call_id, key) for key in call.asks)
        elif call.status in FOR_A_PERSON:
            names.append(call_id)
    return tuple(names)
