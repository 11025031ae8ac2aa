"""What a heartbeat says to the runs and tasks that it fires, and to the threads that it tells."""

from __future__ import annotations

from msgspec.structs import replace

from outlive.actors.background_plans import limits_of
from outlive.actors.heartbeat.commands import RefuseFire
from outlive.actors.heartbeat.refusal import refusal
from outlive.actors.heartbeat.signalling import signal_thread
from outlive.actors.mail import Acknowledge, Deliver, Parcel
from outlive.actors.run.carrying_out import start_command
from outlive.actors.run.commands import CancelRun
from outlive.actors.run.submitted import StartRequest
from outlive.actors.surroundings import Surroundings
from outlive.actors.task.commands import CancelTask, QueueTask
from outlive.actors.thread.commands import StopFire
from outlive.events import (
    FireOf,
    HeartbeatSettings,
    HeartbeatState,
    MessageId,
    OutliveError,
    TaskState,
    ToolNotFound,
    heartbeat_stream,
)
from outlive.events.fires import STOP
from outlive.events.ids import id_of, kind_of


def parcel_to_fired(message: Deliver, state: HeartbeatState, all: Surroundings) -> Parcel:
    """Return what a message of a heartbeat says.

    Raises:
        AgentNotFound, ToolNotFound: what is to begin is not registered any more.
    """
    id = MessageId(sender=heartbeat_stream(state.heartbeat_id), sequence=message.sequence)
    if message.subject == STOP:
        return _stop(message, id, state, all)
    number = int(message.about)
    going = state.going.get(number)
    if going is None or going.settings is None:
        raise AssertionError("what has not begun is still to begin")
    fire = FireOf(heartbeat_id=state.heartbeat_id, fire=number)
    if kind_of(message.to) == "thread":
        return signal_thread(message, id_of(going.stream), going.settings, all, fire=fire, id=id)
    if kind_of(message.to) == "task":
        return _begin_task(message, going.settings, all, fire=fire, id=id)
    return _begin_run(message, going.settings, all, fire=fire, id=id)


def _stop(message: Deliver, id: MessageId, state: HeartbeatState, all: Surroundings) -> Parcel:
    going = state.going.get(int(message.about))
    late = going is not None and going.stopped == "timeout"
    why = "it has taken too long" if late else "another one is due"
    reason = f"heartbeat {state.heartbeat_id!r}: {why}"
    if kind_of(message.to) == "thread":
        fire = int(message.about)
        stop = StopFire(heartbeat_id=state.heartbeat_id, fire=fire, reason=reason)
        return Parcel(stop, ends=True)
    if kind_of(message.to) == "run":
        return Parcel(CancelRun(run_id=id_of(message.to), reason=reason, message=id), ends=True)

    def over(_: object) -> Acknowledge:
        all.desk.settled(message.to)
        return Acknowledge(sequence=message.sequence)

    cancel = CancelTask(task_id=id_of(message.to), reason=reason)
    return Parcel(cancel, ends=True, answered=over, refused=over)


def _begin_run(
    message: Deliver,
    settings: HeartbeatSettings,
    all: Surroundings,
    *,
    fire: FireOf,
    id: MessageId,
) -> Parcel:
    request = StartRequest(
        agent_id=settings.agent_id,
        input=settings.prompt,
        parts=settings.parts,
        metadata=settings.metadata,
        request_context=settings.request_context,
        provider_options=settings.provider_options,
    )
    command = replace(
        start_command(request, all.agents),
        fire=replace(fire, tools=settings.tools),
        message=id,
    )
    return Parcel(command, refused=lambda error: refusal(message, fire.fire, all, error))


def _begin_task(
    message: Deliver,
    settings: HeartbeatSettings,
    all: Surroundings,
    *,
    fire: FireOf,
    id: MessageId,
) -> Parcel:
    tool = all.tool(settings.agent_id, settings.tool)
    if tool is None:
        raise ToolNotFound(settings.tool, ())
    agent_id = settings.agent_id
    begun = all.log.version(message.to) > 0
    place = all.desk.admit(message.to, agent_id, tool.name, begun=begun)
    command = QueueTask(
        task_id=id_of(message.to),
        tool=tool.name,
        arguments=settings.arguments,
        agent_id=agent_id,
        request_context=settings.request_context,
        place=place.number,
        limits=limits_of(all.agents.get(agent_id), tool, all.background),
        verdict=place.verdict,
        turn=place.turn,
        reason=place.reason,
        worker=all.desk.worker,
        hooked=any(all.layers_of_hooks(agent_id, tool.name)),
        fire=fire,
        message=id,
    )

    def taken(_: TaskState) -> Acknowledge:
        all.desk.settled(message.to)
        return Acknowledge(sequence=message.sequence)

    def refused(error: OutliveError) -> RefuseFire:
        all.desk.settled(message.to)
        return refusal(message, fire.fire, all, error)

    return Parcel(command, answered=taken, refused=refused)
