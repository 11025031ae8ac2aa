"""Following a log: an async iterator over what it holds, and then over what is committed.

Each iterator reads the log from its cursor, and takes what comes from the feed (`feed.py`),
which tells how nothing is missed in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from outlive.events.errors import OutliveError
from outlive.events.event import Event
from outlive.events.feed import Feed, Push, Queue
from outlive.events.ids import Position, StreamId, Version
from outlive.events.record import Record, Recorded

READ_LIMIT: Final = 512
"""Records, or events of a stream, that are read at a time."""

T = TypeVar("T", Record, Recorded)


class Subscription(Generic[T]):
    """An async iterator over what a log holds beyond a cursor, then live, in order, once.

    Ends with `LogClosed` when the log is closed. `aclose`, or leaving an `async with`,
    detaches it; nobody else is affected.
    """

    def __init__(
        self,
        feed: Feed,
        stream: StreamId | None,
        after: int,
        *,
        read: Callable[[int], Sequence[T]],
        unpack: Callable[[Sequence[Push], int], Sequence[T]],
        cursor: Callable[[T], int],
        end: Callable[[Record], int],
        full: int,
    ) -> None:
        self._feed = feed
        self._stream = stream
        self._after = after
        self._read: Callable[[int], Sequence[T]] = read
        self._unpack: Callable[[Sequence[Push], int], Sequence[T]] = unpack
        self._cursor: Callable[[T], int] = cursor
        self._end: Callable[[Record], int] = end  # the cursor behind a record
        self._full = full
        self._queue: Queue | None = None
        self._until = 0  # the cursor up to which the log is read, before the queue is taken from
        self._ready: deque[T] = deque()
        self._pushes: Sequence[Push] = ()  # what is in `_ready`, if it was pushed
        self._closed = False
        self._ended: OutliveError | None = None

    @property
    def offset(self) -> int:
        """The cursor of the last one that was returned; where it began, before that."""
        return self._after

    def __aiter__(self) -> Subscription[T]:
        """Return itself."""
        return self

    async def __anext__(self) -> T:
        """Return the next one, waiting for it if need be."""
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            if self._ended is not None:
                raise self._ended
            if self._queue is None:
                self._queue = self._feed.register(self._stream)
            if not self._fill(self._queue):
                if self._queue.ended is not None:
                    # One error for all followers: it must not collect their frames.
                    raise self._queue.ended.with_traceback(None)
                await self._queue.wait()
        item = self._ready.popleft()
        self._after = self._cursor(item)
        return item

    async def batch(self) -> list[T]:
        """Return all that is at hand, in order, waiting for the first one if need be.

        Cheaper than one by one; a follower that comes for them seldom is woken seldom.
        """
        items: list[T] = [await anext(self)]
        items.extend(self._ready)
        self._ready.clear()
        self._after = self._cursor(items[-1])
        return items

    def lacks(self, types: frozenset[type[Event]]) -> bool:
        """Whether it is known that what `batch` returned has no event of these types.

        To be asked once, after it. Known of what was pushed; what was read is to be looked at.
        """
        pushes, self._pushes = self._pushes, ()
        return bool(pushes) and all(types.isdisjoint(push.types) for push in pushes)

    def at_lull(self, wake: Callable[[], None]) -> None:
        """Have `wake` called on this loop, once, when the log next waits for its disk.

        That may never be, and of a log that another process writes it never is; nor before the
        first one was asked for.
        """
        if self._queue is not None:
            self._feed.at_lull(self._queue, wake)

    def _fill(self, queue: Queue) -> bool:
        """Move what is there into `_ready`; return whether there was anything."""
        self._pushes = ()
        if queue.lagging:
            if queue.ended is not None:
                raise queue.ended.with_traceback(None)
            last = queue.catch_up()  # Before the read: what is pushed during it counts again.
            self._until = 0 if last is None else self._end(last)
            self._read_on(queue, unknown=last is None)
        elif self._after < self._until:
            self._read_on(queue, unknown=False)
        else:
            self._pushes = queue.take()
            self._ready.extend(self._unpack(self._pushes, self._after))
        return bool(self._ready) or queue.lagging

    def _read_on(self, queue: Queue, *, unknown: bool) -> None:
        """Read a page of what was there before the queue; `unknown`: nobody knows where it ends."""
        try:
            found = self._read(self._after)
        except BaseException:
            queue.lagging = True
            raise
        self._ready.extend(found)
        if len(found) < self._full:
            self._until = 0
        elif unknown:
            queue.lagging = True  # A full page: more may follow it.

    def end(self, error: OutliveError) -> None:
        """Raise `error` to who iterates, once what was handed over is used up. On its loop."""
        self._ended = error
        if self._queue is not None:
            self._queue.wake()

    async def aclose(self) -> None:
        """Detach. Twice is once."""
        self._closed = True
        self._ready.clear()
        if self._queue is not None:
            self._feed.unregister(self._queue)
            self._queue.wake()

    def __del__(self) -> None:
        """Detach, if nobody did."""
        if self._queue is not None and not self._closed:
            self._feed.drop(self._queue)

    async def __aenter__(self) -> Subscription[T]:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Detach."""
        await self.aclose()


def follow_stream(
    feed: Feed,
    stream: StreamId,
    after: Version,
    read: Callable[[StreamId, Version, int], list[Recorded]],
) -> Subscription[Recorded]:
    """Follow one stream by version."""
    return Subscription[Recorded](
        feed,
        stream,
        after,
        read=lambda version: read(stream, Version(version), READ_LIMIT),
        unpack=_events_beyond,
        cursor=lambda recorded: recorded.version,
        end=lambda record: record.last_version,
        full=READ_LIMIT,
    )


def follow_all(
    feed: Feed, after: Position, read: Callable[[Position, int], list[Record]]
) -> Subscription[Record]:
    """Follow the whole log by position."""
    return Subscription[Record](
        feed,
        None,
        after,
        read=lambda position: read(Position(position), READ_LIMIT),
        unpack=_records_beyond,
        cursor=lambda record: record.position,
        end=lambda record: record.position,
        full=1,  # A page of the log is bounded in bytes, too: only an empty one is the last.
    )


def _records_of(pushes: Sequence[Push]) -> Sequence[Record]:
    if len(pushes) == 1:
        return pushes[0].records
    return [record for push in pushes for record in push.records]


def _events_beyond(pushes: Sequence[Push], version: int) -> list[Recorded]:
    found: list[Recorded] = []
    for record in _records_of(pushes):  # One owner, and then the next, may have pushed the same.
        found += record.recorded(after=Version(version))
        if found:
            version = found[-1].version
    return found


def _records_beyond(pushes: Sequence[Push], position: int) -> Sequence[Record]:
    records = _records_of(pushes)
    if not records:
        return []
    first, last = records[0].position, records[-1].position
    if first > position and last - first == len(records) - 1:
        return records  # None twice and none left out, as nearly always.
    found: list[Record] = []
    for record in records:
        if record.position > position:
            position = record.position
            found.append(record)
    return found
