"""A command that another process has put into the inbox of a log."""

from __future__ import annotations

import msgspec

from outlive.events.ids import StreamId


class Submitted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A command in the inbox."""

    command_id: str
    stream: StreamId  # the entity that it is meant for
    data: bytes  # encoded by who put it, for the one that carries it out
    submitted_at_ns: int
    number: int = 0  # in the order of arrival; not in the row, but its key
