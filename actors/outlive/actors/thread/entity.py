"""The thread as an entity: its pure parts, put together for the shell."""

from __future__ import annotations

from typing import Final

from outlive.actors.entity import PureParts
from outlive.actors.mail import deliveries
from outlive.actors.thread.commands import Effect
from outlive.actors.thread.decide import decide
from outlive.actors.thread.rows import summary_of
from outlive.actors.thread.turns import comes_back
from outlive.events import OpenEntry, ThreadState
from outlive.events.thread import evolve


def outstanding(state: ThreadState) -> dict[Effect, None]:
    """Return what the thread owes: messages to the runs on it."""
    return deliveries(state.mail)


def open_entry(state: ThreadState) -> OpenEntry | None:
    """Return the thread's row of the open table; None while nothing goes on on it."""
    owes = bool(state.mail.outbox)
    if state.active is None and not owes:
        return None  # Then nothing waits either: it would be for what comes back.
    expiries = [one.expires_at_ns for one in state.queue if one.expires_at_ns is not None]
    return OpenEntry(
        kind="thread",
        status="active" if state.active is not None or comes_back(state) else "idle",
        wake_at_ns=min(expiries, default=None),
        owes=owes,
        summary=summary_of(state),
    )


THREAD: Final = PureParts(
    initial=ThreadState(),
    decide=decide,
    evolve=evolve,
    outstanding=outstanding,
    open_entry=open_entry,
    edition=1,
    lasts=True,
)
