"""The thread as an entity: its pure parts, put together for the shell."""

from __future__ import annotations

from typing import Final, cast

from outlive.actors.mail import deliveries
from outlive.actors.thread.commands import Effect, ThreadCommand
from outlive.actors.thread.decide import decide
from outlive.actors.thread.rows import summary_of
from outlive.actors.thread.turns import comes_back
from outlive.events import Event, OpenEntry, ThreadEvent, ThreadState
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


_INITIAL: Final = ThreadState()


class ThreadEntity:
    """`Entity` of threads."""

    @property
    def initial(self) -> ThreadState:
        """See `outlive.events.ThreadState`."""
        return _INITIAL

    @property
    def edition(self) -> int:
        """See `Entity.edition`."""
        return 1

    @property
    def lasts(self) -> bool:
        """See `Entity.lasts`."""
        return True

    def decide(self, state: ThreadState, command: ThreadCommand) -> tuple[ThreadEvent, ...]:
        """See `outlive.actors.thread.decide`."""
        return decide(state, command)

    def evolve(self, state: ThreadState, event: Event) -> ThreadState:
        """See `outlive.events.thread.evolve`."""
        return evolve(state, cast("ThreadEvent", event))

    def outstanding(self, state: ThreadState) -> dict[Effect, None]:
        """See `outstanding`."""
        return outstanding(state)

    def open_entry(self, state: ThreadState) -> OpenEntry | None:
        """See `open_entry`."""
        return open_entry(state)


THREAD: Final = ThreadEntity()
