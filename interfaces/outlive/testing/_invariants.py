"""What must hold after every step of a simulation, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from outlive.actors import LiveEntity, Runtime
from outlive.actors.entity import Entity
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.actors.mail import Deliver
from outlive.actors.run.entity import RUN
from outlive.actors.snapshots import UnfitState, codec_of
from outlive.actors.task.entity import TASK
from outlive.actors.thread.entity import THREAD
from outlive.events import Clock, OpenEntry, StreamId, Version
from outlive.testing._conversations import Conversations
from outlive.testing._errands import Errands
from outlive.testing._families import Families
from outlive.testing._pulses import Pulses
from outlive.testing._simulation.disk import Disk
from outlive.testing._world import World

ENTITIES: Final[dict[str, Entity[Any, Any, Any]]] = {
    "run": RUN,
    "task": TASK,
    "thread": THREAD,
    "heartbeat": HEARTBEAT,
}
"""Each kind of entity that a simulation knows how to fold, by the beginning of its streams."""

_STANDING: Final = ("blocked", "quarantined")


class InvariantViolated(AssertionError):
    """Something that must hold after every step does not. `invariant` is its rule."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


class _Folded:
    """An entity as the log has it."""

    __slots__ = ("entity", "intended", "owed", "state", "version")

    def __init__(self, entity: Entity[Any, Any, Any]) -> None:
        self.entity = entity
        self.state = entity.initial
        self.version = 0
        self.owed: dict[Any, None] = {}
        self.intended: set[Any] = set()  # all that it has ever owed


