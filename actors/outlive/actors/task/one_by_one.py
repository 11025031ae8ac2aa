"""Of the tasks that may be what ends their process, one at a time has its turn.

Which one ends it nobody can tell: all that run at that moment are cut off. Once that has come
to the same tasks twice in a row, those go on one after the other, beside the tasks that are not
suspected. So the next end is added to the count of one of them, and the others get through.
"""

from __future__ import annotations

from typing import TypeGuard

from outlive.actors.task.rows import place_in, priority_in
from outlive.events import OpenEntry, StreamId


class OneByOne:
    """Who of the suspected tasks stands in line or has a slot, and who waits behind it."""

    def __init__(self) -> None:
        self._first: StreamId | None = None
        self._behind: dict[StreamId, OpenEntry] = {}

    def holds_back(self, task: StreamId, entry: OpenEntry | None) -> bool:
        """Hear what the row of a task is. Whether it has to wait behind another one."""
        self._behind.pop(task, None)
        if not _has_or_wants_a_slot(entry):
            if self._first == task:
                self._first = None
            return False
        if self._first is None or entry.status == "running":
            self._first = task
        if self._first == task:
            return False
        self._behind[task] = entry
        return True

    def next(self) -> tuple[StreamId, OpenEntry] | None:
        """Return who stands in line from now on; None if nobody comes up."""
        if self._first is not None or not self._behind:
            return None
        self._first = min(self._behind, key=self._rank)
        return self._first, self._behind.pop(self._first)

    def _rank(self, task: StreamId) -> tuple[int, int, StreamId]:
        entry = self._behind[task]
        return -priority_in(entry), place_in(entry), task


def _has_or_wants_a_slot(entry: OpenEntry | None) -> TypeGuard[OpenEntry]:
    """Whether this is the row of a suspected task that is under way."""
    return (
        entry is not None and "suspected" in entry.summary and entry.status in ("queued", "running")
    )
