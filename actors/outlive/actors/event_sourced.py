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
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from msgspec import UNSET
from msgspec.structs import replace
from pykka._envelope import Envelope

from outlive.actors import snapshots
from outlive.actors.entity import Entity, S, World, X
from outlive.actors.envelopes import CommandEnvelope, MessageEnvelope, Reply
from outlive.actors.kind import SUSPENDED
from outlive.actors.loading import load
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopActor, LoopFuture, Mailbox, MailboxClosed
from outlive.actors.mail import Deliver
from outlive.actors.replies import OBEYED, refusal
from outlive.actors.snapshots import codec_of
from outlive.actors.undecided import DECIDED, Answer, Pending, Undecided
from outlive.events import (
    Commit,
    Event,
    EventLog,
    LogError,
    OpenEntry,
    OutliveError,
    Position,
    Refused,
    StreamId,
    Version,
    WrongExpectedVersion,
)
from outlive.events.ids import NO_POSITION, NO_VERSION
from outlive.events.logger import get_logger

_log = get_logger()
C = TypeVar("C")


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
        idle: Callable[[StreamId], None],
        broken: Callable[[StreamId, BaseException], None],
        save_every: int | None = None,
        mailbox: Mailbox | None = None,
        row_changed: Callable[[StreamId, OpenEntry | None], None] | None = None,
    ) -> None:
        """Prepare the actor of `stream`.

        Whom it calls it tells the stream. `wake_at` is told when it wants to be woken. `idle` is
        called whenever nothing is on its way any more: it may be stopped then, if nothing else
        needs it. `broken` is called when it cannot go on: the log failed, or something raised
        where nobody is asked. It expects that the actor is stopped then, or detached.
        `save_every` is the number of events after which its state is saved; `EVERY_EVENTS` if
        left out. `mailbox` is that of the address, if it has one already. `row_changed` is told
        the row that the state asks for, just before it is appended, and again if it could not
        be. What it appends at once comes before the row, and what it appends later after it:
        never durable without it.
        """
        super().__init__(stream, mailbox)
        self.stream: Final = stream
        self._entity = entity
        self._log = log
        self._world = world
        self._wake_at = wake_at
        self._row_changed = row_changed
        self._idle = idle
        self._broken = broken
        self._save_every = save_every or snapshots.EVERY_EVENTS
        self._saved_at = NO_VERSION
        self._kept = UNSET if entity.lasts else None  # what becomes of a saved state
        self._state: S = entity.initial
        self._version = NO_VERSION
        self._entry: OpenEntry | None = None  # by the state
        self._works = False  # by that row: it owes more than the messages of one that rests
        self._row: OpenEntry | None = None  # as it stands in the open table
        self._wake_at_ns: int | None = None
        self._owed: dict[X, None] = {}
        self._read_to: Position = NO_POSITION
        self._pending: deque[Pending] = deque()
        self._undecided = DECIDED
        self._drained: Callable[[], None] | None = None  # waits for the last pending commit
        self._as_it_is = False
        self._stands: OpenEntry | None = None  # the row that says so, then

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
    def writes(self) -> bool:
        """Whether a commit is on its way."""
        return bool(self._pending)

    @property
    def gone(self) -> bool:
        """Whether it was stopped, or detached: it handles nothing any more."""
        return self._detached or self.is_stopped

    @property
    def owed(self) -> Mapping[X, None]:
        """The effects that are outstanding, in order."""
        return self._owed

    @property
    def entry(self) -> OpenEntry | None:
        """The row of the open table, by the state."""
        return self._entry

    @property
    def unsettled(self) -> bool:
        """Whether something is outstanding that must be settled before it is done: no message."""
        return any(not isinstance(effect, Deliver) for effect in self._owed)

    def tell(self, command: C, *, cause: Position | None = None) -> None:
        """Send a command, from the loop. Raises MailboxClosed when the actor has stopped."""
        self.mailbox.put(CommandEnvelope(command, None, cause))

    def ask(
        self,
        command: C,
        *,
        cause: Position | str | None = None,
        command_id: str | None = None,
    ) -> Reply[S]:
        """Send the command of a caller from outside; return a future of the state after it.

        Raises:
            MailboxFull: too many wait already.
            MailboxClosed: the actor has stopped.
        """
        reply: Reply[S] = Reply()
        self.mailbox.offer(CommandEnvelope(command, reply, cause, command_id), reply)
        return reply

    def ask_first(self, command: C, *, command_id: str | None = None) -> LoopFuture[S]:
        """Have a command decided ahead of whatever waits. Call it on the loop."""
        reply: LoopFuture[S] = LoopFuture()
        self.mailbox.put_back([CommandEnvelope(command, reply, command_id, command_id)])
        return reply

    def stop_now(self) -> None:
        """Stop: messages are refused from now on. Call it on the loop."""
        if not self.is_stopped:
            self._stop()
            if self._detached:
                self._refuse_the_rest()

    def detach(self) -> None:
        """Leave mailbox and address to the next actor; what was decided is still answered.

        The command upon which this one broke is the first that the next one will see.
        """
        super().detach()
        if self._undecided.refusal is None:
            self._hand_back()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call `callback` once no commit of this actor is on its way: the stream may be read."""
        if self._pending:
            self._drained = callback
        else:
            callback()

    def _hand_back(self) -> None:
        """Put what was not decided, or has to be again, at the head of the mailbox."""
        self.mailbox.put_back(self._undecided.take())

    def load(self) -> None:
        """Read the stream and fold it, from the last saved state on. Call it before `run`.

        Raises:
            CorruptLog, NewerFormat, UnknownEvent: the stream cannot be read; nothing is guessed
                at.
        """
        loaded = load(self.stream, self._entity, self._log, self._world)
        self._state, self._version, self._read_to, self._saved_at, self._row = loaded
        self._stands_at(self._entity.open_entry(self._state))
        self._owed = self._entity.outstanding(self._state)

    def _stands_at(self, entry: OpenEntry | None) -> None:
        """The state asks for this row of the open table."""
        self._entry = entry
        self._works = (
            entry is not None
            and entry.owes
            and not (entry.over or entry.status == SUSPENDED or self._as_it_is)
        )

    def stay_as_it_is(self, row: OpenEntry | None) -> None:
        """It stands still, and is there for a command alone: nothing else is begun, or due.

        Its row goes on to say so, and why, as `row` does; else a crash would let it go on.
        """
        self._as_it_is, self._stands = True, row
        self._stands_at(self._entry)

    def go_on(self) -> None:
        """It stands still no more: the clock is watched for it, and what it owes delivered.

        Raises:
            LogError: what it owes cannot be read.
        """
        self._as_it_is, self._stands = False, None
        self._stands_at(self._entry)
        self._watch(self._entry)
        self._deliver_owed()

    def restore_row(self) -> None:
        """Put the row that the state asks for, if one stands there that says why it stood still.

        Raises:
            LogError: the log takes no appends.
        """
        if self._entry != self._row:
            self._row = self._entry
            self._log.append(
                self.stream,
                (),
                expected_version=self._version,
                snapshot=self._kept,
                entry=self._entry,
            )

    def run(self) -> None:
        """Start handling messages, say when the entity wants to be woken, deliver what it owes.

        It says that it is idle, unless a message comes at once.

        Raises:
            LogError: what it owes cannot be read.
        """
        super().run()
        self._watch(self._entry)
        if self._version:  # Else it has not begun, and nobody has been told of it.
            self._tell_row(self._row_by(self._entry))
        if not self._as_it_is:  # What it lacks may be what a message is made of.
            self._deliver_owed()
        self.mailbox.ask_for_a_turn()

    def _deliver_owed(self) -> None:
        for effect in self._owed:
            if isinstance(effect, Deliver):
                self._world.perform(effect, self._read_to)

    def _process(self, envelope: Envelope[Any]) -> None:
        if self._undecided.refusal is not None:
            self._undecided.hold(envelope)
            return
        command_id: str | None = getattr(envelope, "command_id", None)
        try:
            state, entity = self._state, self._entity
            events = entity.decide(state, envelope.message)
            for event in events:
                state = entity.evolve(state, event)
            if not events and command_id is None:
                if envelope.reply_to is not None:
                    self._answer(Answer(envelope, state, None))
                return
            self._append(envelope, events, state, command_id)
        except BaseException as error:  # noqa: BLE001  # nothing was written; who asked is told
            self._refuse_one(envelope, error, command_id)

    def _refuse_one(
        self, envelope: Envelope[Any], error: BaseException, command_id: str | None
    ) -> None:
        """A command could not be obeyed: its sender is told, and if there is none, who watches."""
        if command_id is not None and not isinstance(error, LogError):
            try:
                self._append(envelope, (), self._state, command_id, error)
            except LogError as failed:
                error = failed
            else:
                return
        ours = isinstance(envelope, MessageEnvelope) and not isinstance(error, OutliveError)
        if envelope.reply_to is not None and not ours:
            self._answer(Answer(envelope, None, error))
        elif isinstance(error, Refused):
            _log.info("command_refused", stream=self.stream, reason=told(error))
        else:
            self._to_decide_again().keep(envelope)
            self._broken(self.stream, error)

    def _to_decide_again(self) -> Undecided:
        if self._undecided is DECIDED:
            self._undecided = Undecided(self.stream)
        return self._undecided

    def _append(
        self,
        envelope: Envelope[Any],
        events: tuple[Event, ...],
        state: S,
        command_id: str | None,
        error: BaseException | None = None,
    ) -> None:
        """Append what a command causes, or just that it was refused. Raises LogError.

        One that was obeyed, if only by doing nothing, has a row that does not say otherwise.
        """
        entry, row, version, due = self._entry, self._row, self._version, False
        if error is None:
            entry = self._entity.open_entry(state)
            row = entry if self._stands is None else self._row_by(entry)
        same = row == self._row
        if events:
            version = Version(version + len(events))
            if version - self._saved_at >= self._save_every:
                due = entry is not None or self._entity.lasts
            if self._row_changed is not None:
                self._row_changed(self.stream, row)
        try:
            commit = self._log.append(
                self.stream,
                events,
                expected_version=self._version,
                cause=getattr(envelope, "cause", None),
                snapshot=codec_of(self._entity).encode(state) if due else self._kept,
                command_id=command_id,
                reply=None if command_id is None else OBEYED if error is None else refusal(error),
                entry=UNSET if same else row,
            )
        except BaseException:
            if events:
                self._tell_row(self._row_by(self._entry))
            raise
        self._state = state
        if not same:
            self._row = row
        if entry != self._entry:
            self._stands_at(entry)
        self._version = version
        if due:
            self._saved_at = version
        self._pending.append(Pending(envelope, state, error, events, self._entry))
        commit.then(self._settled)

    def _answer(self, answer: Answer) -> None:
        """Answer once the last pending commit is acknowledged."""
        if self._pending:
            self._pending[-1].waiting.append(answer)
        else:
            answer.give()

    def _settled(self, commit: Commit) -> None:
        """The oldest pending commit is acknowledged or refused."""
        pending = self._pending.popleft()
        if commit.outcome is None or self._undecided.refusal is not None:
            self._to_decide_again().unwind(pending, commit)
            if not self._pending:
                self._rebuild()
            return
        if not (self._detached or self.is_stopped):
            try:
                self._world.committed(pending.events, commit.outcome.last_version)
                self._act(pending.state, pending.entry, commit.outcome.position)
            except BaseException as error:  # noqa: BLE001  # the commit stands; who watches goes on from it
                self._broken(self.stream, error)
        if pending.envelope.reply_to is not None:
            pending.acknowledge(commit.outcome)
        for answer in pending.waiting:
            answer.give()
        if not self._works:
            self.tell_if_idle()
        if self._drained is not None:
            self._tell_if_drained()

    def _tell_if_drained(self) -> None:
        if self._drained is not None and not self._pending:
            drained, self._drained = self._drained, None
            drained()

    def _drain(self) -> None:
        try:
            super()._drain()
        finally:
            if not self._works:  # Seen at once, as each commit comes through here twice.
                self.tell_if_idle()

    def tell_if_idle(self) -> None:
        """Say so, if nothing is on its way, and nothing owed but messages of one that rests.

        Call it on the loop.
        """
        if not (self._works or self.busy or self.gone):
            self._idle(self.stream)

    def _act(self, state: S, entry: OpenEntry | None, cause: Position) -> None:
        """Perform what the commit made outstanding; let go of what is owed no more."""
        before, after = self._owed, self._entity.outstanding(state)
        self._owed = after
        for effect in before:
            if effect not in after:
                self._world.give_up(effect)
        for effect in after:
            if effect not in before:
                self._world.perform(effect, cause)
        if (None if entry is None else entry.wake_at_ns) != self._wake_at_ns:
            self._watch(entry)

    def _watch(self, entry: OpenEntry | None) -> None:
        if self._as_it_is:
            return
        wake_at_ns = entry.wake_at_ns if entry is not None else None
        if wake_at_ns != self._wake_at_ns:
            self._wake_at_ns = wake_at_ns
            self._wake_at(self.stream, wake_at_ns)

    def _row_by(self, entry: OpenEntry | None) -> OpenEntry | None:
        """Return the row for what the state asks for: of one that stands still, unless it ends."""
        if self._stands is None or entry is None or entry.over:
            return entry
        stands = self._stands
        return replace(
            entry, status=stands.status, reason=stands.reason, try_again=stands.try_again
        )

    def _tell_row(self, entry: OpenEntry | None) -> None:
        if self._row_changed is not None:
            self._row_changed(self.stream, entry)

    def _rebuild(self) -> None:
        """Read the stream anew, now that all queued appends are settled, and go on."""
        refusal = self._undecided.settled()
        if self.is_stopped or not isinstance(refusal, WrongExpectedVersion):
            self._undecided.fail(refusal)  # The log has failed or is closed: nobody can go on.
            self._broken(self.stream, refusal)
        elif not self._detached:
            self._read_anew()
        if self._detached:
            self._hand_back()
        self._tell_if_drained()

    def _read_anew(self) -> None:
        owed = self._owed
        try:
            self.load()
            self._owed = owed
            self._act(self._state, self._entry, self._read_to)
            self._tell_row(self._row_by(self._entry))
        except BaseException as error:  # noqa: BLE001  # whatever it is, nobody is left waiting
            if isinstance(error, LogError):
                self._undecided.fail(error)  # Reading it once more would not help.
            self._broken(self.stream, error)
            return
        for envelope in self._undecided.each():  # What is left is seen to where it fails, or stops.
            self._process(envelope)
        self.tell_if_idle()

    def on_stop(self) -> None:
        """Answer those whose commands are not decided any more."""
        self._undecided.fail(MailboxClosed("the actor stopped before it came to this message"))
