"""Whose turn it is on a thread: pure, as all of `decide`."""

from __future__ import annotations

from outlive.actors.thread.commands import Unread
from outlive.events import (
    OtherResource,
    SignalDropped,
    SignalReturned,
    ThreadCreated,
    ThreadEvent,
    ThreadNotFound,
    ThreadRunClaimed,
    ThreadState,
)
from outlive.events.run.thread import TELL
from outlive.events.thread import evolve
from outlive.events.thread.state import Waiting

Events = tuple[ThreadEvent, ...]


def required(state: ThreadState, thread_id: str, resource_id: str) -> Events:
    """Return the beginning of a thread that does not exist yet, for this resource.

    Raises:
        ThreadNotFound: it does not exist, and nothing says to whom it would belong.
        OtherResource: it belongs to another one.
    """
    if not state.exists:
        if not resource_id:
            raise ThreadNotFound(thread_id)
        return (ThreadCreated(resource_id=resource_id),)
    if resource_id and resource_id != state.resource_id:
        raise OtherResource(thread_id, resource_id)
    return ()


def folded(state: ThreadState, facts: Events) -> ThreadState:
    """Return the state once these facts hold."""
    for fact in facts:
        state = evolve(state, fact)
    return state


def take_turns(state: ThreadState, *facts: ThreadEvent, now_ns: int) -> Events:
    """Return the facts, and what follows: what has waited too long goes, the next one begins."""
    state = folded(state, facts)
    told = list(facts)
    for one in state.queue:
        if one.expires_at_ns is not None and one.expires_at_ns <= now_ns:
            dropped = SignalDropped(signal_id=one.signal_id, reason="expired")
            state = evolve(state, dropped)
            told.append(dropped)
    return (*told, *next_turn(state))


def next_turn(state: ThreadState) -> Events:
    """Return who is next, if nobody is active, and what that run is told at once.

    Nobody yet, while something is on its way to a run that is over by now: it comes back, and was
    said before what waits.
    """
    if state.active is not None or not state.queue or comes_back(state):
        return ()
    first, *others = state.queue
    joining = (
        returned(one, delivered_to=first.run_id)
        for one in others
        if one.joins and one.agent_id == first.agent_id
    )
    return (ThreadRunClaimed(run_id=first.run_id, agent_id=first.agent_id), *joining)


def returned(one: Waiting | Unread, *, delivered_to: str = "") -> SignalReturned:
    """Return the fact that something is told once more, to this run or to the next one."""
    return SignalReturned(
        version=one.version,
        run_id=one.run_id,
        agent_id=one.agent_id,
        signal_id=one.signal_id,
        expires_at_ns=one.expires_at_ns,
        delivered_to=delivered_to,
    )


def comes_back(state: ThreadState) -> bool:
    """Whether something that was said is on its way to the run that was active last."""
    letters = state.mail.outbox.values()
    return state.active is None and any(letter.subject == TELL for letter in letters)
