"""Letting the writer have its turn beside an event loop that is never idle.

CPython gives the GIL to whoever wakes up in time. A loop that always has something to run lets
go of it for a microsecond in each of its rounds, and a thread that waits needs longer than that
to wake up; as it was woken, it does not even ask for the GIL to be dropped. Measured: beside one
task that computes for 100 us between `sleep(0)`s, a thread waits for half a second, each time.
A commit needs the GIL several times, so commits would stand still for as long as the loop is
busy.

So from an append on, until nothing is pending, the loop looks every 5 ms whether a batch came
to its end. If none did, it stands aside: it blocks until the writer has finished one, at most
20 ms. While the writer flushes it needs no GIL, and there the loop waits for 1 ms at most.
"""

from __future__ import annotations

import asyncio
from typing import Final

from outlive.events.lmdb_store.writer import Writer

LOOK_AFTER_S: Final = 0.005
_LOOK_WHILE_PARKED_S: Final = 0.25
_ASIDE_S: Final = 0.02
_ASIDE_WHILE_FLUSHING_S: Final = 0.001


class Turn:
    """Looks after one writer, on the loops that append to it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled_count = 0

    def appended(self) -> None:
        """Begin to look, if this thread runs an event loop and does not yet."""
        loop = self._loop
        if loop is None or loop.is_closed():
            try:
                self._loop = loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            self._settled_count = self._writer.settled_count
            loop.call_later(LOOK_AFTER_S, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        writer = self._writer
        if writer.settled_count == writer.put_count:
            self._loop = None
            return
        if writer.parking.reason:
            loop.call_later(_LOOK_WHILE_PARKED_S, self._look, loop)  # No turn would help it.
            return
        if writer.settled_count == self._settled_count:
            writer.batch_done.clear()
            if writer.settled_count == self._settled_count:
                flushing = writer.flushing
                writer.batch_done.wait(_ASIDE_WHILE_FLUSHING_S if flushing else _ASIDE_S)
        self._settled_count = writer.settled_count
        loop.call_later(LOOK_AFTER_S, self._look, loop)
