"""What lies in the mailbox of an entity's actor."""

from __future__ import annotations

from typing import Any, TypeVar

from pykka._envelope import Envelope

from outlive.actors.loop_actor import LoopFuture
from outlive.events import Committed, Position

S = TypeVar("S")


class Reply(LoopFuture[S]):
    """The state after a caller's command, and the commit that it has caused, if it has."""

    committed: Committed | None = None


class CommandEnvelope(Envelope[Any]):
    """A command in the mailbox, and the position that led to it.

    With a `command_id` it comes from the inbox: what comes of it, a refusal too, is recorded
    with that id.
    """

    __slots__ = ("cause", "command_id")

    def __init__(
        self,
        command: object,
        reply_to: LoopFuture[Any] | None = None,
        cause: Position | str | None = None,
        command_id: str | None = None,
    ) -> None:
        self.message = command  # Not by way of Pykka's own: there are very many of them.
        self.reply_to = reply_to
        self.cause = cause
        self.command_id = command_id


class MessageEnvelope(CommandEnvelope):
    """What another entity says. It waits for the acknowledgement, and can do nothing else.

    Its reply is a refusal only if the entity refuses it. Where something raises instead, that is
    the trouble of this entity: the message stays, and is decided upon again.
    """

    __slots__ = ()
