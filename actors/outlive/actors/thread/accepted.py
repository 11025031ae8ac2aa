"""What the sender of a signal is told."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from outlive.actors.thread.answers import asked_on
from outlive.events import LogReader, RunId, SignalAction, SignalReceived, StreamId

AcceptedAction: TypeAlias = SignalAction | Literal["submitted"]


class SignalAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """A signal was taken, durably. `action` is what became of it at that moment.

    `delivered`: the run `run_id`, which is active, reads it with its next model call. `queued`: it
    waits, for the run `run_id` to go on, or to begin a run of that id in its turn. `woken`: it
    begins that run now. `persisted`: it is kept in the thread, and the next run sees it.
    `discarded`: it was dropped, as it was to be. `submitted`: it waits in the inbox, as no owner
    is up, or that one does not get to it.
    """

    signal_id: str
    action: AcceptedAction
    run_id: RunId | None = None


def accepted_by(log: LogReader, thread: StreamId, signal_id: str) -> SignalAccepted:
    """Return what became of a signal that a thread has taken."""
    taken = asked_on(log, thread, signal_id=signal_id)
    event = None if taken is None else taken.event
    assert isinstance(event, SignalReceived), "what was taken is in the log"
    run_id = event.delivered_to
    if not run_id and event.action in ("queued", "woken"):
        run_id = event.run_id
    return SignalAccepted(
        signal_id=signal_id, action=event.action, run_id=RunId(run_id) if run_id else None
    )
