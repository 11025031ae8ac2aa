"""What a heartbeat with a thread says to it, and what it makes of the answer."""

from __future__ import annotations

from msgspec.structs import replace

from outlive.actors.heartbeat.commands import RefuseFire, SettleFire
from outlive.actors.heartbeat.refusal import refusal
from outlive.actors.mail import Acknowledge, Deliver, Parcel
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.answers import asked_on
from outlive.actors.thread.commands import SendSignal
from outlive.actors.thread.moment import NOTHING_SPECIAL, Moment, moment_of
from outlive.events import (
    AgentNotFound,
    CorruptLog,
    FireOf,
    HeartbeatSettings,
    IfActive,
    IfIdle,
    MessageId,
    OutliveError,
    SignalReceived,
    StreamId,
    ThreadState,
    heartbeat_stream,
)
from outlive.events.ids import id_of


def signal_thread(
    message: Deliver,
    run_id: str,
    settings: HeartbeatSettings,
    all: Surroundings,
    *,
    fire: FireOf,
    id: MessageId,
) -> Parcel:
    """Return the signal of a fire; a run that this begins has the id `run_id`.

    Raises:
        AgentNotFound: who is to read it is not registered.
    """
    if settings.agent_id not in all.agents:
        raise AgentNotFound(settings.agent_id, tuple(all.agents))
    signal_id = f"{fire.heartbeat_id}:{fire.fire}"
    moment = _moment(message.to, all)
    command = SendSignal(
        thread_id=id_of(message.to),
        resource_id=settings.resource_id,
        signal_id=signal_id,
        signal=settings.signal(),
        if_active=settings.if_active or IfActive(),
        if_idle=settings.if_idle or IfIdle(),
        run_id=run_id,
        agent_id=settings.agent_id,
        suspended=moment.suspended,
        source=heartbeat_stream(fire.heartbeat_id),
        unread=moment.unread,
        now_ns=all.clock.now_ns(),
        fire=replace(fire, tools=settings.tools),
        message=id,
    )

    def answered(_: ThreadState) -> Acknowledge | SettleFire:
        return _answer(message, signal_id, fire.fire, all)

    def refused(error: OutliveError) -> RefuseFire:
        return refusal(message, fire.fire, all, error)

    return Parcel(command, answered=answered, refused=refused)


def _moment(thread: StreamId, all: Surroundings) -> Moment:
    """Return what the run does that is active on the thread, as far as is durable."""
    entry = all.log.open_entry(thread)
    run_id = None if entry is None else entry.summary.get("run_id")
    return NOTHING_SPECIAL if run_id is None else moment_of(all.log, run_id)


def _answer(
    message: Deliver, signal_id: str, fire: int, all: Surroundings
) -> Acknowledge | SettleFire:
    """Return what the heartbeat is told: a run that begins for it will tell how that ends."""
    taken = asked_on(all.log, message.to, signal_id=signal_id)
    event = None if taken is None else taken.event
    if not isinstance(event, SignalReceived):
        raise CorruptLog(f"stream {message.to!r}", f"there is no signal {signal_id!r}")
    told = event.delivered_to
    if event.coalesced_into:
        into = asked_on(all.log, message.to, signal_id=event.coalesced_into)
        told = into.event.delivered_to if into and isinstance(into.event, SignalReceived) else ""
    elif event.action == "woken" or (event.action == "queued" and not told):
        return Acknowledge(sequence=message.sequence)
    assert event.action != "woken", "that begins a run"
    return SettleFire(
        fire=fire,
        sequence=message.sequence,
        outcome=event.action,
        run_id=told,
        now_ns=all.clock.now_ns(),
        hooks=all.hooks_at_hand,
    )
