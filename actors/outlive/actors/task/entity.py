"""The task as an entity: its pure parts, put together for the shell."""

from __future__ import annotations

from typing import Final

from outlive.actors.entity import PureParts
from outlive.actors.mail import deliveries
from outlive.actors.run.commands import CallTool
from outlive.actors.task.commands import CallHooks, Effect
from outlive.actors.task.decide import decide
from outlive.actors.task.rows import summary_of
from outlive.events import OpenEntry, TaskState
from outlive.events.task import evolve


def outstanding(state: TaskState) -> dict[Effect, None]:
    """Return what the task owes: the attempt that was started, its outcome to its run.

    A task that is queued owes nothing: it is for those who give the slots away to start it.
    """
    effects: dict[Effect, None] = dict.fromkeys(deliveries(state.mail))
    if state.status == "running":
        effects[CallTool(state.call_id, state.tool, state.attempt)] = None
    for end, number in state.hooks.items():
        effects[CallHooks(end, number)] = None
    return effects


def open_entry(state: TaskState) -> OpenEntry | None:
    """Return the task's row of the open table; None when it is over and owes nothing."""
    owes = state.status == "running" or bool(state.hooks) or bool(state.mail.outbox)
    if state.status == "none" or (state.over and not owes):
        return None
    return OpenEntry(
        kind="task",
        status=state.status,
        wake_at_ns=state.wake_at_ns,
        owes=owes,
        over=state.over,
        summary=summary_of(state),
    )


TASK: Final = PureParts(
    initial=TaskState(),
    decide=decide,
    evolve=evolve,
    outstanding=outstanding,
    open_entry=open_entry,
    edition=1,
    lasts=False,
)
