"""What the run that is active on a thread does at this moment, as far as is durable."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from outlive.actors.kind import SUSPENDED
from outlive.events import LogReader, run_stream

_decode: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class Moment(NamedTuple):
    """Whether a run waits for a person, and which signals it has not read then."""

    suspended: bool = False
    unread: tuple[str, ...] = ()


NOTHING_SPECIAL: Final = Moment()


def moment_of(log: LogReader, run_id: str) -> Moment:
    """Return what a run does. Reads its row of the open table."""
    entry = log.open_entry(run_stream(run_id))
    if entry is None or entry.status != SUSPENDED:
        return NOTHING_SPECIAL
    unread = entry.summary.get("unread")
    return Moment(suspended=True, unread=() if unread is None else _decode(unread))
