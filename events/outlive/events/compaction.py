"""What compaction may drop: pieces of an answer that is recorded in full.

While a model answers, each piece of its text becomes a record. Once the whole answer is
recorded, in `ModelCallCompleted`, nothing needs them: they change no state, and who observes
the run later is told the same text by the whole answer. They are most of what a log holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from outlive.events.event import Event
from outlive.events.run.events import ModelCallCompleted, ModelDelta

_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What a compaction dropped."""

    records: int
    events: int
    bytes: int  # of the dropped records and their payloads, less what their gaps take
    gaps: int  # in the log now, those of earlier compactions included


class Superseded:
    """Tells which records may go. It must be shown all of a log's records, the last one first.

    A record may go if it holds nothing but `ModelDelta`, and its stream holds a
    `ModelCallCompleted` of the same step (of all these steps) behind it, recorded before
    `before`. So the last record of a stream may never go.

    Raises:
        ValueError: `before` has no time zone.
        TypeError: it is no time.
    """

    def __init__(self, before: datetime | None = None) -> None:
        if not isinstance(before, datetime | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"`before` is a datetime, not {type(before).__name__}")
        if before is not None and before.tzinfo is None:
            raise ValueError("`before` needs a time zone: datetime.now(UTC), for one")
        self._before_ns = None if before is None else _nanoseconds(before)
        self._completed: dict[int, set[int]] = {}  # steps, by the stream's number

    def may_go(
        self, stream_number: int, first_version: int, recorded_at_ns: int, events: Sequence[Event]
    ) -> bool:
        """Whether the record before those that were shown so far may go."""
        steps = self._completed.get(stream_number, set())
        goes = all(isinstance(event, ModelDelta) and event.step in steps for event in events)
        if self._before_ns is None or recorded_at_ns < self._before_ns:
            ended = {event.step for event in events if isinstance(event, ModelCallCompleted)}
            if ended:
                self._completed.setdefault(stream_number, set()).update(ended)
        if first_version == 1:
            self._completed.pop(stream_number, None)
        return goes


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH_START) // timedelta(microseconds=1) * 1_000
