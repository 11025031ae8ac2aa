"""What is in memory at this moment: for tests and for whoever looks after a runtime."""

from __future__ import annotations

from typing import Any

import msgspec

from outlive.actors.entity import Entity
from outlive.events import StreamId, Version


class LiveEntity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entity in memory.

    `state` and `version` are those after the last decided command. While `busy`, a commit or a
    message is on its way, and the log may be behind. `wake_at_ns` is the instant that the
    runtime's clock is watched for on its behalf, and `running` are the effects that are being
    performed for it. One that `stands_still` is there for a command alone: nothing else of it is
    done, and no clock watched.
    """

    stream: StreamId
    entity: Entity[Any, Any, Any]
    state: Any
    version: Version
    busy: bool
    wake_at_ns: int | None
    running: frozenset[Any]
    stands_still: bool = False
