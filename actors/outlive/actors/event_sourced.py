"""The one shell: decide, evolve, append, and after the commit act, reply, publish.

State advances at once, so that the next command is decided without waiting for the disk and
many commits share a flush. Everything that can be seen from outside waits: effects, replies
(of queries and refusals too) and observers come only after the actor's last pending commit is
acknowledged. So nobody ever sees what a crash could take back.

The crash windows, one by one:

- before the append: nothing happened.
- appended, not committed: nothing happened; no effect was started, nobody was answered.
- committed, effect not started: the state after the commit owes it; recovery takes it up.
- effect running or done, outcome not committed: the effect is in doubt; `Recover` decides by
  the policy of the call, in the same commit that records the recovery.

A write that is refused fails alone. The commands that were decided upon it are decided again,
in order and ahead of the mailbox, after the stream was read anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast

import structlog
from msgspec import UNSET
from pykka._envelope import Envelope

from outlive.actors.entity import Entity, S, World, X
from outlive.actors.loop_actor import LoopActor, LoopFuture
from outlive.events import (
    Commit,
    Event,
    EventLog,
    LogError,
    OpenEntry,
    Position,
    StreamId,
    Version,
    WrongExpectedVersion,
)
from outlive.events.ids import NO_POSITION, NO_VERSION

_log = structlog.stdlib.get_logger("outlive")
_PAGE: Final = 1_000

C = TypeVar("C")


class CommandEnvelope(Envelope[Any]):
    """A command in the mailbox, and the position that led to it."""

    __slots__ = ("cause",)

    def __init__(
        self,
        command: object,
        reply_to: LoopFuture[Any] | None = None,
        cause: Position | None = None,
    ) -> None:
        super().__init__(command, reply_to)
        self.cause = cause


class _Pending(Generic[S]):
    """A commit on its way, and who waits for it."""

    __slots__ = ("envelope", "events", "replies", "state")

    def __init__(self, envelope: Envelope[Any], events: tuple[Event, ...], state: S) -> None:
        self.envelope = envelope
        self.events = events
        self.state = state  # after the commit
        self.replies: list[tuple[LoopFuture[Any], object, BaseException | None]] = []


class EventSourcedActor(LoopActor, Generic[S, C, X]):
    """An entity's actor. Its only writer, and all that it knows is in its stream.

    A command is answered with the state after it.
    """

    def __init__(
        self,
        stream: StreamId,
        entity: Entity[S, C, X],
        log: EventLog,
        world: World[X],
        *,
        wake_at: Callable[[StreamId, int | None], None],
        at_rest: Callable[[], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        """Prepare the actor of `stream`.

        `wake_at` is told when it wants to be woken. `at_rest` is called when it is over, or
        never began, and nothing is on its way; `broken` when it cannot go on: the log failed,
        or an outcome could not be recorded. Both expect that it is stopped then.
        """
        super().__init__(stream)
        self.stream: Final = stream
        self._entity = entity
        self._log = log
        self._world = world
        self._wake_at = wake_at
        self._at_rest = at_rest
        self._broken = broken
        self._state: S = entity.initial
        self._version = NO_VERSION
        self._entry: OpenEntry | None = None
        self._wake_at_ns: int | None = None
        self._owed: dict[X, None] = {}
        self._read_to: Position = NO_POSITION
        self._pending: deque[_Pending[S]] = deque()
        self._again: deque[Envelope[Any]] | None = None  # set while writes are being refused

    @property
    def state(self) -> S:
        """The state after the last decided command; its commit may be on its way."""
        return self._state

    @property
    def version(self) -> Version:
        """The version after the last decided command."""
        return self._version

    @property
    def busy(self) -> bool:
        """Whether something is on its way: a commit or a message."""
        return bool(self._pending) or not self.mailbox.empty()

    @property
    def owes(self) -> bool:
        """Whether an effect is outstanding."""
        return bool(self._owed)

    def tell(self, command: C, *, cause: Position | None = None) -> None:
        """Send a command, from the loop. Raises MailboxClosed when the actor has stopped."""
        self.mailbox.put(CommandEnvelope(command, None, cause))

    def ask(self, command: C, *, cause: Position | None = None) -> LoopFuture[S]:
        """Send a command and return a future of the state after it."""
        reply = LoopFuture[S]()
        self.mailbox.put(CommandEnvelope(command, reply, cause))
        return reply

    def stop_now(self) -> None:
        """Stop: messages are refused from now on. Call it on the loop."""
        if not self.actor_stopped.is_set():
            self._stop()

    def load(self) -> None:
        """Read the stream and fold it. Call it before `run`.

        Raises:
            CorruptLog, NewerFormat: the stream cannot be read; nothing is guessed at.
        """
        state, version, read_to = self._entity.initial, NO_VERSION, NO_POSITION
        self._world.reset()
        while True:
            page = self._log.read(self.stream, after=version, limit=_PAGE)
            if not page:
                break
            for recorded in page:
                state = self._entity.evolve(state, recorded.event)
            self._world.committed([recorded.event for recorded in page])
            version, read_to = page[-1].version, page[-1].position
            if len(page) < _PAGE:
                break
        self._state, self._version, self._read_to = state, version, read_to
        self._entry = self._log.open_entry(self.stream)
        self._owed = self._entity.outstanding(state)
        entry = self._entity.open_entry(state)
        self._watch(entry)

    def _process(self, envelope: Envelope[Any]) -> None:
        if self._again is not None:
            self._again.append(envelope)
            return
        reply = cast("LoopFuture[Any] | None", envelope.reply_to)
        try:
            events = self._entity.decide(self._state, cast("C", envelope.message))
            state = self._state
            for event in events:
                state = self._entity.evolve(state, event)
            if not events:
                if reply is not None:
                    self._answer(reply, state, None)
                return
            entry = self._entity.open_entry(state)
            commit = self._log.append(
                self.stream,
                events,
                expected_version=self._version,
                cause=getattr(envelope, "cause", None),
                entry=UNSET if entry == self._entry else entry,
            )
        except BaseException as error:  # noqa: BLE001  # nothing was written; who asked is told
            if reply is not None:
                self._answer(reply, None, error)
            else:
                self._broken(error)
            return
        self._state, self._entry = state, entry
        self._version = Version(self._version + len(events))
        self._pending.append(_Pending(envelope, events, state))
        commit.then(self._settled)

    def _answer(self, reply: LoopFuture[Any], value: object, error: BaseException | None) -> None:
        """Answer once the last pending commit is acknowledged."""
        if self._pending:
            self._pending[-1].replies.append((reply, value, error))
        else:
            _reply(reply, value, error)

    def _settled(self, commit: Commit) -> None:
        """The oldest pending commit is acknowledged or refused."""
        pending = self._pending.popleft()
        if commit.outcome is None:
            self._refused(pending, commit.error)
            return
        self._world.committed(pending.events)
        self._act(pending.state, commit.outcome.position)
        reply = cast("LoopFuture[Any] | None", pending.envelope.reply_to)
        if reply is not None:
            reply.set(pending.state)
        for waiting, value, error in pending.replies:
            _reply(waiting, value, error)
        self._rest_if_over()

    def _drain(self) -> None:
        super()._drain()
        self._rest_if_over()

    def _rest_if_over(self) -> None:
        if self._entry is None and not self.busy and not self.actor_stopped.is_set():
            self._at_rest()

    def _act(self, state: S, cause: Position) -> None:
        """Perform what the commit made outstanding; let go of what is owed no more."""
        before, after = self._owed, self._entity.outstanding(state)
        self._owed = after
        for effect in before:
            if effect not in after:
                self._world.give_up(effect)
        for effect in after:
            if effect not in before:
                self._world.perform(effect, cause)
        self._watch(self._entity.open_entry(state))

    def _watch(self, entry: OpenEntry | None) -> None:
        wake_at_ns = entry.wake_at_ns if entry is not None else None
        if wake_at_ns != self._wake_at_ns:
            self._wake_at_ns = wake_at_ns
            self._wake_at(self.stream, wake_at_ns)

    def _refused(self, pending: _Pending[S], error: LogError | BaseException | None) -> None:
        """This command gets the error; those decided upon it are decided again."""
        assert error is not None
        reply = cast("LoopFuture[Any] | None", pending.envelope.reply_to)
        first = self._again is None
        if first:
            self._again = deque()
            _log.error("commit_refused", stream=self.stream, exc_info=error)
            if reply is not None:
                reply.fail(error)
            if reply is None and isinstance(error, WrongExpectedVersion):
                self._again.append(pending.envelope)  # An outcome must not be lost.
        else:
            assert self._again is not None
            self._again.append(pending.envelope)
        assert self._again is not None
        for waiting, value, refusal in pending.replies:
            # Decided upon a state that never was: the asker decides what to do next.
            _reply(waiting, None if refusal is None else value, refusal or error)
        if not self._pending:
            self._rebuild(error)

    def _rebuild(self, error: BaseException) -> None:
        """Read the stream anew, now that all queued appends are settled, and go on."""
        again, self._again = self._again or deque[Envelope[Any]](), None
        if not isinstance(error, WrongExpectedVersion):
            for envelope in again:  # The log has failed or closed: nobody can go on.
                reply = cast("LoopFuture[Any] | None", envelope.reply_to)
                if reply is not None:
                    reply.fail(error)
            self._broken(error)
            return
        owed = self._owed
        self.load()
        self._owed = owed
        self._act(self._state, self._read_to)
        for envelope in again:
            self._process(envelope)


def _reply(reply: LoopFuture[Any], value: object, error: BaseException | None) -> None:
    if error is not None:
        reply.fail(error)
    else:
        reply.set(value)
