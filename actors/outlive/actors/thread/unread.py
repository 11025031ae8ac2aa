"""What a thread makes of what a run that is over was to be told: from the event that holds it."""

from __future__ import annotations

from outlive.actors.thread.answers import asked_on
from outlive.actors.thread.commands import Unread
from outlive.actors.thread.signals import shown
from outlive.events import (
    CorruptLog,
    Event,
    LogReader,
    SignalReceived,
    StreamId,
    ThreadRunAsked,
)


def unread_by_id(log: LogReader, thread: StreamId, signal_id: str) -> Unread:
    """Return what a run was told under this id, and has not read.

    Raises:
        CorruptLog: its thread knows nothing of it.
    """
    taken = asked_on(log, thread, run_id=signal_id, signal_id=signal_id)
    if taken is None:
        raise CorruptLog(f"stream {thread!r}", f"there is no signal {signal_id!r}")
    return unread(taken.event, taken.version)


def unread(event: Event, version: int) -> Unread:
    """Return what a run was to be told that the event of this version holds."""
    if isinstance(event, ThreadRunAsked):
        return Unread(version=version, run_id=event.run_id, agent_id=event.wish.agent_id)
    assert isinstance(event, SignalReceived), "only what was said is told"
    idle = event.if_idle
    kept = shown(event.signal.with_attributes(idle.attributes))
    return Unread(
        version=version,
        run_id=event.run_id,
        agent_id=event.agent_id,
        signal_id=event.signal_id,
        expires_at_ns=event.expires_at_ns,
        if_idle=idle.behaviour,
        appended=kept if idle.behaviour == "persist" else None,
    )