class Invariants:
    """Follows the disk, folding by itself, and compares with what is live.

    After every step:

    - positions and versions grow by one, epochs never shrink;
    - an open entity's row in the open table is that of its fold, or says why it stands still;
      an entity that is over has none, and owes nothing;
    - an open entity is waiting for something: an instant, an effect, a person, or another entity;
    - a run of a sub-agent works for one call, which is answered once, as that run has ended; none
      is left open by a parent that is over and has nothing to deliver;
    - a background task works for one call, whose run hears once how it has ended; none is left
      open by a run that was cancelled, unless it is detached;
    - one run at a time works on a thread, and releases it once, when it is over; a signal is read
      once, and by the end it was;
    - an instant at which a heartbeat is due has one decision, and none is left out;
    - the fold of the log is the state of the live actor, unless something is on its way;
    - a saved state is the fold up to its version;
    - an effect is performed only once the intent is on the disk, also amid other things;
    - what is outstanding is being performed, and nothing else is;
    - the clock is watched for every instant that an entity waits for;
    - an effect in the `World` that must not be repeated has not been.
    """

    def __init__(
        self,
        disk: Disk,
        world: World,
        runtime: Callable[[], Runtime | None],
        *,
        clock: Clock,
        at_most_once: frozenset[str] = frozenset(),
    ) -> None:
        self._disk = disk
        self._world = world
        self._runtime = runtime
        self._clock = clock
        self._at_most_once = at_most_once
        self._happened = 0  # effects in the world that were looked at
        self._done: set[tuple[str, str]] = set()
        self.begin_again()

    def begin_again(self) -> None:
        """Fold the whole log anew: the disk has been put back."""
        self._store = self._disk.store
        self._position = 0
        self._epoch = 0
        self._writes = -1
        self._folded: dict[StreamId, _Folded] = {}
        self._families = Families()
        self._errands = Errands()
        self._conversations = Conversations()
        self._pulses = Pulses()

    def check(self) -> None:
        """Raise InvariantViolated if something does not hold."""
        self._check_disk()
        if self._at_most_once and len(self._world.ledger) != self._happened:
            self._check_world()
        runtime = self._runtime()
        if runtime is not None:
            for live in runtime.live():
                if live.running:
                    self._check_intended(live)
                if not live.busy:
                    self._check_live(live)

    def check_idle(self) -> None:
        """Nothing happens any more: an open entity waits for a person, or for one that does."""
        rows = {
            stream: row for stream, row in self._disk.store.open.items() if row.kind in ENTITIES
        }
        if rows or any(map(_may_be_told, self._disk.store.index)):
            # Who waits for whom is in the log, whether or not each step is checked.
            self._check_disk()
        for stream, row in rows.items():
            rests = row.status in (*_STANDING, "suspended", "paused")
            rests = rests or self._families.waits_for_one_at_rest(stream, rows)
            rests = rests or (row.over and self._has_told_all_that_hear(stream))
            rests = rests or self._errands.waits_for_one_at_rest(stream, rows)
            rests = rests or self._conversations.waits_for_one_at_rest(stream, rows)
            if not rests:
                raise InvariantViolated(
                    "nothing is left in between", f"{stream} is {row.status}, and nobody moves it"
                )
            if row.status == "suspended" and row.wake_at_ns is not None:
                raise InvariantViolated(
                    "the clock is watched",
                    f"{stream} waits for a person until {row.wake_at_ns}, and nobody ends that",
                )
        unread = self._conversations.unread(rows)
        if unread is not None:
            raise InvariantViolated(*unread)

    def _has_told_all_that_hear(self, stream: StreamId) -> bool:
        """Whether all that an entity still owes are messages to those that stand still."""
        rows, owed = self._disk.store.open, self._folded[stream].owed
        return all(
            isinstance(effect, Deliver)
            and effect.to in rows
            and rows[effect.to].status in _STANDING
            for effect in owed
        )

    def state(self, stream: StreamId) -> object:
        """Return what the log of a stream folds into."""
        self.check()
        return self._folded[stream].state

    def _check_disk(self) -> None:
        if self._disk.writes != self._writes:
            self._writes = self._disk.writes
            self._check_stored()

    def _check_stored(self) -> None:
        touched: dict[StreamId, None] = {}
        store = self._store
        while self._position < store.head:
            self._position += 1
            if not store.records[self._position - 1]:
                continue
            record = store.record(self._position)
            if record.epoch < self._epoch:
                raise InvariantViolated(
                    "epochs never shrink",
                    f"{record.stream} was written by owner {record.epoch} after {self._epoch}",
                )
            self._epoch = record.epoch
            entity = ENTITIES.get(record.stream.partition("-")[0])
            if entity is None:
                continue
            folded = self._folded.setdefault(record.stream, _Folded(entity))
            if record.first_version != folded.version + 1:
                raise InvariantViolated(
                    "versions grow by one",
                    f"{record.stream}: {record.first_version} follows {folded.version}",
                )
            self._families.hear(record)
            self._errands.hear(record)
            self._conversations.hear(record)
            self._pulses.hear(record)
            for event in record.events:
                folded.state = entity.evolve(folded.state, event)
                folded.version += 1
            folded.owed = entity.outstanding(folded.state)
            folded.intended.update(folded.owed)
            touched[record.stream] = None
            self._check_saved(record.stream, folded)
        for stream in touched:
            self._check_row(stream, self._folded[stream], store.open.get(stream))
        states = {stream: self._folded[stream].state for stream in touched}
        problem = self._families.problem(states) or self._errands.problem(states)
        problem = problem or self._conversations.problem()
        problem = problem or self._pulses.problem()
        if problem is not None:
            raise InvariantViolated(*problem)

    def _check_saved(self, stream: StreamId, folded: _Folded) -> None:
        saved = self._store.snapshots.get(stream)
        if saved is None or saved.version != folded.version:
            return
        try:
            state = codec_of(folded.entity).decode(saved.data)
        except UnfitState as error:
            raise InvariantViolated(
                "a saved state is the fold", f"that of {stream} cannot be used: {error}"
            ) from error
        if state != folded.state:
            raise InvariantViolated(
                "a saved state is the fold",
                f"{stream} at version {folded.version}: "
                f"{_fields_apart(state, folded.state, 'saved', 'folded')}",
            )

    def _check_world(self) -> None:
        ledger = self._world.ledger
        for number in range(self._happened, len(ledger)):
            name, key = ledger[number].name, ledger[number].key
            if name in self._at_most_once and (name, key) in self._done:
                raise InvariantViolated(
                    "at most once", f"effect {name!r} happened 2 times under key {key!r}"
                )
            self._done.add((name, key))
        self._happened = len(ledger)

    def _check_intended(self, live: LiveEntity) -> None:
        folded = self._folded.get(live.stream)
        for effect in live.running:
            if folded is None or effect not in folded.intended:
                raise InvariantViolated(
                    "an effect waits for its commit",
                    f"{live.stream} does {effect}, and the log knows nothing of it",
                )

    def _check_row(self, stream: StreamId, folded: _Folded, row: OpenEntry | None) -> None:
        expected = folded.entity.open_entry(folded.state)
        owed = folded.owed
        if row is not None and row.status in _STANDING:
            return
        if row != expected:
            raise InvariantViolated(
                "the open table is the fold's", f"{stream} has {row}, not {expected}"
            )
        if expected is None:
            if owed:
                raise InvariantViolated("what is over owes nothing", f"{stream} owes {list(owed)}")
            return
        if bool(owed) != expected.owes:
            raise InvariantViolated(
                "the open table says what is owed", f"{stream} owes {list(owed)}, its row: {row}"
            )
        waits = expected.status in ("suspended", "waiting", "queued", "active", "paused")
        if not owed and expected.wake_at_ns is None and not waits:
            raise InvariantViolated(
                "what is open waits for something", f"{stream} owes nothing and never wakes"
            )

    def _check_live(self, live: LiveEntity) -> None:
        folded = self._folded.get(live.stream)
        version = Version(0) if folded is None else folded.version
        state = live.entity.initial if folded is None else folded.state
        if live.version != version:
            raise InvariantViolated(
                "the log is the live state",
                f"{live.stream} is live at version {live.version}, the log has {version}",
            )
        if live.state != state:
            raise InvariantViolated(
                "the log is the live state",
                f"{live.stream} at version {version}: "
                f"{_fields_apart(live.state, state, 'live', 'folded')}",
            )
        if live.stands_still:
            return
        owed = {} if folded is None else folded.owed
        if set(owed) != set(live.running):
            raise InvariantViolated(
                "what is outstanding is being done, once, and nothing else",
                f"{live.stream} owes {list(owed)}, and does {sorted(map(str, live.running))}",
            )
        row = live.entity.open_entry(state)
        wake_at_ns = None if row is None else row.wake_at_ns
        if wake_at_ns is not None and live.wake_at_ns != wake_at_ns:
            if live.wake_at_ns is None and self._waits_for_a_slot(row):
                return
            raise InvariantViolated(
                "the clock is watched",
                f"{live.stream} wants to wake at {wake_at_ns}, and is woken at {live.wake_at_ns}",
            )

    def _waits_for_a_slot(self, row: OpenEntry | None) -> bool:
        """Whether a task may be tried again from now on, once there is room."""
        due = row is not None and (row.wake_at_ns or 0) <= self._clock.now_ns()
        return row is not None and due and (row.kind, row.status) == ("task", "queued")


def _may_be_told(stream: StreamId) -> bool:
    """Whether what is said to an entity can be left unread when it is not open any more."""
    return stream.startswith("thread-")


def _fields_apart(one: object, other: object, name: str, other_name: str) -> str:
    """Say in which fields two states of the same kind differ."""
    if not isinstance(one, msgspec.Struct) or type(one) is not type(other):
        return f"{name} {one}, {other_name} {other}"
    apart = [
        f"{field} is {found!r} {name}, and {expected!r} {other_name}"
        for field in one.__struct_fields__
        if (found := getattr(one, field)) != (expected := getattr(other, field))
    ]
    return "; ".join(apart)
