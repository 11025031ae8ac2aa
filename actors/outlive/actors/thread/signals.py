"""What becomes of a signal, by what the thread does at that moment: pure, as all of `decide`."""

from __future__ import annotations

from outlive.actors.mail import Acknowledge, acknowledged
from outlive.actors.thread.commands import ReturnSignal, SendSignal, StopFire, Unread
from outlive.actors.thread.turns import Events, comes_back, folded, required, returned, take_turns
from outlive.events import (
    MessageAppended,
    NobodyAnswers,
    SignalAction,
    SignalDropped,
    SignalExists,
    SignalReceived,
    ThreadRunCancelled,
    ThreadState,
)
from outlive.events.mail import is_repeat
from outlive.events.messages import UserMessage
from outlive.events.run.thread import TELL
from outlive.events.signals import Signal
from outlive.events.thread.state import ActiveRun, signal_digest
from outlive.events.values import Value


def receive(state: ThreadState, command: SendSignal) -> Events:
    """Take a signal, once, and say what becomes of it.

    Raises:
        ThreadNotFound, OtherResource, NobodyAnswers, SignalExists: see `decide`.
    """
    if is_repeat(state.mail, command.message):
        return ()
    known = state.answers.get(command.signal_id)
    if known is not None:
        if known.digest != signal_digest(_received(command, "discarded")):
            raise SignalExists(command.thread_id, command.signal_id)
        return ()
    begun = required(state, command.thread_id, command.resource_id)
    active = state.active
    if active is None and command.fire is None and not command.after and comes_back(state):
        active = state.ended  # What is on its way to it comes back first.
    if active is None:
        return (*begun, *_on_idle(folded(state, begun), command))
    return _on_active(state, command, active)


def _on_active(state: ThreadState, command: SendSignal, active: ActiveRun) -> Events:
    agent_id = command.agent_id or active.agent_id
    if command.after:
        return (_received(command, "queued", agent_id),)
    match command.if_active.behaviour:
        case "deliver":
            wakes = command.if_idle.behaviour == "wake"
            if agent_id != active.agent_id and not wakes:
                return _on_idle(state, command)  # Nobody is active who is to read it.
            begins = command.fire is not None and wakes
            if agent_id != active.agent_id or (begins and active.cancelled):
                return (_received(command, "queued", agent_id),)
            earlier = _unread_of_its_source(state, command)
            if earlier:
                return (_received(command, "queued", agent_id, coalesced_into=earlier),)
            action: SignalAction = "queued" if command.suspended else "delivered"
            return (_received(command, action, agent_id, delivered_to=active.run_id),)
        case "persist":
            return _persisted(command, command.if_active.attributes)
        case "discard":
            return (_received(command, "discarded"),)


def _unread_of_its_source(state: ThreadState, command: SendSignal) -> str:
    """Return the id of a signal like this that a run which waits for a person has not read."""
    last = state.told.get(command.source) if command.source and command.suspended else None
    if last is None:
        return ""
    on_its_way = any(
        letter.subject == TELL and letter.about == str(last.version)
        for letter in state.mail.outbox.values()
    )
    return last.signal_id if on_its_way or last.signal_id in command.unread else ""


def _on_idle(state: ThreadState, command: SendSignal) -> Events:
    match command.if_idle.behaviour:
        case "wake":
            agent_id = command.agent_id or state.agent_id or state.last_agent_id
            if not agent_id:
                raise NobodyAnswers(command.thread_id)
            woken = _received(command, "woken", agent_id)
            return take_turns(state, woken, now_ns=command.now_ns)
        case "persist":
            return _persisted(command, command.if_idle.attributes)
        case "discard":
            return (_received(command, "discarded"),)


def _persisted(command: SendSignal, attributes: dict[str, Value]) -> Events:
    message = shown(command.signal.with_attributes(attributes))
    return (_received(command, "persisted"), MessageAppended(message=message))


def _received(
    command: SendSignal,
    action: SignalAction,
    agent_id: str = "",
    *,
    delivered_to: str = "",
    coalesced_into: str = "",
) -> SignalReceived:
    return SignalReceived(
        signal_id=command.signal_id,
        signal=command.signal,
        action=action,
        if_active=command.if_active,
        if_idle=command.if_idle,
        run_id=command.run_id,
        agent_id=agent_id,
        delivered_to=delivered_to,
        expires_at_ns=command.expires_at_ns,
        source=command.source,
        coalesced_into=coalesced_into,
        fire=command.fire,
        message=command.message,
    )


def stop(state: ThreadState, command: StopFire) -> Events:
    """Cancel the run of a fire, or take back what waits to begin it. A repeat changes nothing."""
    of = (command.heartbeat_id, command.fire)
    for one in state.queue:
        if one.fire is not None and (one.fire.heartbeat_id, one.fire.fire) == of:
            return (SignalDropped(signal_id=one.signal_id, reason="cancelled"),)
    active = state.active
    if active is None or active.fire is None or active.cancelled:
        return ()
    if (active.fire.heartbeat_id, active.fire.fire) != of:
        return ()
    return (ThreadRunCancelled(run_id=active.run_id, reason=command.reason),)


def send_back(state: ThreadState, command: ReturnSignal) -> Events:
    """Tell somebody else what a run was to be told that was over by then."""
    told = acknowledged(state.mail, Acknowledge(sequence=command.sequence))
    if not told:
        return ()
    back = (*told, *come_back(command.unread, now_ns=command.now_ns))
    return (*back, *take_turns(folded(state, back), now_ns=command.now_ns))


def come_back(unread: Unread, *, now_ns: int) -> Events:
    """Do with what a run that is over has not read as on an idle thread: the next one is told."""
    if unread.expires_at_ns is not None and unread.expires_at_ns <= now_ns:
        return (SignalDropped(signal_id=unread.signal_id, reason="expired"),)
    if unread.if_idle == "discard":
        return (SignalDropped(signal_id=unread.signal_id, reason="discarded"),)
    if unread.appended is not None:
        return (MessageAppended(message=unread.appended),)
    return (returned(unread),)


def shown(signal: Signal) -> UserMessage:
    """Return how a model reads a signal."""
    text, parts = signal.rendered()
    return UserMessage(text=text, parts=parts, transient=signal.transient)
