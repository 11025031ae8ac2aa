"""The live side of subscriptions: committed records are pushed to those who follow.

How a follower neither misses nor repeats an event: it registers first, from then on new
records collect in its queue, and only then reads the log from its cursor. What was committed
in between is seen twice, once in the log and once in the queue, and passed over by version
(or position). A queue that grows past its limit is thrown away, and the follower reads the
log again from its cursor: a slow follower costs the writer nothing and loses nothing.

`publish` may be called from any thread; a follower belongs to the event loop that iterates it.
One that is dropped without `aclose` (a `break` out of an `async for`), or whose loop is gone, is
taken out with the next call that comes along.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from outlive.events.errors import OutliveError
from outlive.events.ids import Position, StreamId, Version
from outlive.events.record import Record, Recorded

QUEUE_LIMIT: Final = 1_024
READ_LIMIT: Final = 512

T = TypeVar("T", Record, Recorded)


class Feed:
    """Hands each committed record to the followers that want it.

    `on_follow` is called when a follower has registered, before it reads the log.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_stream: dict[StreamId, list[_Queue]] = {}
        self._all: list[_Queue] = []
        self._dropped: deque[tuple[StreamId | None, _Queue]] = deque()
        self._ended: OutliveError | None = None
        self.on_follow: Callable[[], None] | None = None

    @property
    def followed(self) -> bool:
        """Whether there is any follower."""
        if self._dropped:
            with self._lock:
                self._take_out_dropped()
        return bool(self._all or self._by_stream)

    def wants(self, stream: StreamId) -> bool:
        """Whether anybody follows this stream: spares building records nobody asked for.

        Ask once the record can be read: who follows from then on finds it in the log.
        """
        return bool(self._all) or stream in self._by_stream

    def publish(self, records: Sequence[Record]) -> None:
        """Push records, in the order of their positions."""
        woken: dict[asyncio.AbstractEventLoop, list[_Queue]] = {}
        with self._lock:
            self._take_out_dropped()
            for record in records:
                for queue in (*self._by_stream.get(record.stream, ()), *self._all):
                    if queue.push(record):
                        woken.setdefault(queue.loop, []).append(queue)
        self._wake(woken)

    def end(self, error: OutliveError) -> None:
        """Tell all followers, present and to come, that no more will follow."""
        woken: dict[asyncio.AbstractEventLoop, list[_Queue]] = {}
        with self._lock:
            self._take_out_dropped()
            self._ended = error
            for queue in self._queues():
                queue.ended = error
                woken.setdefault(queue.loop, []).append(queue)
        self._wake(woken)

    def read_again(self) -> None:
        """Have all followers read the log from their cursors: somebody else pushes from now on.

        Call it when the one who pushed before has ended, and before the other one begins.
        """
        woken: dict[asyncio.AbstractEventLoop, list[_Queue]] = {}
        with self._lock:
            self._take_out_dropped()
            for queue in self._queues():
                queue.lagging = True
                woken.setdefault(queue.loop, []).append(queue)
        self._wake(woken)

    def register(self, stream: StreamId | None) -> _Queue:
        """Add a queue for one stream, or for all; belongs to the running event loop.

        `on_follow` has run when it returns.
        """
        queue = _Queue(asyncio.get_running_loop(), self._lock)
        with self._lock:
            self._take_out_dropped()
            if stream is None:
                self._all.append(queue)
            else:
                self._by_stream.setdefault(stream, []).append(queue)
            queue.ended = self._ended
        if self.on_follow is not None:
            try:
                self.on_follow()
            except BaseException:
                self.unregister(stream, queue)
                raise
        return queue

    def unregister(self, stream: StreamId | None, queue: _Queue) -> None:
        """Take a queue out again. Twice is once."""
        with self._lock:
            self._take_out(stream, queue)

    def drop(self, stream: StreamId | None, queue: _Queue) -> None:
        """Have a queue taken out later: takes no lock, a finalizer may call it anywhere."""
        self._dropped.append((stream, queue))

    def _take_out_dropped(self) -> None:
        while self._dropped:
            self._take_out(*self._dropped.popleft())

    def _take_out(self, stream: StreamId | None, queue: _Queue) -> None:
        queues = self._all if stream is None else self._by_stream.get(stream, [])
        if queue in queues:
            queues.remove(queue)
        if stream is not None and not queues:
            self._by_stream.pop(stream, None)

    def _queues(self) -> list[_Queue]:
        return [*self._all, *(queue for queues in self._by_stream.values() for queue in queues)]

    def _wake(self, woken: dict[asyncio.AbstractEventLoop, list[_Queue]]) -> None:
        for loop, queues in woken.items():
            try:
                loop.call_soon_threadsafe(_wake_all, queues)
            except RuntimeError:
                self._take_out_all_of(loop)  # It is closed, and with it went its followers.

    def _take_out_all_of(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._all = [queue for queue in self._all if queue.loop is not loop]
            left = {
                stream: [queue for queue in queues if queue.loop is not loop]
                for stream, queues in self._by_stream.items()
            }
            self._by_stream = {stream: queues for stream, queues in left.items() if queues}


def _wake_all(queues: list[_Queue]) -> None:
    for queue in queues:
        queue.wake()


class _Queue:
    """Records pushed for one follower. `push` under the feed's lock, the rest on the loop."""

    __slots__ = ("_asleep", "_lock", "_records", "_waiter", "ended", "lagging", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, lock: threading.Lock) -> None:
        self.loop = loop
        self._lock = lock
        self.lagging = True  # nothing read yet: the log has what came before
        self.ended: OutliveError | None = None
        self._records: deque[Record] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._asleep = False

    def push(self, record: Record) -> bool:
        """Add a record; return whether the follower is to be woken."""
        if len(self._records) >= QUEUE_LIMIT:
            self._records.clear()
            self.lagging = True
            if self.loop.is_closed():
                return True  # Nobody will ever take them; waking finds that out.
        self._records.append(record)
        asleep, self._asleep = self._asleep, False
        return asleep

    def take(self) -> Record | None:
        """Return the next record, if there is one and none before it was thrown away."""
        with self._lock:
            return self._records.popleft() if self._records and not self.lagging else None

    def wake(self) -> None:
        """Let `wait` return."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Return when there is something to take, or nothing more to come."""
        waiter = self._waiter = self.loop.create_future()
        self._asleep = True
        # A push between the look and the sleep has seen the follower awake.
        if self._records or self.lagging or self.ended is not None:
            self._asleep = False
            return
        await waiter


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
        unpack: Callable[[Record, int], Sequence[T]],
        cursor: Callable[[T], int],
    ) -> None:
        self._feed = feed
        self._stream = stream
        self._after = after
        self._read: Callable[[int], Sequence[T]] = read
        self._unpack: Callable[[Record, int], Sequence[T]] = unpack
        self._cursor: Callable[[T], int] = cursor
        self._queue: _Queue | None = None
        self._ready: deque[T] = deque()
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

    def _fill(self, queue: _Queue) -> bool:
        """Move what is there into `_ready`; return whether there was anything."""
        if queue.lagging:
            if queue.ended is not None:
                raise queue.ended.with_traceback(None)
            queue.lagging = False  # Before the read: an overflow during it counts again.
            try:
                found = self._read(self._after)
            except BaseException:
                queue.lagging = True
                raise
            self._ready.extend(found)
            if len(found) >= READ_LIMIT:
                queue.lagging = True  # A full page: more may follow it.
        else:
            record = queue.take()
            while record is not None:
                self._ready.extend(self._unpack(record, self._after))
                if self._ready:
                    break
                record = queue.take()
        return bool(self._ready) or queue.lagging

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
            self._feed.unregister(self._stream, self._queue)
            self._queue.wake()

    def __del__(self) -> None:
        """Detach, if nobody did."""
        if self._queue is not None and not self._closed:
            self._feed.drop(self._stream, self._queue)

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
        unpack=lambda record, version: record.recorded(after=Version(version)),
        cursor=lambda recorded: recorded.version,
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
        unpack=lambda record, position: [record] if record.position > position else [],
        cursor=lambda record: record.position,
    )
