"""Commands about background tasks, for a run in some state."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from outlive.actors.run.commands import (
    ReceiveBackgroundResult,
    RefuseTask,
    RunCommand,
    TaskTaken,
)
from outlive.events import (
    BackgroundCall,
    BackgroundResultReceived,
    CallId,
    Failure,
    RunState,
    RunWaiting,
    TaskLimits,
    TaskRequested,
    ToolCallDeferred,
)
from outlive.events.run.background import QUEUE, IdlePolicy, TaskEnd
from outlive.testing._drawn.values import values

BACKGROUND: Final = "b"
"""The name of a tool that is called in the background."""
_FAILED: Final = Failure(kind="error", message="boom")
_ENDS: Final[tuple[TaskEnd, ...]] = ("succeeded", "failed", "timed_out", "cancelled", "rejected")


def task_of(draw: st.DrawFn, step: int, index: int) -> BackgroundCall:
    """Draw the task that is to answer a call."""
    return BackgroundCall(
        task_id=f"r:{step}.{index}",
        mode=draw(st.sampled_from(["deferred", "deferred", "awaited"])),
        detached=draw(st.booleans()),
        on_complete=draw(st.sampled_from(["append", "wake", "ignore"])),
    )


def tasks_of(state: RunState) -> list[tuple[CallId, str]]:
    """Return the tasks of which a run is to hear still, with their calls."""
    waited_for = [
        (call_id, call.task.task_id)
        for call_id, call in state.calls.items()
        if call.status == "task" and call.task is not None
    ]
    return [*waited_for, *((call_id, task.task_id) for call_id, task in state.tasks.items())]


def told_of_task(draw: st.DrawFn, state: RunState) -> RunCommand:
    """Draw what a task tells its run."""
    called: tuple[CallId, str] = draw(st.sampled_from(tasks_of(state)))
    call_id, task_id = called
    asked = [
        number
        for number, letter in state.mail.outbox.items()
        if letter.about == call_id and letter.subject == QUEUE
    ]
    if len(asked) > 0 and draw(st.integers(0, 9)):
        taken = TaskTaken(
            sequence=asked[0], call_id=call_id, task_id=task_id, queued=draw(st.integers(0, 7)) > 0
        )
        refused = RefuseTask(sequence=asked[0], call_id=call_id, task_id=task_id, error=_FAILED)
        answers: list[RunCommand] = [*[taken] * 7, refused]
        return draw(st.sampled_from(answers))
    status = draw(st.sampled_from(_ENDS))
    return ReceiveBackgroundResult(
        call_id=call_id,
        task_id=task_id,
        status=status,
        result=1 if status == "succeeded" else None,
        error=None if status == "succeeded" else _FAILED,
    )


def idle_policies() -> st.SearchStrategy[IdlePolicy | None]:
    """Draw until when a run goes on."""
    drawn = st.builds(
        IdlePolicy,
        react=st.sampled_from(["each", "all"]),
        max_wait_ns=st.none() | st.integers(1, 10**10),
    )
    return st.one_of(st.none(), drawn, drawn)  # It takes some steps until it matters.


def background_calls() -> st.SearchStrategy[BackgroundCall | None]:
    """Draw the task that answers a call, or none."""
    text = st.text(max_size=10)
    drawn = st.builds(
        BackgroundCall,
        task_id=text,
        mode=st.sampled_from(["deferred", "awaited"]),
        limits=st.builds(TaskLimits, timeout_ns=st.none() | st.integers(1, 2**62)),
        priority=st.integers(-(2**31), 2**31),
        detached=st.booleans(),
    )
    return st.none() | drawn


def events_of_tasks(
    call_ids: st.SearchStrategy[CallId], failures: st.SearchStrategy[Failure]
) -> st.SearchStrategy[Any]:
    """Draw an event about background tasks, with anything in it."""
    text = st.text(max_size=10)
    return st.one_of(
        st.builds(TaskRequested, call_id=call_ids, task_id=text),
        st.builds(RunWaiting, until_ns=st.none() | st.integers(0, 2**62), data=values()),
        st.builds(ToolCallDeferred, call_id=call_ids, task_id=text),
        st.builds(
            BackgroundResultReceived,
            call_id=call_ids,
            task_id=text,
            status=st.sampled_from(_ENDS),
            result=values(),
            error=st.none() | failures,
        ),
    )
