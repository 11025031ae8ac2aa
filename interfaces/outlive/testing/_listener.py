"""Who follows the records of a log, and holds them against rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from outlive.events import Event, Record


class Listener:
    """Takes records, in order. What a kind of event means to it is in `HEARS`."""

    HEARS: ClassVar[Mapping[type[Event], Callable[[Any, Record, Any], None]]] = {}
    """A dict, not a `match`: each event of each simulation comes through here several times."""

    def __init__(self) -> None:
        self._problem: tuple[str, str] | None = None

    def hear(self, record: Record) -> None:
        """Take a record, in order."""
        hears = self.HEARS
        for event in record.events:
            hear = hears.get(event.__class__)
            if hear is not None:
                hear(self, record, event)

    def _wrong(self, rule: str, detail: str) -> None:
        """A rule does not hold; the first time is what is told."""
        self._problem = self._problem or (rule, detail)
