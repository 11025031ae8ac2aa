"""Where the entities of one kind live: brought into memory when needed, let go when idle.

An address is a stream id; it stays, actors come and go. Bringing an entity into memory means
reading its stream, and settling what was in flight when it last left memory (`Recover`)
before it takes any other command. That is all there is to recovery: opening a log brings in
every entity whose row says that it owes something, and watches the clock for the others.

One that owes nothing and of which nothing runs leaves memory, whatever it waits for: a row and
a timer are left of it. Those who wait for its outcome wait at the address.

An actor in which something raises where nobody is asked (deciding, a commit, an effect's
start) is thrown away, and after a while another one is brought in at its address, by that same
command. Mailbox, running effects and who waits for the outcome are the address's, and stay.
After five such failures at the same point the entity is quarantined.

An entity that cannot go on stands still, with the reason in its row of the open table:
`blocked` until what it needs is registered again, `quarantined` until somebody releases it.
One that a later release wrote is tried again at each opening: it may be that release.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

from outlive.actors.effects import EffectTable
from outlive.actors.entity import Exhausted, World
from outlive.actors.envelopes import CommandEnvelope, MessageEnvelope
from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.kind import STANDING, SUSPENDED, Kind
from outlive.actors.live import LiveEntity
from outlive.actors.logs import told
from outlive.actors.loop_actor import MAILBOX_LIMIT, LoopFuture, Mailbox, MailboxClosed
from outlive.actors.mail import Deliver
from outlive.actors.timers import Timers
from outlive.actors.trouble import is_of_a_later_release, is_the_streams, line
from outlive.actors.waiters import StandsStill, Waiters
from outlive.events import (
    EventLog,
    LogError,
    OpenEntry,
    OutliveError,
    Position,
    StreamId,
    Version,
    WrongExpectedVersion,
)
from outlive.events.logger import get_logger

_log = get_logger()
STAYS_NS: Final = 5_000_000_000
"""An entity that is woken within so many nanoseconds stays in memory until then.

