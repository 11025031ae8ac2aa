"""Named subscriptions for code without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from outlive.events import NamedSubscription, Record, Recorded, StreamId

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
        self.name: Final = following.name
        self.stream: Final[StreamId | None] = following.stream

    @property
    def offset(self) -> int:
        """The version (of a stream) or position (of the log) of the last one yielded."""
        return self._following.offset

    def save(self, *, backwards: bool = False) -> None:
        """Save that all up to the last one yielded is done. See `NamedSubscription.save`."""
        self._wait(self._following.save(backwards=backwards))

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> T:
        """Return the next one, waiting for it if need be. Raises LogClosed at the log's end."""

        async def step() -> tuple[T] | None:
            try:
                return (await anext(self._following),)
            except StopAsyncIteration:
                return None

        found = self._wait(step())
        if found is None:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        """Detach; saves nothing. Twice is once."""
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
