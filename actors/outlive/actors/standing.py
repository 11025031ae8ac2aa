"""The entities of one kind that stand still, and what waits for them to go on.

An entity that cannot go on stands still, with the reason in its row of the open table:
`blocked` until what it needs is registered again, `quarantined` until somebody releases it.
One that a later release wrote is tried again at each opening: it may be that release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outlive.actors.envelopes import MessageEnvelope
from outlive.actors.loop_actor import LoopFuture
from outlive.actors.timers import Timers
from outlive.events import EventLog, OpenEntry, StreamId, Version
from outlive.events.logger import get_logger

_log = get_logger()


class Standing:
    """The rows of those that stand still, as far as they were looked at, and their messages."""

    def __init__(
        self,
        kind: str,
        log: EventLog,
        timers: Timers,
        row_changed: Callable[[StreamId, OpenEntry | None], None] | None,
    ) -> None:
        self._kind = kind
        self._log = log
        self._timers = timers
        self._row_changed = row_changed
        self._rows: dict[StreamId, OpenEntry] = {}
        self._held_back: dict[StreamId, list[MessageEnvelope]] = {}

    def row(self, stream: StreamId) -> OpenEntry | None:
        """Return the row that says why an entity stands still; None if it is not known to."""
        return self._rows.get(stream)

    def seen(self, stream: StreamId, row: OpenEntry) -> None:
        """An entity stands still by the row that it has."""
        self._rows[stream] = row

    def forget(self, stream: StreamId) -> OpenEntry | None:
        """The entity goes on, or is tried again. Returns the row that said why it did not."""
        return self._rows.pop(stream, None)

    def mark(
        self,
        stream: StreamId,
        status: str,
        reason: str,
        version: Version,
        *,
        try_again: bool = False,
    ) -> OpenEntry:
        """Say in the entity's row that it stands still, and why.

        `version` is the stream's, with the commits that are on their way.
        """
        before = self._log.open_entry(stream)
        entry = OpenEntry(
            kind=self._kind,
            status=status,
            wake_at_ns=None if before is None else before.wake_at_ns,
            owes=before is None or before.owes,
            reason=reason,
            try_again=try_again,
            summary={} if before is None else before.summary,
        )
        if self._rows.get(stream) == entry:
            return entry
        self._rows[stream] = entry
        self._timers.set(stream, None)
        _log.warning("entity_stands_still", stream=stream, status=status, reason=reason)
        if entry != before:
            self._log.append(stream, (), expected_version=version, entry=entry)
        if self._row_changed is not None:
            self._row_changed(stream, entry)
        return entry

    def hold_back(self, stream: StreamId, message: MessageEnvelope) -> None:
        """Keep what another entity says until this one goes on."""
        self._held_back.setdefault(stream, []).append(message)

    def take_back(self, stream: StreamId, reply: LoopFuture[Any]) -> None:
        """Forget the message with this reply, if it is held back."""
        held_back = self._held_back.get(stream, [])
        held_back[:] = [envelope for envelope in held_back if envelope.reply_to is not reply]

    def holds_back(self, stream: StreamId) -> bool:
        """Whether messages wait for the entity to go on."""
        return stream in self._held_back

    def hand_out(self, stream: StreamId) -> list[MessageEnvelope]:
        """Return what was held back, in order, and keep it no longer."""
        return self._held_back.pop(stream, [])
