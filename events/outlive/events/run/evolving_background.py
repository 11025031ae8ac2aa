"""What events about background tasks make of a run's state."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from outlive.events.background import BackgroundCall
from outlive.events.run.background import (
    BackgroundEvent,
    BackgroundResultReceived,
    OpenTask,
    RunWaiting,
    TaskRequested,
    ToolCallDeferred,
    task_requested,
)
from outlive.events.run.calls import call_of, with_call, without_call
from outlive.events.run.state import RunState
from outlive.events.run.thread import result_came_late


def evolve_background(state: RunState, event: BackgroundEvent) -> RunState:
    """Return the state after an event about background tasks."""
    match event:
        case TaskRequested():
            call = replace(call_of(state, event.call_id), status="task", attempt=1)
            asked = with_call(state, event.call_id, call)
            return replace(asked, mail=task_requested(state.mail, event))
        case ToolCallDeferred():
            call = call_of(state, event.call_id)
            asked_for = call.task or BackgroundCall(task_id=event.task_id)
            task = OpenTask(
                task_id=event.task_id,
                detached=asked_for.detached,
                on_complete=asked_for.on_complete,
            )
            told = without_call(state, event.call_id)
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
