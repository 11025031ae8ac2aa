"""Whose turn it is on a thread: pure, as all of `decide`."""

from __future__ import annotations

from outlive.events import (
    OtherResource,
    SignalDropped,
    ThreadCreated,
    ThreadEvent,
    ThreadNotFound,
    ThreadRunClaimed,
    ThreadState,
)
from outlive.events.thread import evolve

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
    if state.active is None and state.queue:
        first = state.queue[0]
        told.append(ThreadRunClaimed(run_id=first.run_id, agent_id=first.agent_id))
    return tuple(told)
