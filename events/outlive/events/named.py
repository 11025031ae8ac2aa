"""Named subscriptions: readers of a log that go on where they saved, in whatever process.

At least once: what was yielded and not saved when a process dies is yielded again. Reading and
saving are two steps, and there is no commit over both and what a reader does in between; who
must not do a thing twice keeps the offset with it, in the same transaction.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final, Generic, overload

from outlive.events.errors import OutliveError
from outlive.events.ids import NO_POSITION, NO_VERSION, Position, StreamId, Version
from outlive.events.offsets import OffsetStore, SavedOffset, check_name, check_same
from outlive.events.record import Record, Recorded
from outlive.events.subscription import Subscription, T


class NamedSubscription(Generic[T]):
    """An async iterator over what a log holds beyond the saved offset, then live, in order.

    Several may read under one name, also in several processes: each gets everything.
    """

    def __init__(
        self,
        name: str,
        stream: StreamId | None,
        following: Subscription[T],
        store: OffsetStore,
        log_id: str,
    ) -> None:
        self.name: Final = name
        self.stream: Final = stream
        self._following: Subscription[T] = following
        self._store = store
        self._log_id = log_id

    @property
    def offset(self) -> int:
        """The version (of a stream) or position (of the log) of the last one yielded."""
        return self._following.offset

    async def save(self, *, backwards: bool = False) -> None:
        """Save that all up to the last one yielded is done. Returns once that is durable.

        From then on nothing of it is yielded again under this name. What was not saved when
        the process dies is. The log's writer is not held up, whatever the disk does.

        Args:
            backwards: overwrite a later offset, too.

        Raises:
            OffsetMovedOn: another reader with this name has saved a later one.
            NameTaken: another reader has saved under this name, of another stream.
            LogFailed, LogNotWritable: it could not be saved.
            WriterStuck: another process is frozen while it saves; after 5 seconds.
            LogClosed: the log is closed.
        """
        await self.save_at(self.offset, backwards=backwards)

    async def save_at(self, offset: int, *, backwards: bool = False) -> None:
        """Save that all up to an offset is done, for one who hands on what is yielded. See `save`.

        Args:
            offset: that of one that was yielded.
            backwards: overwrite a later offset, too.
        """
        saved = SavedOffset(name=self.name, offset=offset, stream=self.stream, log_id=self._log_id)
        loop = asyncio.get_running_loop()
        # It waits for the disk, and for other processes that save: not on the loop.
        await loop.run_in_executor(None, lambda: self._store.put(saved, backwards=backwards))

    def __aiter__(self) -> NamedSubscription[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Return the next one, waiting for it if need be. Raises LogClosed at the log's end."""
        return await anext(self._following)

    def end(self, error: OutliveError) -> None:
        """Raise `error` to who iterates, once what was handed over is used up. On its loop."""
        self._following.end(error)

    async def aclose(self) -> None:
        """Detach; saves nothing. Twice is once."""
        await self._following.aclose()

    async def __aenter__(self) -> NamedSubscription[T]:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Detach; saves nothing."""
        await self.aclose()


class NamedReads(ABC):
    """The part of a `LogReader` that has to do with names."""

    _offsets: OffsetStore

    @property
    @abstractmethod
    def log_id(self) -> str:
        """The log's name for itself."""

    @abstractmethod
    def follow(self, stream: StreamId, *, after: Version = NO_VERSION) -> Subscription[Recorded]:
        """Follow one stream. See `LogReader.follow`."""

    @abstractmethod
    def follow_all(self, *, after: Position = NO_POSITION) -> Subscription[Record]:
        """Follow the log. See `LogReader.follow_all`."""

    @overload
    def subscription(self, name: str) -> NamedSubscription[Record]: ...

    @overload
    def subscription(self, name: str, *, stream: StreamId) -> NamedSubscription[Recorded]: ...

    def subscription(
        self, name: str, *, stream: StreamId | None = None
    ) -> NamedSubscription[Record] | NamedSubscription[Recorded]:
        """Return a named reader of the log, or of one stream. See `LogReader.subscription`."""
        saved = self._offsets.get(check_name(name))
        offset = 0
        if saved is not None:
            check_same(saved, self.log_id, stream)
            offset = saved.offset
        if stream is None:
            records = self.follow_all(after=Position(offset))
            return NamedSubscription[Record](name, None, records, self._offsets, self.log_id)
        events = self.follow(stream, after=Version(offset))
        return NamedSubscription[Recorded](name, stream, events, self._offsets, self.log_id)

    def offsets(self) -> list[SavedOffset]:
        """Return what named subscriptions have saved, by name."""
        return self._offsets.all()

    def forget(self, name: str) -> bool:
        """Forget a name, durably. See `LogReader.forget`."""
        return self._offsets.delete(check_name(name))
