"""Where the entities of one kind live: brought into memory when needed, let go when idle.

An address is a stream id; it stays, actors come and go. Bringing an entity into memory settles
what was in flight (`residents`), and that is all there is to recovery: opening a log brings in
every entity whose row says that it owes something, and watches the clock for the others. They
leave it again by themselves, or stand still (`supervision`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from outlive.actors.envelopes import CommandEnvelope, MessageEnvelope
from outlive.actors.kind import STANDING
from outlive.actors.live import LiveEntity
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture, Mailbox, MailboxClosed
from outlive.actors.residents import Resident
from outlive.actors.supervision import Supervision
from outlive.events import LogError, OpenEntry, OutliveError, Position, StreamId
from outlive.events.logger import get_logger

_log = get_logger()
_AGAIN_NS: Final = 5_000_000_000
_CHUNK: Final = 32  # entities brought in before the loop gets its turn

S = TypeVar("S")
C = TypeVar("C")
X = TypeVar("X")
R = TypeVar("R")


class Addresses(Supervision[S, C, X, R]):
    """The entities of one kind, by stream: what others say to them and want of them."""

    @property
    def initial(self) -> S:
        """The state of an entity that has not begun: this very object."""
        return self._kind.entity.initial

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
                self._standing.seen(stream, entry)
            elif entry.owes or entry.status in STANDING:
                self._bring_in(stream)
            else:
                self._timers.set(stream, entry.wake_at_ns)
        if len(streams) > _CHUNK:
            self._loop.call_soon(self._bring_in_next, streams[_CHUNK:])

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

    def look_at(self, stream: StreamId) -> None:
        """Bring an entity in, to see whether it can go on, or as it has to go on soon.

        It leaves again by itself.
        """
        self._bring_in(stream)

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
                self._standing.hold_back(stream, envelope)
                return
            resident = self._bring_in_as_it_is(stream)
        if resident is None:
            reply.fail(MailboxClosed(f"{stream!r} takes no messages now"))
        else:
            resident.actor.mailbox.put(envelope)

    def _bring_in_as_it_is(self, stream: StreamId) -> Resident[S, C, X, R] | None:
        try:
            return self.at_as_it_is(stream)
        except LogError as error:
            _log.error("entity_not_read", stream=stream, error=told(error))
            return None

    def take_back(self, stream: StreamId, reply: LoopFuture[S]) -> None:
        """Forget the message with this reply, if it waits for the entity to go on."""
        self._standing.take_back(stream, reply)

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
        """An entity has to wait on for its turn, though the instant has come that it waits for.

        Or as others come first: it may leave memory, unless it is to `stay`.
        """
        resident = self._residents.get(stream)
        if resident is None or resident.rebuild is not None or stream in self._stay:
            return
        if not resident.actor.busy and not resident.actor.owed:
            self._let_go(stream, resident)

    def release(
        self, stream: StreamId, *, command_id: str | None = None
    ) -> LoopFuture[S] | OpenEntry | None:
        """Try once more with an entity that is quarantined; None if it is not.

        Returns a future that is set once it is on its way, durably, along with the reply to
        the command of this id; or the row of one that cannot be taken up now either.

        Raises:
            LogError: the log cannot be read now.
        """
        resident = self._residents.get(stream)
        if resident is not None:
            return self._release_here(stream, resident, command_id)
        standing = self._standing.row(stream) or self._log.open_entry(stream)
        if standing is None or standing.status != "quarantined":
            return None
        self._standing.forget(stream)
        world = self._kind.world(stream)
        actor = self._load(stream, world, Mailbox(self._mailbox_limit))
        if isinstance(actor, OpenEntry):
            return actor
        if command_id is None:
            actor.restore_row()  # Else it is restored along with the reply.
        recovered = self._recover(stream, actor, released=True, command_id=command_id)
        self._settle_in(stream, Resident(actor, world), recovers=True)
        return recovered

    def _release_here(
        self, stream: StreamId, resident: Resident[S, C, X, R], command_id: str | None
    ) -> LoopFuture[S] | OpenEntry | None:
        """The same for one in memory: it may have been brought in as it is, for a command."""
        before, actor = resident.stands, resident.actor
        if before is None or before.status != "quarantined":
            return None
        if actor.gone:  # It is being given up: who asks is told to ask again, once that is done.
            return self._recover(stream, actor, released=True, command_id=command_id)
        missing = self._kind.missing(actor.state)
        if missing:  # Once it has done what it was told, it is blocked.
            blocked = replace(before, status="blocked", reason=missing, try_again=False)
            resident.as_it_is = blocked
            actor.stay_as_it_is(blocked)
            return blocked
        resident.as_it_is = None
        if command_id is None:
            actor.restore_row()
        actor.go_on()
        recovered = self._recover(stream, actor, released=True, command_id=command_id)
        self._goes_on(stream)
        return recovered

    async def drain(self, deadline: float) -> None:
        """Wait until the messages that are there are decided, or the loop's time is `deadline`."""
        while self._loop.time() < deadline and any(
            resident.rebuild is None and not resident.actor.mailbox.empty()
            for resident in self._residents.values()
        ):
            turn: asyncio.Future[None] = self._loop.create_future()
            self._loop.call_soon(turn.set_result, None)
            await turn

    def close(self, error: OutliveError) -> None:
        """Let go of all. Who waits for an outcome gets `error`."""
        self._closed = True
        residents, self._residents = self._residents, {}
        for resident in residents.values():
            self._stop(resident)
        self._waiters.fail_all(error)


def _waits_for_others(entry: OpenEntry) -> bool:
    return not entry.owes and entry.wake_at_ns is None and entry.status not in STANDING
