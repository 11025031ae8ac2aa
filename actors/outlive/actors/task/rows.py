"""What a task's row of the open table tells, and what admission makes of it."""

from __future__ import annotations

from outlive.actors.task.admission import Admission, Waiting
from outlive.events import OpenEntry, StreamId, TaskState


def summary_of(state: TaskState) -> dict[str, str]:
    """Return what lists show of an open task, and what admission needs."""
    summary = {"agent_id": state.agent_id, "tool": state.tool, "place": str(state.place)}
    if state.run_id:
        summary["run_id"] = state.run_id
    if state.priority:
        summary["priority"] = str(state.priority)
    if state.turn:
        summary["turn"] = str(state.turn)
    if state.inline:
        summary["inline"] = "yes"
    if state.suspected:
        summary["suspected"] = "yes"
    if state.status == "suspended":
        summary["waiting_for"] = str(max(len(state.asks), 1))
    return summary


def place_in(entry: OpenEntry) -> int:
    """Return a task's place in the line, as its row tells it."""
    return int(entry.summary.get("place", 0))


def priority_in(entry: OpenEntry) -> int:
    """Return a task's priority, as its row tells it."""
    return int(entry.summary.get("priority", 0))


def turn_in(entry: OpenEntry) -> int:
    """Return the number of a task's last start, as its row tells it; 0 if it had none."""
    return int(entry.summary.get("turn", 0))


def note(admission: Admission, task: StreamId, entry: OpenEntry | None, *, due: bool) -> None:
    """Have admission know what the row of a task says; None: it has none any more.

    `due`: if it waits for an instant to be tried again, that has come. A task that stands still,
    is suspended, or waits for its instant neither holds a slot nor waits for one.
    """
    if entry is None or "tool" not in entry.summary:  # It stands still, and cannot be read.
        admission.leave(task)
        return
    summary = entry.summary
    agent, tool = summary["agent_id"], summary["tool"]
    slot = "inline" not in summary
    if entry.status == "running" and slot:
        admission.hold(task, agent, tool)
    elif entry.status == "queued" and slot and due:
        admission.wait(Waiting(task, agent, tool, priority_in(entry), place_in(entry)))
    else:
        admission.leave(task)
