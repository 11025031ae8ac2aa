"""How entities of one kind are brought into memory.

That means reading their stream, and settling what was in flight when they last left memory
(`Recover`) before they take any other command. One that stands still is not brought in, but for
a command that needs it as it is.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Hashable
from typing import Generic, TypeVar

from outlive.actors.effects import EffectTable
from outlive.actors.entity import Exhausted, World
from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.kind import Kind
from outlive.actors.logs import told
from outlive.actors.loop_actor import MAILBOX_LIMIT, LoopFuture, Mailbox, MailboxClosed
from outlive.actors.mail import Deliver
from outlive.actors.standing import Standing
from outlive.actors.timers import Timers
from outlive.actors.trouble import is_of_a_later_release, is_the_streams
from outlive.actors.waiters import StandsStill, Waiters
from outlive.events import EventLog, LogError, OpenEntry, StreamId, WrongExpectedVersion
from outlive.events.logger import get_logger

_log = get_logger()

S = TypeVar("S")
C = TypeVar("C")
X = TypeVar("X")
R = TypeVar("R")


class Resident(Generic[S, C, X, R]):
    """An entity in memory. While `rebuild` is set, its actor is broken and another one is due."""

    __slots__ = ("actor", "as_it_is", "failures", "point", "rebuild", "world")

    def __init__(self, actor: EventSourcedActor[S, C, X], world: World[X]) -> None:
        self.actor = actor
        self.world = world
        # The row of one that stands still, and was brought in for a command all the same.
        self.as_it_is: OpenEntry | None = None
        self.failures = 0  # in a row, at `point`
        self.point: Hashable = None
        self.rebuild: asyncio.TimerHandle | None = None

    @property
    def stands(self) -> OpenEntry | None:
        """The row that says why it stands still, for all but that command; None if it goes on."""
        entry = self.actor.entry
        return None if entry is None or entry.over else self.as_it_is

    def count_failure(self, point: Hashable) -> None:
        """Note that the actor has failed when the entity had got this far."""
        self.failures = self.failures + 1 if point == self.point else 1
        self.point = point


class Residents(ABC, Generic[S, C, X, R]):
    """The entities of one kind that are in memory, by stream, on one event loop."""

    def __init__(
        self,
        kind: Kind[S, C, X, R],
        log: EventLog,
        effects: EffectTable,
        timers: Timers,
        *,
        save_every: int | None = None,
        mailbox_limit: int = MAILBOX_LIMIT,
        row_changed: Callable[[StreamId, OpenEntry | None], None] | None = None,
        stay: Container[StreamId] = (),
    ) -> None:
        """Prepare for entities of a kind. Those in `stay` do not leave memory while they wait."""
        self._kind = kind
        self._stay = stay
        self._row_changed = row_changed
        self._save_every = save_every
        self._mailbox_limit = mailbox_limit
        self._log = log
        self._effects = effects
        self._timers = timers
        self._loop = asyncio.get_running_loop()
        # Bound once: very many actors are told of the same methods.
        self._wake_at, self._tell_idle, self._tell_broken = timers.set, self._idle, self._broken
        self._residents: dict[StreamId, Resident[S, C, X, R]] = {}
        self._standing = Standing(kind.name, log, timers, row_changed)
        self._waiters = Waiters[R]()  # for outcomes
        self._closed = False

    def resident(self, stream: StreamId) -> Resident[S, C, X, R] | None:
        """Return the entity if it is in memory."""
        return self._residents.get(stream)

    def at(self, stream: StreamId) -> Resident[S, C, X, R] | OpenEntry:
        """Return the entity, brought into memory if need be; or the row that says why not.

        Raises:
            LogError: the log cannot be read now. A stream that cannot be is quarantined.
        """
        found = self._residents.get(stream)
        if found is not None:
            return found.stands or found
        standing = self._standing.row(stream)
        if standing is not None and standing.status == "quarantined":
            return standing
        world = self._kind.world(stream)
        actor = self._load(stream, world, Mailbox(self._mailbox_limit))
        if isinstance(actor, OpenEntry):
            self._waiters.fail(stream, StandsStill(actor))
            return actor
        return self._settle_in(stream, Resident(actor, world))

    def _bring_in(self, stream: StreamId) -> Resident[S, C, X, R] | OpenEntry | None:
        """The same as `at`, for those who cannot do anything about a log that fails."""
        try:
            return None if self._closed else self.at(stream)
        except LogError as error:
            _log.error("entity_not_read", stream=stream, error=told(error))
            return None

    def _load(
        self, stream: StreamId, world: World[X], mailbox: Mailbox
    ) -> EventSourcedActor[S, C, X] | OpenEntry:
        """Return an actor that knows its stream; or the row that says why there can be none."""
        actor = self._actor(stream, world, mailbox)
        try:
            actor.load()
            missing = self._kind.missing(actor.state)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not is_the_streams(error):
                raise
            version = self._log.version(stream)
            return self._standing.mark(
                stream, "quarantined", str(error), version, try_again=is_of_a_later_release(error)
            )
        if missing:
            return self._standing.mark(stream, "blocked", missing, actor.version)
        return actor

    def _settle_in(
        self, stream: StreamId, resident: Resident[S, C, X, R], *, recovers: bool = False
    ) -> Resident[S, C, X, R]:
        """Let an actor that was loaded begin; `recovers`: that is its first command already.

        Raises:
            LogError: the log takes no appends.
        """
        self._goes_on(stream)
        self._residents[stream] = resident
        actor = resident.actor
        for effect in self._effects.in_order(stream):
            if effect not in actor.owed:  # Recorded by the actor before, which broke then.
                resident.world.give_up(effect)
        if not recovers:
            if actor.unsettled or self._kind.outdated(actor.state):
                self._recover(stream, actor)
            else:
                actor.restore_row()
        if actor.owed:
            for outcome in self._effects.outcomes(stream):
                actor.tell(outcome)
        actor.run()
        return resident

    def _goes_on(self, stream: StreamId) -> None:
        self._standing.forget(stream)
        if self._standing.holds_back(stream):
            self._loop.call_soon(self._hand_on, stream)  # What brings it in comes first.

    def _hand_on(self, stream: StreamId) -> None:
        """An entity goes on that stood still: it is given what has waited for that."""
        resident = self._bring_in(stream)  # It may have left memory since.
        if isinstance(resident, Resident):
            for envelope in self._standing.hand_out(stream):
                resident.actor.mailbox.put(envelope)

    def _actor(
        self, stream: StreamId, world: World[X], mailbox: Mailbox
    ) -> EventSourcedActor[S, C, X]:
        return EventSourcedActor(
            stream,
            self._kind.entity,
            self._log,
            world,
            wake_at=self._wake_at,
            idle=self._tell_idle,
            broken=self._tell_broken,
            save_every=self._save_every,
            mailbox=mailbox,
            row_changed=self._row_changed,
        )

    def at_as_it_is(self, stream: StreamId) -> Resident[S, C, X, R]:
        """Bring in an entity that stands still, and settle nothing: for a command that needs that.

        Afterwards it stands still again, unless it is over, or what it lacked is there.

        Raises:
            LogError: its stream cannot be read.
        """
        found = self._residents.get(stream)
        if found is not None:
            return found  # For another command, which it has not done yet.
        world = self._kind.world(stream)
        actor = self._actor(stream, world, Mailbox(self._mailbox_limit))
        actor.load()
        standing = self._standing.forget(stream) or self._log.open_entry(stream)
        resident = self._residents[stream] = Resident(actor, world)
        resident.as_it_is = standing
        actor.stay_as_it_is(standing)
        actor.run()
        return resident

    def _recover(
        self,
        stream: StreamId,
        actor: EventSourcedActor[S, C, X],
        *,
        released: bool = False,
        command_id: str | None = None,
    ) -> LoopFuture[S]:
        """Settle what was in flight: the first command of an actor that was loaded."""
        running: frozenset[X] = frozenset(
            effect for effect in self._effects.of(stream) if not isinstance(effect, Deliver)
        )
        command = self._kind.recover(actor.state, running, released=released)
        recovered = actor.ask_first(command, command_id=command_id)

        def look() -> None:
            try:
                recovered.get()
            except Exhausted as error:
                self._stand_still(stream, "quarantined", str(error))
            except WrongExpectedVersion:
                # Nothing would be done about what was in flight. By now the stream is read anew.
                if not actor.gone:
                    self._recover(stream, actor, released=released, command_id=command_id)
            except (LogError, MailboxClosed):
                pass  # `_broken` has been told.
            except BaseException as error:  # noqa: BLE001  # one entity's trouble is not the others'
                self._broken(stream, error)

        recovered.when_set(look)
        return recovered

    @abstractmethod
    def _idle(self, stream: StreamId) -> None:
        """Nothing is on its way for an entity in memory."""

    @abstractmethod
    def _broken(self, stream: StreamId, error: BaseException) -> None:
        """The actor of an entity in memory cannot go on."""

    @abstractmethod
    def _stand_still(
        self, stream: StreamId, status: str, reason: str, *, try_again: bool = False
    ) -> None:
        """Take an entity out of memory, with the reason in its row."""
