"""What a run says to its tasks: made of the run's events when it is delivered, each time anew."""

from __future__ import annotations

from outlive.actors.mail import Acknowledge, Deliver, Parcel
from outlive.actors.run.commands import RefuseTask, TaskTaken
from outlive.actors.run.model_call import cut
from outlive.actors.run.notes import Notes
from outlive.actors.surroundings import Surroundings
from outlive.actors.task.commands import CancelTask, QueueTask
from outlive.events import CallId, EventTooLarge, Failure, OutliveError, RunId, TaskState
from outlive.events.ids import id_of
from outlive.events.run.background import CANCEL, QUEUE


def task_parcel(message: Deliver, run_id: RunId, notes: Notes, all: Surroundings) -> Parcel:
    """Return what a message of a run to a task says."""
    desk = all.desk
    if message.subject == CANCEL:
        reason = cut(f"run {run_id!r} was cancelled")
        cancel = CancelTask(task_id=id_of(message.to), reason=reason)

        def over(_: object) -> Acknowledge:
            desk.settled(message.to)  # It may have been asked for, and that was taken back.
            return Acknowledge(sequence=message.sequence)

        return Parcel(cancel, ends=True, answered=over, refused=over)
    assert message.subject == QUEUE, f"a run says nothing about {message.subject!r} to a task"
    call_id = CallId(message.about)
    call = notes.transcript.calls[call_id]
    task = call.task
    assert task is not None, "only a task is queued"
    begun = all.log.version(message.to) > 0
    place = desk.admit(message.to, notes.agent_id, call.name, begun=begun)
    thread = notes.thread
    command = QueueTask(
        task_id=task.task_id,
        tool=call.name,
        arguments=call.arguments,
        agent_id=notes.agent_id,
        run_id=run_id,
        call_id=call_id,
        thread_id="" if thread is None else thread.thread_id,
        resource_id="" if thread is None else thread.resource_id,
        on_complete=task.on_complete,
        request_context=notes.request_context,
        priority=task.priority,
        place=place.number,
        mode=task.mode,
        limits=task.limits,
        verdict=place.verdict,
        turn=place.turn,
        reason=place.reason,
        worker=desk.worker,
        hooked=any(all.layers_of_hooks(notes.agent_id, call.name)),
    )

    def taken(state: TaskState) -> TaskTaken:
        desk.settled(message.to)
        queued = not state.inline and state.status != "rejected"
        return TaskTaken(
            sequence=message.sequence, call_id=call_id, task_id=task.task_id, queued=queued
        )

    def refused(error: OutliveError) -> RefuseTask:
        desk.settled(message.to)
        kind = "too_large" if isinstance(error, EventTooLarge) else "rejected"
        return RefuseTask(
            sequence=message.sequence,
            call_id=call_id,
            task_id=task.task_id,
            error=Failure(kind=kind, message=cut(str(error))),
        )

    return Parcel(command, answered=taken, refused=refused)
