"""Who waits for outcomes of entities: in memory or not, they are told at the address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Generic, TypeVar

from outlive.events import OpenEntry, OutliveError, StreamId

R = TypeVar("R")


class StandsStill(OutliveError):
    """Told to those who wait for an outcome: the entity, brought in anew, cannot go on.

    `entry` is its row, which says why.
    """

    def __init__(self, entry: OpenEntry) -> None:
        super().__init__(f"it is {entry.status}: {entry.reason}")
        self.entry = entry


class Waiters(Generic[R]):
    """Futures of outcomes, by stream. Whoever gives up waiting is forgotten."""

    def __init__(self) -> None:
        self._waiting: dict[StreamId, dict[asyncio.Future[R], None]] = {}
        self._loop = asyncio.get_running_loop()

    def add(self, stream: StreamId) -> asyncio.Future[R]:
        """Return a future of the entity's outcome."""
        waiter: asyncio.Future[R] = self._loop.create_future()
        self._waiting.setdefault(stream, {})[waiter] = None
        waiter.add_done_callback(partial(self._forget, stream))
        return waiter

    def _forget(self, stream: StreamId, waiter: asyncio.Future[R]) -> None:
        waiting = self._waiting.get(stream)
        if waiting is not None:
            waiting.pop(waiter, None)
            if not waiting:
                del self._waiting[stream]

    def answer(self, stream: StreamId, outcome: Callable[[], R]) -> None:
        """Tell those who wait for an entity what it came to, or why that cannot be told."""
        if stream not in self._waiting:
            return
        try:
            told = outcome()
        except Exception as error:  # noqa: BLE001  # they must not wait for ever
            self.fail(stream, error)
            return
        for waiter in self._waiting.pop(stream):
            if not waiter.done():
                waiter.set_result(told)

    def fail(self, stream: StreamId, error: BaseException) -> None:
        """Tell those who wait for an entity that they wait in vain."""
        for waiter in self._waiting.pop(stream, ()):
            if not waiter.done():
                waiter.set_exception(error)
                waiter.exception()  # Nobody may be left who awaits it.

    def fail_all(self, error: BaseException, *, but: Collection[StreamId] = ()) -> None:
        """The same for all entities, but these."""
        for stream in [stream for stream in self._waiting if stream not in but]:
            self.fail(stream, error)
