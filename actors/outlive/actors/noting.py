"""What effects need of an entity's events besides its state: noted as the events become durable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from outlive.actors.mail import Courier
from outlive.actors.surroundings import Surroundings
from outlive.actors.tool_calls import ToolCalls
from outlive.events import Event, StreamId, Version
from outlive.events.ids import NO_VERSION

_PAGE: Final = 1_000


class Noted(Protocol):
    """Notes of a stream."""

    def apply(self, events: Iterable[Event]) -> None:
        """Take events, in order, each once."""
        ...


N = TypeVar("N", bound=Noted)


class NotingWorld(ABC, Generic[N]):
    """What the worlds of runs and tasks share: notes, tool calls and messages.

    The notes are folded from the entity's events, so they can be thrown away with the actor at
    any time. Of an entity whose state was saved, the events before that are read when an effect
    needs them.
    """

    def __init__(self, stream: StreamId, surroundings: Surroundings) -> None:
        self._stream = stream
        self._all = surroundings
        self._calls = ToolCalls(surroundings, stream)
        self._version = NO_VERSION
        self._notes: N | None = None
        self.reset(NO_VERSION)

    @property
    def _courier(self) -> Courier:
        return Courier(self._stream, post=self._all.post, effects=self._all.effects)

    @abstractmethod
    def _no_notes(self) -> N:
        """Return notes of no events."""

    def reset(self, version: Version) -> None:
        """Forget what was noted; the events up to `version` are read when they are needed."""
        if version or self._version or self._notes is None:  # Else nothing was noted yet.
            self._version = version
            self._notes = None if version else self._no_notes()

    def committed(self, events: Sequence[Event], version: Version) -> None:
        """Take note of durable events."""
        self._version = version
        if self._notes is not None:
            self._notes.apply(events)

    def _read_notes(self) -> N:
        """Return the notes of what was shown as committed: the log may hold more by now.

        Raises:
            CorruptLog, NewerFormat: the stream cannot be read; nothing is guessed at.
        """
        if self._notes is None:
            notes, after = self._no_notes(), NO_VERSION
            while after < self._version:
                limit = min(_PAGE, self._version - after)
                page = self._all.log.read(self._stream, after=after, limit=limit)
                if not page:
                    break
                notes.apply(one.event for one in page if one.version <= self._version)
                after = page[-1].version
            self._notes = notes
        return self._notes
