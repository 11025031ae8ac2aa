"""Who waits for the end of a task is told when it stands still instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count
from typing import Final

from outlive.events import LogReader, StreamId
from outlive.projections.run_summary import STANDING_STILL

LOOK_AFTER_S: Final = 0.25
"""That it stands still is no event: who does not own the log looks so often."""


class StandingWatch:
    """Those who wait, by task. Belongs to one event loop."""

    def __init__(self, stands_still: Callable[[StreamId], bool]) -> None:
        """`stands_still` looks whether it does, as far as this process can tell."""
        self._stands_still = stands_still
        self._waiting: dict[StreamId, dict[int, Callable[[], None]]] = {}
        self._numbers = count()
        self._told = False
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def of(self, stream: StreamId, tell: Callable[[], None]) -> Generator[None, None, None]:
        """Call `tell` whenever the task stands still, once at least."""
        number = next(self._numbers)
        self._waiting.setdefault(stream, {})[number] = tell
        self._look_later()
        try:
            yield
        finally:
            waiting = self._waiting[stream]
            del waiting[number]
            if not waiting:
                del self._waiting[stream]
            if not self._waiting and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def be_told(self, told: bool) -> None:
        """From now on this process is `told` when one stands still, or has to look."""
        self._told = told
        if self._waiting:
            self._look_later()

    def stands(self, stream: StreamId) -> None:
        """One stands still."""
        for tell in list(self._waiting.get(stream, {}).values()):
            tell()

    def _look_later(self) -> None:
        if self._timer is None and not self._told:
            self._timer = asyncio.get_running_loop().call_later(LOOK_AFTER_S, self._look)

    def _look(self) -> None:
        self._timer = None
        for stream in list(self._waiting):
            if self._stands_still(stream):
                self.stands(stream)
        if self._waiting:
            self._look_later()


def row_stands_still(log: LogReader, stream: StreamId) -> bool:
    """Whether the row of a task says that it stands still."""
    entry = log.open_entry(stream)
    return entry is not None and entry.status in STANDING_STILL
