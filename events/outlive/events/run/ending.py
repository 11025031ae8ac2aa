"""What a run that comes to its end owes to others."""

from __future__ import annotations

from outlive.events.fires import FIRE_ENDED, tell_heartbeat
from outlive.events.ids import CallId
from outlive.events.mail import Mail, MessageId
from outlive.events.run.background import OpenTask
from outlive.events.run.children import child_ended, children_cancelled
from outlive.events.run.state import RunState
from outlive.events.run.thread import result_came_late, run_on_thread_ended


def last_mail(state: RunState, message: MessageId | None = None) -> Mail:
    """Return the mail of a run that is over: its children are cancelled, others are told.

    Its thread is told, also of results that are to wake it and no model has seen; and its parent,
    unless it ends by a `message` of that, which does not want to know any more. A heartbeat
    always does.
    """
    mail = state.mail
    if state.calls:
        children = (
            (call_id, call.child)
            for call_id, call in state.calls.items()
            if call.status == "child" and call.child is not None
        )
        mail = children_cancelled(mail, children)
    mail = run_on_thread_ended(mail, state.thread)
    for call_id in state.wakes:
        mail = result_came_late(mail, state.thread, call_id, "wake")
    mail = tell_heartbeat(mail, state.fire, FIRE_ENDED)
    return mail if state.parent is None or message is not None else child_ended(mail, state.parent)


def open_tasks(state: RunState) -> list[tuple[CallId, OpenTask]]:
    """Return the tasks that may still go on: deferred, or waited for."""
    waited_for = [
        (call_id, OpenTask(task_id=call.task.task_id, detached=call.task.detached))
        for call_id, call in state.calls.items()
        if call.status == "task" and call.task is not None
    ]
    return [*state.tasks.items(), *waited_for]
