"""What one kind of entity adds to its pure parts, for who brings entities into memory."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, NamedTuple, Protocol, TypeVar

from outlive.actors.entity import Entity, World
from outlive.events import OpenEntry, StreamId

S = TypeVar("S")
C = TypeVar("C")
X = TypeVar("X")
R_co = TypeVar("R_co", covariant=True)

SUSPENDED: Final = "suspended"
"""The status of an entity that waits for a person: that is told to who waits for its outcome."""
WAITING: Final = "waiting"
"""The status of one that waits for messages of others, and goes on by itself."""
STANDING: Final = ("blocked", "quarantined")
"""The statuses of entities that stand still, with the reason in their row."""


class Recovery(NamedTuple):
    """How what an earlier owner left open is taken up."""

    epoch: int
    clean: bool  # the earlier one closed in good order: nothing is counted then
    max_recoveries: int | None


class Kind(Protocol[S, C, X, R_co]):
    """What one kind of entity adds to its pure parts."""

    @property
    def name(self) -> str:
        """The kind, as in the open table."""
        ...

    @property
    def entity(self) -> Entity[S, C, X]:
        """The pure parts."""
        ...

    def world(self, stream: StreamId) -> World[X]:
        """Return what the effects of this stream are done to."""
        ...

    def missing(self, state: S) -> str:
        """Return what the entity needs and this process does not have; empty if nothing."""
        ...

    def recover(self, state: S, running: frozenset[X], *, released: bool) -> C:
        """Return the command that settles what was in flight.

        `released`: somebody wants it to be tried once more, however often it was before.
        """
        ...

    def point(self, state: S) -> Hashable:
        """Return how far the entity has got: it changes whenever it gets further."""
        ...

    def outdated(self, state: S) -> bool:
        """Whether an open entity must be told what has changed since it left memory."""
        ...

    def wake(self, now_ns: int) -> C:
        """Return the command for an instant that was waited for."""
        ...

    def outcome(self, stream: StreamId, state: S, world: World[X], entry: OpenEntry | None) -> R_co:
        """Return what those get who wait until the entity is at rest. Raises LogError."""
        ...
