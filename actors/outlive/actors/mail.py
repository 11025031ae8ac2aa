"""Delivering messages: from an entity's outbox to the address of another one.

A message that is outstanding is an effect, `Deliver`. Repeats of it are no-ops, so it needs no
settling after a crash: it is delivered again as it is, whenever its sender is brought in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from outlive.actors.effects import EffectTable
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.events import (
    Fenced,
    LogClosed,
    LogError,
    LogFailed,
    Mail,
    MessageDelivered,
    OutliveError,
    StreamId,
)
from outlive.events.ids import Position, kind_of
from outlive.events.logger import get_logger
from outlive.events.mail import due

_log = get_logger()
_FIRST_PAUSE: Final = 0.1  # seconds until a message is told again that could not be; each
_FACTOR: Final = 4  # further pause is so many times as long,
_LONGEST_PAUSE: Final = 60.0  # up to this


class Deliver(msgspec.Struct, frozen=True, gc=False, tag="deliver"):
    """An effect: a message is to be delivered."""

    sequence: int
    to: StreamId
    subject: str
    about: str = ""


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A command: the receiver has recorded a message, or has nothing to do with it."""

    sequence: int


def deliveries(mail: Mail) -> dict[Deliver, None]:
    """Return the messages that are outstanding, as effects."""
    if not mail.outbox:
        return {}
    return {
        Deliver(sequence, letter.to, letter.subject, letter.about): None
        for sequence, letter in due(mail).items()
    }


def acknowledged(mail: Mail, command: Acknowledge) -> tuple[MessageDelivered, ...]:
    """Return what follows from an acknowledgement; a repeat changes nothing."""
    letter = mail.outbox.get(command.sequence)
    if letter is None:
        return ()
    return (MessageDelivered(sequence=command.sequence, to=letter.to),)


class Addressees(Protocol):
    """The addresses of one kind of entity. Each kind has its own commands."""

    @property
    def initial(self) -> object:
        """The state of an entity that has not begun: this very object."""
        ...

    def send(
        self,
        stream: StreamId,
        command: Any,  # noqa: ANN401
        *,
        reply: LoopFuture[Any] | None = None,
        cause: Position | None = None,
    ) -> None:
        """Put a command into an entity's mailbox. See `Addresses.send`."""
        ...

    def deliver(
        self,
        stream: StreamId,
        message: Any,  # noqa: ANN401
        *,
        reply: LoopFuture[Any],
        cause: Position | None = None,
        ends: bool = False,
    ) -> None:
        """Put a message into an entity's mailbox. See `Addresses.deliver`."""
        ...

    def take_back(self, stream: StreamId, reply: LoopFuture[Any]) -> None:
        """Forget a message that an entity has not been given yet. See `Addresses.take_back`."""
        ...

    def look_at(self, stream: StreamId) -> None:
        """Bring an entity in. See `Addresses.look_at`."""
        ...

    def passed(self, stream: StreamId) -> None:
        """Let an entity leave memory. See `Addresses.passed`."""
        ...


class Post:
    """Brings commands and messages to entities of all kinds, wherever their actors are by now."""

    def __init__(self) -> None:
        self._kinds: dict[str, Addressees] = {}

    def serve(self, kind: str, addressees: Addressees) -> None:
        """From now on, find streams of this kind there."""
        self._kinds[kind] = addressees

    def send(
        self,
        stream: StreamId,
        command: object,
        *,
        reply: LoopFuture[Any] | None = None,
        cause: Position | None = None,
    ) -> None:
        """Put a command into an entity's mailbox. See `Addresses.send`."""
        self._kinds[kind_of(stream)].send(stream, command, reply=reply, cause=cause)

    def deliver(
        self,
        stream: StreamId,
        message: object,
        *,
        reply: LoopFuture[Any],
        cause: Position | None = None,
        ends: bool = False,
    ) -> None:
        """Put a message into an entity's mailbox. See `Addresses.deliver`."""
        self._kinds[kind_of(stream)].deliver(stream, message, reply=reply, cause=cause, ends=ends)

    def has_begun(self, stream: StreamId, state: object) -> bool:
        """Whether an entity has begun, by the state with which it has answered."""
        return state is not self._kinds[kind_of(stream)].initial

    def take_back(self, stream: StreamId, reply: LoopFuture[Any]) -> None:
        """Forget a message that an entity has not been given yet. See `Addresses.take_back`."""
        self._kinds[kind_of(stream)].take_back(stream, reply)

    def look_at(self, stream: StreamId) -> None:
        """Bring an entity in, before it is sent anything. See `Addresses.look_at`."""
        self._kinds[kind_of(stream)].look_at(stream)

    def passed(self, stream: StreamId) -> None:
        """Let an entity leave memory that nothing is sent to yet. See `Addresses.passed`."""
        self._kinds[kind_of(stream)].passed(stream)


