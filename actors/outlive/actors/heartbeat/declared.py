"""Heartbeats that are declared in code, beside the agents that they run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Unpack

import msgspec

from outlive.actors.heartbeat.fields import HeartbeatFields
from outlive.actors.heartbeat.inputs import heartbeat_id, to_create
from outlive.events import InvalidDefinition
from outlive.events.values import digest

_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode


class Heartbeat:
    """A heartbeat that a runtime declares: `Runtime(heartbeats=[Heartbeat("daily", ...)])`.

    The fields are those of `RuntimeHeartbeats.create`. When the log is opened what is stored is
    compared with it: a new one is created, a changed one updated; one that somebody has paused
    stays paused, one that was deleted stays so. One that is declared no more is paused.

    Raises:
        InvalidDefinition: a field that cannot hold.
    """

    def __init__(self, id: str, **fields: Unpack[HeartbeatFields]) -> None:
        self.id: Final = heartbeat_id(id)
        self.changes: Final = to_create(fields)
        self.digest: Final = digest(_encode(self.changes))
        """Tells whether it was changed in code."""

    def __repr__(self) -> str:
        """Name it."""
        return f"<Heartbeat {self.id}>"


def check_heartbeats(heartbeats: Iterable[Heartbeat]) -> tuple[Heartbeat, ...]:
    """Return what is declared. Raises InvalidDefinition unless they are heartbeats, each once."""
    found: dict[str, Heartbeat] = {}
    for one in heartbeats:
        if not isinstance(one, Heartbeat):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"heartbeats are of type Heartbeat, not {one!r}")
        if one.id in found:
            raise InvalidDefinition(f"two heartbeats have the id {one.id!r}")
        found[one.id] = one
    return tuple(found.values())
