"""Named subscriptions for code without an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from outlive.events import LogClosed, NamedSubscription, Record, Recorded, StreamId

R = TypeVar("R")
T = TypeVar("T", Record, Recorded)


class Wait(Protocol):
    """Runs a coroutine on the runtime's loop, and waits for it."""

    def __call__(self, body: Coroutine[Any, Any, R]) -> R:
        """Return what the coroutine returns."""
        ...


class SyncSubscription(Generic[T]):
    """An iterator over a log beyond the saved offset, then live. See `NamedSubscription`.

    The same without `await`: it blocks until there is a next one.
    """

    def __init__(self, following: NamedSubscription[T], wait: Wait) -> None:
        self._following: NamedSubscription[T] = following
        self._wait = wait
        self._offset = following.offset
        self._taken: deque[tuple[int, T]] = deque()  # and not yielded: who asked was interrupted
        self._taking = asyncio.Lock()
        self._over = False
        self.name: Final = following.name
        self.stream: Final[StreamId | None] = following.stream

    @property
    def offset(self) -> int:
        """The version (of a stream) or position (of the log) of the last one yielded."""
        return self._offset

    def save(self, *, backwards: bool = False) -> None:
        """Save that all up to the last one yielded is done. See `NamedSubscription.save`."""
        self._wait(self._following.save_at(self._offset, backwards=backwards))

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> T:
        """Return the next one, waiting for it if need be. Raises LogClosed at the log's end.

        An interrupted wait loses nothing: the next call goes on from there.
        """
        while not self._over:
            with suppress(IndexError):
                self._offset, item = self._taken.popleft()
                return item
            self._wait(self._take())
        raise StopIteration

    async def _take(self) -> None:
        """See to it that there is one to be yielded. On the loop."""
        async with self._taking:
            if self._taken or self._over:
                return  # Another thread has asked for it, or one that was interrupted.
            try:
                item = await anext(self._following)
            except StopAsyncIteration:
                self._over = True
            else:
                self._taken.append((self._following.offset, item))

    def close(self) -> None:
        """Detach; saves nothing. Twice is once."""
        self._over = True
        with suppress(LogClosed):  # With the runtime, it is closed too.
            self._wait(self._following.aclose())

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Detach; saves nothing."""
        self.close()
