"""The thread as a kind of entity: what it needs from its runtime, and what comes of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

from outlive.actors.addresses import Addresses
from outlive.actors.entity import Entity, World
from outlive.actors.residents import Resident
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.commands import Effect, ThreadCommand, WakeThread
from outlive.actors.thread.entity import THREAD
from outlive.actors.thread.world import ThreadWorld
from outlive.events import OpenEntry, StreamId, ThreadState
from outlive.events.ids import id_of
from outlive.events.run.thread import BEGIN


class ThreadKind:
    """`Kind` of threads."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._all = surroundings

    @property
    def name(self) -> str:
        """The kind, as in the open table."""
        return "thread"

    @property
    def entity(self) -> Entity[ThreadState, ThreadCommand, Effect]:
        """The pure parts."""
        return THREAD

    def world(self, stream: StreamId) -> ThreadWorld:
        """Return what the effects of this thread are done to."""
        return ThreadWorld(id_of(stream), self._all)

    def missing(self, state: ThreadState) -> str:
        """Return what a thread needs and this runtime does not have: who is to answer on it."""
        active = state.active
        if active is None or active.agent_id in self._all.agents:
            return ""
        run = f"run-{active.run_id}"
        begins = any(one.subject == BEGIN and one.to == run for one in state.mail.outbox.values())
        return f"agent {active.agent_id!r} is not registered" if begins else ""

    def recover(
        self, state: ThreadState, running: frozenset[Effect], *, released: bool = False
    ) -> ThreadCommand:
        """A thread has only messages in flight: they are delivered again, and not settled."""
        return WakeThread(now_ns=self._all.clock.now_ns())

    def point(self, state: ThreadState) -> Hashable:
        """Return how far the thread has got."""
        return state.version

    def outdated(self, state: ThreadState) -> bool:
        """Whether something has changed that a thread must be told: nothing has."""
        return False

    def wake(self, now_ns: int) -> WakeThread:
        """Return the command for an instant that was waited for."""
        return WakeThread(now_ns=now_ns)

    def outcome(
        self,
        stream: StreamId,
        state: ThreadState,
        world: World[Effect],
        entry: OpenEntry | None,
    ) -> ThreadState:
        """Return what those get who wait until nothing goes on on the thread."""
        return state


ThreadResident: TypeAlias = Resident[ThreadState, ThreadCommand, Effect, ThreadState]
Threads: TypeAlias = Addresses[ThreadState, ThreadCommand, Effect, ThreadState]
