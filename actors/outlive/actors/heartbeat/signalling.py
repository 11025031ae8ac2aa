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
    FireOverrides,
    HeartbeatSettings,
    IfActive,
    IfIdle,
    MessageId,
    OutliveError,
    Signal,
    SignalReceived,
    StreamId,
    ThreadState,
    heartbeat_stream,
)
from outlive.events.heartbeat.state import Going
from outlive.events.ids import id_of


def signal_thread(
    message: Deliver,
    going: Going,
    settings: HeartbeatSettings,
    all: Surroundings,
    *,
    fire: FireOf,
    id: MessageId,
) -> Parcel:
    """Return the signal of a fire. Raises AgentNotFound: who is to read it is not registered."""
    if settings.agent_id not in all.agents:
        raise AgentNotFound(settings.agent_id, tuple(all.agents))
    signal_id = f"{fire.heartbeat_id}:{fire.fire}"
    moment = _moment(message.to, all)
    command = SendSignal(
        thread_id=id_of(message.to),
        resource_id=settings.resource_id,
        signal_id=signal_id,
        signal=_signal(settings, going.overrides),
        if_active=settings.if_active or IfActive(),
        if_idle=_if_idle(settings, going.overrides),
        run_id=id_of(going.stream),
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


def _signal(settings: HeartbeatSettings, said: FireOverrides | None) -> Signal:
    signal = settings.signal()
    if said is None:
        return signal
    if said.prompt is not None:
        signal = replace(signal, text=said.prompt, parts=said.parts or ())
    if said.attributes is not None:
        signal = replace(signal, attributes=said.attributes)
    if said.provider_options is not None:
        signal = replace(signal, provider_options=said.provider_options)
    return signal


def _if_idle(settings: HeartbeatSettings, said: FireOverrides | None) -> IfIdle:
    if_idle = settings.if_idle or IfIdle()
    if said is None or said.request_context is None:
        return if_idle
    return replace(if_idle, request_context=said.request_context)


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