Coming back means that its stream is read: 0.1 ms for a few events, some milliseconds for
hundreds. That is nothing beside a wait of five seconds, and too much for first retries, which
come after one or two, to thousands at once when a provider has a bad moment.
"""
_AGAIN_NS: Final = 5_000_000_000
_CHUNK: Final = 32  # entities brought in before the loop gets its turn
_MAX_FAILURES: Final = 5  # at one point, and no rebuild follows
_FIRST_DELAY: Final = 0.1  # seconds before the first rebuild; each further one waits longer
_FACTOR: Final = 4

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

    def count_failure(self, point: Hashable) -> None:
        """Note that the actor has failed when the entity had got this far."""
        self.failures = self.failures + 1 if point == self.point else 1
        self.point = point


class Addresses(Generic[S, C, X, R]):
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
    ) -> None:
        self._row_changed = row_changed
        self._save_every = save_every
        self._kind = kind
        self._mailbox_limit = mailbox_limit
        self._log = log
        self._effects = effects
        self._timers = timers
        self._loop = asyncio.get_running_loop()
        self._residents: dict[StreamId, Resident[S, C, X, R]] = {}
        self._standing: dict[StreamId, OpenEntry] = {}
        self._held_back: dict[StreamId, list[MessageEnvelope]] = {}  # messages to those
        self._waiters = Waiters[R]()  # for outcomes
        self._closed = False

    def bring_in_all(self, rows: Sequence[tuple[StreamId, OpenEntry]]) -> None:
        """Bring in the entities that owe something, some in each turn of the loop.

        Those that wait for somebody else, and for no instant, are left alone: they are brought in
        when that one comes.
        """
        self._bring_in_next([stream for stream, entry in rows if not _waits_for_others(entry)])

    def _bring_in_next(self, streams: Sequence[StreamId]) -> None:
        if self._closed:
            return
        for stream in streams[:_CHUNK]:
            entry = self._log.open_entry(stream)  # by now it may be another one
            if stream in self._residents or entry is None:
                continue
            if entry.status == "quarantined" and not entry.try_again:
                self._standing[stream] = entry
            elif entry.owes or entry.status in STANDING:
                self._bring_in(stream)
            else:
                self._timers.set(stream, entry.wake_at_ns)
        if len(streams) > _CHUNK:
            self._loop.call_soon(self._bring_in_next, streams[_CHUNK:])

    def _bring_in(self, stream: StreamId) -> Resident[S, C, X, R] | OpenEntry | None:
        """The same as `at`, for those who cannot do anything about a log that fails."""
        try:
            return None if self._closed else self.at(stream)
        except LogError as error:
            _log.error("entity_not_read", stream=stream, error=told(error))
            return None

    def live(self) -> list[LiveEntity]:
        """Return what is in memory, in the order in which it was brought in."""
        if not self._residents:  # A simulation looks after each step.
            return []
        return [
            LiveEntity(
                stream=stream,
                entity=self._kind.entity,
                state=resident.actor.state,
                version=resident.actor.version,
                busy=resident.actor.busy or resident.rebuild is not None,
                wake_at_ns=self._timers.at(stream),
                running=self._effects.of(stream),
                stands_still=resident.as_it_is is not None,
            )
            for stream, resident in self._residents.items()
        ]

    def resident(self, stream: StreamId) -> Resident[S, C, X, R] | None:
        """Return the entity if it is in memory."""
        return self._residents.get(stream)

    def look_at(self, stream: StreamId) -> None:
        """Bring an entity in, to see whether it can go on; it leaves again by itself."""
        self._bring_in(stream)

    def at(self, stream: StreamId) -> Resident[S, C, X, R] | OpenEntry:
        """Return the entity, brought into memory if need be; or the row that says why not.

        Raises:
            LogError: the log cannot be read now. A stream that cannot be is quarantined.
        """
        found = self._residents.get(stream)
        if found is not None:
            return found
        standing = self._standing.get(stream)
        if standing is not None and standing.status == "quarantined":
            return standing
        world = self._kind.world(stream)
        actor = self._load(stream, world, Mailbox(self._mailbox_limit))
        if isinstance(actor, OpenEntry):
            self._waiters.fail(stream, StandsStill(actor))
            return actor
        return self._settle_in(stream, Resident(actor, world))

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
            return self._mark(
                stream, "quarantined", str(error), version, try_again=is_of_a_later_release(error)
            )
        if missing:
            return self._mark(stream, "blocked", missing, actor.version)
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
        self._standing.pop(stream, None)
        if stream in self._held_back:
            self._loop.call_soon(self._hand_on, stream)  # What brings it in comes first.

    def _actor(
        self, stream: StreamId, world: World[X], mailbox: Mailbox
    ) -> EventSourcedActor[S, C, X]:
        heard = self._row_changed
        return EventSourcedActor(
            stream,
            self._kind.entity,
            self._log,
            world,
            wake_at=self._timers.set,
            idle=lambda: self._idle(stream),
            broken=lambda error: self._broken(stream, error),
            save_every=self._save_every,
            mailbox=mailbox,
            row_changed=None if heard is None else lambda entry: heard(stream, entry),
        )

    def at_as_it_is(self, stream: StreamId) -> Resident[S, C, X, R]:
        """Bring in an entity that stands still, and settle nothing: for a command that needs that.

        Afterwards it stands still again, unless it is over, or what it lacked is there.

        Raises:
            LogError: its stream cannot be read.
        """
        world = self._kind.world(stream)
        actor = self._actor(stream, world, Mailbox(self._mailbox_limit))
        actor.load()
        standing = self._standing.pop(stream, None) or self._log.open_entry(stream)
        resident = self._residents[stream] = Resident(actor, world)
        resident.as_it_is = standing
        actor.stay_as_it_is()
        actor.run()
        return resident

    def deliver(
        self,
        stream: StreamId,
        message: C,
        *,
        reply: LoopFuture[S],
        cause: Position | None = None,
        ends: bool = False,
    ) -> None:
        """Put what another entity says into the mailbox, as `send` does with a command.

        Where the entity stands still, the message waits until it goes on; one that `ends` it
        reaches it all the same, as it has nothing to settle for that.
        """
        envelope = MessageEnvelope(message, reply, cause)
        resident = self._bring_in(stream)
        if isinstance(resident, OpenEntry):
            if not ends:
                self._held_back.setdefault(stream, []).append(envelope)
                return
            resident = self._bring_in_as_it_is(stream)
        if resident is None:
            reply.fail(MailboxClosed(f"{stream!r} takes no messages now"))
        else:
            resident.actor.mailbox.put(envelope)

    def take_back(self, stream: StreamId, reply: LoopFuture[S]) -> None:
        """Forget the message with this reply, if it waits for the entity to go on."""
        held_back = self._held_back.get(stream, [])
        held_back[:] = [envelope for envelope in held_back if envelope.reply_to is not reply]

    def _hand_on(self, stream: StreamId) -> None:
        """An entity goes on that stood still: it is given what has waited for that."""
        resident = self._bring_in(stream)  # It may have left memory since.
        if isinstance(resident, Resident):
            for envelope in self._held_back.pop(stream, ()):
                resident.actor.mailbox.put(envelope)

    def _bring_in_as_it_is(self, stream: StreamId) -> Resident[S, C, X, R] | None:
        try:
            return self.at_as_it_is(stream)
        except LogError as error:
            _log.error("entity_not_read", stream=stream, error=told(error))
            return None

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

    @property
    def initial(self) -> S:
        """The state of an entity that has not begun: this very object."""
        return self._kind.entity.initial

    def send(
        self,
        stream: StreamId,
        command: C,
        *,
        reply: LoopFuture[S] | None = None,
        cause: Position | None = None,
    ) -> None:
        """Put a command into the mailbox of an entity, brought into memory if need be.

        Where it stands still, or all is closed, the command is dropped and the reply fails.
        """
        resident = self._residents.get(stream) or self._bring_in(stream)
        if isinstance(resident, Resident):
            resident.actor.mailbox.put(CommandEnvelope(command, reply, cause))
            return
        _log.info("command_dropped", stream=stream, command=type(command).__name__)
        if reply is not None:
            reply.fail(MailboxClosed(f"{stream!r} takes no commands now"))

    def outcome(self, stream: StreamId) -> asyncio.Future[R]:
        """Return a future of the outcome of an open entity, set when it is over or suspended.

        It need not be in memory, and may come and go, unless it stands still. The future fails
        with StandsStill if it cannot be brought in again.
        """
        resident = self._residents.get(stream)
        if resident is not None:
            self._loop.call_soon(resident.actor.tell_if_idle)  # It may have come to it already.
        return self._waiters.add(stream)

    def wake(self, stream: StreamId, now_ns: int) -> None:
        """An instant that the entity waits for has come."""
        resident = self._bring_in(stream)
        if isinstance(resident, Resident):
            resident.actor.tell(self._kind.wake(now_ns))
        elif resident is None and not self._closed:
            self._timers.set(stream, now_ns + _AGAIN_NS)  # The log may be read again then.

    def passed(self, stream: StreamId) -> None:
        """The instant that an entity waits for has come, and it has to wait on for its turn."""
        resident = self._residents.get(stream)
        if resident is None or resident.rebuild is not None:
            return
        if not resident.actor.busy and not resident.actor.owed:
            self._let_go(stream, resident)

    def close(self, error: OutliveError) -> None:
        """Let go of all. Who waits for an outcome gets `error`."""
        self._closed = True
        residents, self._residents = self._residents, {}
        for resident in residents.values():
            self._stop(resident)
        self._waiters.fail_all(error)

    async def drain(self, deadline: float) -> None:
        """Wait until the messages that are there are decided, or the loop's time is `deadline`."""
        while self._loop.time() < deadline and any(
            resident.rebuild is None and not resident.actor.mailbox.empty()
            for resident in self._residents.values()
        ):
            turn: asyncio.Future[None] = self._loop.create_future()
            self._loop.call_soon(turn.set_result, None)
            await turn

    def release(
        self, stream: StreamId, *, command_id: str | None = None
    ) -> LoopFuture[S] | OpenEntry | None:
        """Try once more with an entity that is quarantined; None if it is not.

        Returns a future that is set once it is on its way, durably, along with the reply to
        the command of this id; or the row of one that cannot be taken up now either.

        Raises:
            LogError: the log cannot be read now.
        """
        standing = self._standing.get(stream) or self._log.open_entry(stream)
        if stream in self._residents or standing is None or standing.status != "quarantined":
            return None
        self._standing.pop(stream, None)
        world = self._kind.world(stream)
        actor = self._load(stream, world, Mailbox(self._mailbox_limit))
        if isinstance(actor, OpenEntry):
            return actor
        if command_id is None:
            actor.restore_row()  # Else it is restored along with the reply.
        recovered = self._recover(stream, actor, released=True, command_id=command_id)
        self._settle_in(stream, Resident(actor, world), recovers=True)
        return recovered

    @staticmethod
    def _stop(resident: Resident[S, C, X, R]) -> None:
        if resident.rebuild is not None:
            resident.rebuild.cancel()
            resident.rebuild = None
        resident.actor.stop_now()

    def _idle(self, stream: StreamId) -> None:
        """Nothing is on its way: tell who waits for the outcome; have it leave memory if it may.

        It may if its row owes nothing and no effect of it runs, not even one that was given up
        and goes on in a thread: whoever needs it again brings it in, and the clock is watched
        for it. What is woken soon stays: see `STAYS_NS`.
        """
        resident = self._residents.get(stream)
        if resident is None:
            return
        entry = resident.actor.entry
        if resident.as_it_is is not None and self._stands_again(stream, resident, entry):
            return
        if entry is None or entry.over or entry.status == SUSPENDED:
            self._answer(stream, resident, None)
        if entry is None or not (entry.owes or self._is_woken_soon(stream, entry)):
            self._let_go(stream, resident)

    def _stands_again(
        self, stream: StreamId, resident: Resident[S, C, X, R], entry: OpenEntry | None
    ) -> bool:
        """One that was brought in as it is has done what it was told: whether that was all."""
        before, over = resident.as_it_is, entry is None or entry.over
        missing = self._kind.missing(resident.actor.state)
        quarantined = before is not None and before.status == "quarantined" and not over
        if not missing and not quarantined:
            resident.as_it_is = None
            try:
                resident.actor.restore_row()
            except LogError as error:
                self._broken(stream, error)
                return True
            resident.actor.go_on()
            if resident.actor.unsettled:
                self._recover(stream, resident.actor)
            self._hand_on(stream)
            return resident.actor.busy
        if self._effects.any(stream):
            self._effects.when_none(stream, resident.actor.tell_if_idle)
            return not over
        if missing:
            self._stand_still(stream, "blocked", missing)
        elif before is not None:
            self._stand_still(stream, "quarantined", before.reason, try_again=before.try_again)
        return True

    def _is_woken_soon(self, stream: StreamId, entry: OpenEntry) -> bool:
        if entry.wake_at_ns is None:
            return False
        left_ns = self._timers.left_ns(stream)
        return left_ns is None or left_ns < STAYS_NS

    def _let_go(self, stream: StreamId, resident: Resident[S, C, X, R]) -> None:
        if self._effects.any(stream):
            self._effects.when_none(stream, resident.actor.tell_if_idle)
            return
        del self._residents[stream]
        resident.actor.stop_now()

    def _answer(
        self, stream: StreamId, resident: Resident[S, C, X, R], entry: OpenEntry | None
    ) -> None:
        self._waiters.answer(
            stream,
            lambda: self._kind.outcome(stream, resident.actor.state, resident.world, entry),
        )

    def _broken(self, stream: StreamId, error: BaseException) -> None:
        """An actor cannot go on: it is thrown away, and another one takes its place if it may."""
        resident = self._residents.get(stream)
        if self._closed or resident is None:
            return
        if not is_the_streams(error):
            _log.error("entity_broken", stream=stream, error=told(error))
            del self._residents[stream]
            self._stop(resident)
            # The log's trouble: those that are not in memory would never hear of it.
            self._waiters.fail_all(error, but=self._residents)
        elif isinstance(error, LogError):
            _log.error("entity_broken", stream=stream, error=told(error))
            self._stand_still(
                stream, "quarantined", line(error), try_again=is_of_a_later_release(error)
            )
        elif resident.rebuild is None:
            self._supervise(stream, resident, error)

    def _supervise(
        self, stream: StreamId, resident: Resident[S, C, X, R], error: BaseException
    ) -> None:
        """Something has raised in an actor: rebuild it after a while, or quarantine the entity."""
        resident.count_failure(self._kind.point(resident.actor.state))
        failures = resident.failures
        _log.error("entity_broken", stream=stream, failures=failures, error=told(error))
        if failures >= _MAX_FAILURES:
            reason = f"failed {failures} times without getting any further: {line(error)}"
            self._stand_still(stream, "quarantined", reason)
            return
        resident.actor.detach()
        delay = _FIRST_DELAY * _FACTOR ** (failures - 1)
        resident.rebuild = self._loop.call_later(delay, self._drain_and_rebuild, stream, resident)

    def _drain_and_rebuild(self, stream: StreamId, resident: Resident[S, C, X, R]) -> None:
        resident.actor.when_drained(lambda: self._rebuild(stream, resident))

    def _rebuild(self, stream: StreamId, resident: Resident[S, C, X, R]) -> None:
        """Bring in another actor at the address. All commits of the one before are settled."""
        if self._closed or self._residents.get(stream) is not resident:
            return
        try:
            actor = self._load(stream, resident.world, resident.actor.mailbox)
            if isinstance(actor, OpenEntry):
                self._leave(stream, resident, actor)
                return
            resident.actor, resident.rebuild = actor, None
            self._settle_in(stream, resident)
        except LogError as error:
            self._broken(stream, error)

    def _stand_still(
        self, stream: StreamId, status: str, reason: str, *, try_again: bool = False
    ) -> None:
        """Take an entity out of memory, with the reason in its row."""
        resident = self._residents[stream]
        version = resident.actor.version
        try:
            entry = self._mark(stream, status, reason, version, try_again=try_again)
        except LogError as error:
            self._broken(stream, error)
        else:
            self._leave(stream, resident, entry)

    def _leave(self, stream: StreamId, resident: Resident[S, C, X, R], entry: OpenEntry) -> None:
        """An entity whose row says that it stands still leaves memory."""
        del self._residents[stream]
        self._stop(resident)
        for effect in self._effects.in_order(stream):
            resident.world.give_up(effect)
        self._answer(stream, resident, entry)

    def _mark(
        self,
        stream: StreamId,
        status: str,
        reason: str,
        version: Version,
        *,
        try_again: bool = False,
    ) -> OpenEntry:
        """Say in the entity's row that it stands still, and why.

        `version` is the stream's, with the commits that are on their way.
        """
        before = self._log.open_entry(stream)
        entry = OpenEntry(
            kind=self._kind.name,
            status=status,
            wake_at_ns=None if before is None else before.wake_at_ns,
            owes=before is None or before.owes,
            reason=reason,
            try_again=try_again,
            summary={} if before is None else before.summary,
        )
        if self._standing.get(stream) == entry:
            return entry
        self._standing[stream] = entry
        self._timers.set(stream, None)
        _log.warning("entity_stands_still", stream=stream, status=status, reason=reason)
        if entry != before:
            self._log.append(stream, (), expected_version=version, entry=entry)
        if self._row_changed is not None:
            self._row_changed(stream, entry)
        return entry


def _waits_for_others(entry: OpenEntry) -> bool:
    return not entry.owes and entry.wake_at_ns is None and entry.status not in STANDING
