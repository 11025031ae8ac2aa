"""The shape that every entity has: pure parts that the one shell drives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, cast

from outlive.events import Event, OpenEntry, Position, Refused, Version

S = TypeVar("S")
C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)
E = TypeVar("E", bound=Event)
X = TypeVar("X")
X_contra = TypeVar("X_contra", contravariant=True)


class Exhausted(Refused):
    """Raised by `decide`: the entity was recovered too often without getting any further."""


class Entity(Protocol[S, C_contra, X]):
    """One kind of entity: state `S`, commands `C`, effects `X`. All of it pure."""

    @property
    def initial(self) -> S:
        """The state before the first event. Its type is the type of all states."""
        ...

    @property
    def edition(self) -> int:
        """The number of `evolve`: one more whenever the same events come to another state.

        States that were saved before are not used any more then. A change of the state's type
        need not be counted: it is seen.
        """
        ...

    @property
    def lasts(self) -> bool:
        """Whether one may go on that has no row of the open table, as nothing is going on.

        Its saved state is kept then; that of others is not, as they are over.
        """
        ...

    def decide(self, state: S, command: C_contra, /) -> tuple[Event, ...]:
        """Return the events that the command causes; none if it changes nothing.

        Raises:
            Refused: the command cannot be obeyed in this state.
        """
        ...

    def evolve(self, state: S, event: Event, /) -> S:
        """Return the state after the event."""
        ...

    def outstanding(self, state: S, /) -> dict[X, None]:
        """Return the effects that are owed to the world, in order. Read from state alone."""
        ...

    def open_entry(self, state: S, /) -> OpenEntry | None:
        """Return the row of the open table; None when the entity is over."""
        ...


class PureParts(Generic[S, C, E, X]):
    """The pure parts of one kind of entity, put together. Fulfils `Entity`; see there.

    `evolve` is given events `E` alone, as the streams of a kind hold no others.
    """

    def __init__(
        self,
        *,
        initial: S,
        decide: Callable[[S, C], tuple[E, ...]],
        evolve: Callable[[S, E], S],
        outstanding: Callable[[S], dict[X, None]],
        open_entry: Callable[[S], OpenEntry | None],
        edition: int,
        lasts: bool,
    ) -> None:
        self.initial = initial
        self.decide = decide
        self.evolve = cast("Callable[[S, Event], S]", evolve)
        self.outstanding = outstanding
        self.open_entry = open_entry
        self.edition = edition
        self.lasts = lasts


class World(Protocol[X_contra]):
    """What one entity's effects are done to: it performs them, after they were committed.

    An outcome comes back as a command to the entity's address.
    """

    def reset(self, version: Version) -> None:
        """Forget what was noted: the actor begins anew, with a saved state at `version`.

        The events up to there are in the log, and are not shown; 0 when there is no such state.
        """
        ...

    def committed(self, events: Sequence[Event], version: Version) -> None:
        """Take note of events that became durable, or were read from the log. In order.

        `version` is that of the last of them.
        """
        ...

    def perform(self, effect: X_contra, cause: Position) -> None:
        """Start the effect that the commit at `cause` has made outstanding.

        Raises:
            LogError: what the effect needs cannot be read. The entity cannot go on.
        """
        ...

    def give_up(self, effect: X_contra) -> None:
        """The effect is owed no more. Stop it if it still runs; its outcome is of no use."""
        ...