@dataclass(frozen=True)
class Parcel:
    """What a message says: the receiver's command.

    `ends`: it also reaches an entity that stands still, as it has nothing to settle for it.
    In the place of an acknowledgement the sender is told what `answered` makes of the receiver's
    state after it, or what `refused` makes of its refusal.
    """

    command: object
    ends: bool = False
    answered: Callable[[Any], object] | None = None
    refused: Callable[[OutliveError], object] | None = None


Pack: TypeAlias = Callable[[], Parcel | Awaitable[Parcel]]


class Courier:
    """Carries the messages of one entity. Keeps nothing: it is made when there is a message."""

    def __init__(self, stream: StreamId, *, post: Post, effects: EffectTable) -> None:
        self._stream = stream
        self._post = post
        self._effects = effects
        self._loop = asyncio.get_running_loop()

    def start(self, message: Deliver, pack: Pack, cause: Position) -> None:
        """Deliver a message, unless that is being done.

        `pack` says what is in it, at once or in time; where that raises, it is asked again later.
        """
        running = self._effects.get(self._stream, message)
        if running is not None:
            if running.given_up:  # It is being cancelled: the entity has come back at once.
                running.task.add_done_callback(lambda _: self.start(message, pack, cause))
            return

        def again() -> None:
            if not self._effects.given_up(self._stream, message):
                self._effects.settle(self._stream, message)
                self.start(message, pack, cause)

        self._effects.start(
            self._stream,
            message,
            lambda: self._carry(message, pack, cause),
            failed=lambda _: self._again_soon(again),
            awaited=False,  # It is delivered at the next opening, and no doubt is left.
        )

    def _again_soon(self, again: Callable[[], None]) -> None:
        self._loop.call_later(_FIRST_PAUSE, again)

    async def _carry(self, message: Deliver, pack: Pack, cause: Position) -> None:
        """Deliver a message, and tell the sender's own actor once it has arrived."""
        outcome, pause = None, _FIRST_PAUSE
        while outcome is None:
            try:
                parcel = pack()
                if not isinstance(parcel, Parcel):
                    parcel = await parcel
                outcome = await self._tell(message, parcel, cause)
            except (Fenced, LogFailed, LogClosed):
                return  # Nothing can be recorded any more: it is delivered at the next opening.
            except Exception as error:  # noqa: BLE001  # whatever it is, the message stays owed
                _log.info("message_waits", stream=self._stream, to=message.to, reason=told(error))
                await self._wait(pause)
                pause = min(pause * _FACTOR, _LONGEST_PAUSE)
        self._effects.conclude(self._stream, message, outcome)
        self._post.send(self._stream, outcome, cause=cause)

    async def _tell(self, message: Deliver, parcel: Parcel, cause: Position) -> object:
        """Return what the sender's actor is told. Raises what is no answer of the receiver."""
        reply: LoopFuture[Any] = LoopFuture()
        self._post.deliver(message.to, parcel.command, reply=reply, cause=cause, ends=parcel.ends)
        try:
            state = await reply
        except asyncio.CancelledError:
            self._post.take_back(message.to, reply)  # A later one says otherwise.
            raise
        except (LogError, MailboxClosed):
            raise
        except OutliveError as error:
            _log.info("message_refused", stream=self._stream, to=message.to, reason=told(error))
            if parcel.refused is not None:
                return parcel.refused(error)
        else:
            if not self._post.has_begun(message.to, state):
                _log.info("message_without_receiver", stream=self._stream, to=message.to)
            if parcel.answered is not None:
                return parcel.answered(state)
        return Acknowledge(sequence=message.sequence)

    async def _wait(self, seconds: float) -> None:
        over: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_later(seconds, over.set_result, None)
        try:
            await over
        finally:
            timer.cancel()
