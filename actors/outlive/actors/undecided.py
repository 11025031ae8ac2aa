"""Commands whose write is on its way, and those that have to be decided once more.

A write that is refused fails alone: the command that was refused first gets the error. What was
decided upon it was refused with it, or was decided upon a state that never came about. That is
decided again, in order, once the stream was read anew; what arrives until then comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec
from pykka._envelope import Envelope

from outlive.actors.envelopes import Reply
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture
from outlive.events import Commit, Committed, Event, OpenEntry, StreamId
from outlive.events.logger import get_logger

_log = get_logger()


class Answer(msgspec.Struct, eq=False):
    """A reply that waits for a commit. A Struct: there are very many of them."""

    envelope: Envelope[Any]
    state: Any  # after the commit
    error: BaseException | None  # why the command was refused, in the place of an answer

    def give(self) -> None:
        """Answer the one who waits for it, if one does: the commit is acknowledged."""
        reply = cast("LoopFuture[Any] | None", self.envelope.reply_to)
        if reply is None:
            return
        if self.error is not None:
            reply.fail(self.error)
        else:
            reply.set(self.state)


class Pending(Answer, eq=False):
    """A commit on its way, and who waits for it."""

    events: tuple[Event, ...]
    entry: OpenEntry | None  # by the state
    waiting: list[Answer] = []  # decided upon this state, without events

    def acknowledge(self, committed: Committed) -> None:
        """Answer the one who waits for it, if one does, with the commit along."""
        if isinstance(self.envelope.reply_to, Reply):
            self.envelope.reply_to.committed = committed
        self.give()


class Undecided:
    """The commands of one actor that it has to decide again, and those that came meanwhile."""

    __slots__ = ("_again", "_held", "_stream", "refusal")

    def __init__(self, stream: StreamId) -> None:
        self._stream = stream
        self.refusal: BaseException | None = None  # of a write; set until all of them are settled
        self._again: list[Envelope[Any]] = []
        self._held: list[Envelope[Any]] = []  # arrived meanwhile

    def hold(self, envelope: Envelope[Any]) -> None:
        """Keep what arrives while writes are being refused."""
        self._held.append(envelope)

    def keep(self, envelope: Envelope[Any]) -> None:
        """Keep a command that nobody is told about: an outcome must not be lost."""
        self._again.append(envelope)

    def unwind(self, pending: Pending, commit: Commit) -> None:
        """A write was refused, this one or one before it.

        One that got in all the same is answered: its events are durable.
        """
        envelope, refused, committed = pending.envelope, commit.error, commit.outcome
        first = self.refusal is None
        if first:
            assert refused is not None
            self.refusal = refused
            _log.error("commit_refused", stream=self._stream, error=told(refused))
        if refused is None:
            assert committed is not None
            pending.acknowledge(committed)
        elif first and envelope.reply_to is not None:
            cast("LoopFuture[Any]", envelope.reply_to).fail(refused)
        else:
            self.keep(envelope)
        self._again += (answer.envelope for answer in pending.waiting)

    def settled(self) -> BaseException:
        """All writes are settled. Return what the first of them was refused with."""
        refusal, self.refusal = self.refusal, None
        assert refusal is not None
        return refusal

    def each(self) -> Iterator[Envelope[Any]]:
        """Yield all of them, in order, to be decided now. What is not taken stays."""
        self._again, self._held = [], [*self._again, *self._held]
        while self._held:
            yield self._held.pop(0)

    def take(self) -> list[Envelope[Any]]:
        """Return all of them, in order, and keep them no longer."""
        envelopes = [*self._again, *self._held]
        self._again, self._held = [], []
        return envelopes

    def fail(self, error: BaseException) -> None:
        """They are not decided any more: tell who waits for an answer."""
        for envelope in self.take():
            if envelope.reply_to is not None:
                cast("LoopFuture[Any]", envelope.reply_to).fail(error)


DECIDED: Final = Undecided(StreamId(""))
"""That of an actor with nothing to decide again, as nearly all are: one for all, always empty."""
