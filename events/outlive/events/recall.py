"""What an entity is brought into memory from, read at once."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from outlive.events.commit import OpenEntry
from outlive.events.ids import NO_VERSION, StreamId, Version
from outlive.events.record import Recorded
from outlive.events.snapshot import Snapshot


class Recalled(NamedTuple):
    """A stream's row of the open table, its last saved state, and the events beyond that."""

    entry: OpenEntry | None
    snapshot: Snapshot | None
    events: list[Recorded]


class _Parts(Protocol):
    def open_entry(self, stream: StreamId) -> OpenEntry | None: ...

    def snapshot(self, stream: StreamId) -> Snapshot | None: ...

    def read(self, stream: StreamId, *, after: Version, limit: int) -> list[Recorded]: ...


def recall_by_parts(log: _Parts, stream: StreamId, limit: int) -> Recalled:
    """Recall a stream from a log of which the parts can be asked for one after the other."""
    found = log.snapshot(stream)
    after = NO_VERSION if found is None else found.version
    return Recalled(log.open_entry(stream), found, log.read(stream, after=after, limit=limit))
