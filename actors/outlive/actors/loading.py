"""What an actor begins with: its stream, folded from the last saved state on."""

from __future__ import annotations

from typing import Any, Final, Generic, NamedTuple

from outlive.actors.entity import Entity, S, World
from outlive.actors.snapshots import restored
from outlive.events import EventLog, OpenEntry, Position, StreamId, Version
from outlive.events.ids import NO_POSITION, NO_VERSION

_PAGE: Final = 1_000


class Loaded(NamedTuple, Generic[S]):
    """A stream as it was read."""

    state: S
    version: Version
    read_to: Position
    saved_at: Version
    """The version of the saved state with which the reading began; 0 without one."""
    row: OpenEntry | None
    """As it stands in the open table."""


def load(
    stream: StreamId, entity: Entity[S, Any, Any], log: EventLog, world: World[Any]
) -> Loaded[S]:
    """Read a stream to its end, have its world take note of it, and return what it folds into.

    Raises:
        CorruptLog, NewerFormat, UnknownEvent: the stream cannot be read; nothing is guessed at.
    """
    state, version, read_to = entity.initial, NO_VERSION, NO_POSITION
    row, saved, page = log.recall(stream, limit=_PAGE)
    if saved is not None:
        found = restored(saved, stream, entity)
        if found is None:
            page = log.read(stream, after=version, limit=_PAGE)
        else:
            state, version, read_to = found, saved.version, saved.position
    saved_at = version
    world.reset(version)
    while page:
        for recorded in page:
            state = entity.evolve(state, recorded.event)
        version, read_to = page[-1].version, page[-1].position
        world.committed([recorded.event for recorded in page], version)
        if len(page) < _PAGE:
            break
        page = log.read(stream, after=version, limit=_PAGE)
    return Loaded(state, version, read_to, saved_at, row)
