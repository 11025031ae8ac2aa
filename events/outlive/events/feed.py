"""The live side of subscriptions: committed records are pushed to those who follow.

How a follower neither misses nor repeats an event: it registers first, from then on new
records collect in a queue, and only then reads the log from its cursor. What was committed
in between is seen twice, once in the log and once in the queue, and passed over by version
(or position).

The queue is one for all who follow the same, each has its place in it. So a push costs the
writer the same for one follower and for a hundred, but for those that sleep and are woken. The
queue keeps what somebody has not taken yet, up to 16,384 records of 32 MiB at most. Who has
fallen behind them reads the log again from his cursor: a slow follower costs the writer nothing
and loses nothing. What was pushed together is kept and let go of together, so that what many of
them want to know of it is found out once. It is let go of soon: what is kept needlessly makes
everybody else's work slower, by a tenth where it is a thousand records.

`publish` may be called from any thread; a follower belongs to the event loop that iterates it.
One that is dropped without `aclose` (a `break` out of an `async for`), or whose loop is gone, is
taken out with the next call that comes along.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from typing import Final

from outlive.events.errors import OutliveError
from outlive.events.event import Event
from outlive.events.ids import StreamId
from outlive.events.record import Record

QUEUE_LIMIT: Final = 1_024
"""Records that are kept for one who is slow where nobody knows how large they are."""

LONGEST_QUEUE: Final = 16 * QUEUE_LIMIT
"""Records that are kept for one who is slow: a thousand runs at once write 1,024 in no time."""

_LOOK_AFTER: Final = 64  # records pushed, it is seen which of them all have taken
_QUEUE_BYTES: Final = 32 << 20  # of events, but for those that were pushed last
_UNKNOWN_BYTES: Final = _QUEUE_BYTES // QUEUE_LIMIT  # So nobody keeps more of them than 1,024.

_events_of: Final[Callable[[Record], tuple[Event, ...]]] = attrgetter("events")


class Feed:
    """Hands each committed record to the followers that want it.

    `on_follow` is called when a follower has registered, before it reads the log.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_stream: dict[StreamId, Topic] = {}
        self._all = Topic()
        self._dropped: deque[Queue] = deque()
        self._ended: OutliveError | None = None
        self._at_lull: dict[Queue, Callable[[], None]] = {}
        self.on_follow: Callable[[], None] | None = None

    @property
    def followed(self) -> bool:
        """Whether there is any follower."""
        if self._dropped:
            with self._lock:
                self._take_out_dropped()
        return bool(self._all.queues or self._by_stream)

    def wants(self, stream: StreamId) -> bool:
        """Whether anybody follows this stream: spares building records nobody asked for.

        Ask once the record can be read: who follows from then on finds it in the log.
        """
        return bool(self._all.queues) or stream in self._by_stream

    def publish(self, records: Sequence[Record], sizes: Sequence[int] | None = None) -> None:
        """Push records, in the order of their positions. A follower that is awake costs nothing.

        `sizes`: the bytes of their events, where they are known.
        """
        if not records:
            return
        if sizes is None:
            sizes = (_UNKNOWN_BYTES,) * len(records)
        # A writer calls it for each batch, often of one record: no calls that can be spared.
        woken: dict[Queue, None] = {}
        with self._lock:
            if self._dropped:
                self._take_out_dropped()
            if self._by_stream:
                for record, size_bytes in zip(records, sizes, strict=True):
                    topic = self._by_stream.get(record.stream)
                    if topic is not None:
                        topic.push((record,), size_bytes, woken)
            if self._all.queues:
                self._all.push(records, sum(sizes), woken)
        if woken:
            self._wake(woken)

    def at_lull(self, queue: Queue, wake: Callable[[], None]) -> None:
        """Have `wake` called on the queue's loop, once, when the writer next waits for the disk.

        What a loop does meanwhile keeps nobody from what is durable already. Of one queue, the
        last one holds.
        """
        self._at_lull[queue] = wake

    def lull(self) -> None:
        """The writer begins to wait for the disk: tell those who wait for that."""
        while self._at_lull:
            with suppress(KeyError, RuntimeError):  # It was taken out just now; it is closed.
                queue, wake = self._at_lull.popitem()
                queue.loop.call_soon_threadsafe(wake)

    def end(self, error: OutliveError) -> None:
        """Tell all followers, present and to come, that no more will follow."""
        with self._lock:
            self._take_out_dropped()
            self._ended = error
            queues = self._queues()
            for queue in queues:
                queue.ended = error
        self._wake(queues)

    def read_again(self) -> None:
        """Have all followers read the log from their cursors: somebody else pushes from now on.

        Call it when the one who pushed before has ended, and before the other one begins.
        """
        with self._lock:
            self._take_out_dropped()
            queues = self._queues()
            for queue in queues:
                queue.lagging = True
                queue.topic.clear()  # Others may have written since the last of them.
        self._wake(queues)

    def register(self, stream: StreamId | None) -> Queue:
        """Add a queue for one stream, or for all; belongs to the running event loop.

        `on_follow` has run when it returns.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            self._take_out_dropped()
            topic = self._all if stream is None else self._by_stream.setdefault(stream, Topic())
            queue = Queue(loop, self._lock, stream, topic)
            topic.queues[queue] = None
            queue.ended = self._ended
        if self.on_follow is not None:
            try:
                self.on_follow()
            except BaseException:
                self.unregister(queue)
                raise
        return queue

    def unregister(self, queue: Queue) -> None:
        """Take a queue out again. Twice is once."""
        with self._lock:
            self._take_out(queue)

    def drop(self, queue: Queue) -> None:
        """Have a queue taken out later: takes no lock, a finalizer may call it anywhere."""
        self._dropped.append(queue)

    def _take_out_dropped(self) -> None:
        while self._dropped:
            self._take_out(self._dropped.popleft())

    def _take_out(self, queue: Queue) -> None:
        topic = queue.topic
        topic.queues.pop(queue, None)
        topic.asleep.pop(queue, None)
        self._at_lull.pop(queue, None)
        if topic.queues:
            return
        if queue.stream is None:
            topic.clear()
        elif self._by_stream.get(queue.stream) is topic:
            del self._by_stream[queue.stream]

    def _queues(self) -> dict[Queue, None]:
        found = dict(self._all.queues)
        for topic in self._by_stream.values():
            found |= topic.queues
        return found

    def _wake(self, woken: dict[Queue, None]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[Queue]] = {}
        for queue in woken:
            by_loop.setdefault(queue.loop, []).append(queue)
        for loop, queues in by_loop.items():
            try:
                loop.call_soon_threadsafe(_wake_all, queues)
            except RuntimeError:  # It is closed, and with it went its followers.
                with self._lock:
                    for queue in self._queues():
                        if queue.loop is loop:
                            self._take_out(queue)


def _wake_all(queues: list[Queue]) -> None:
    for queue in queues:
        queue.wake()


def types_of(records: Sequence[Record]) -> frozenset[type[Event]]:
    """Return the types of all their events."""
    return frozenset(map(type, chain.from_iterable(map(_events_of, records))))


class Push:
    """Records that were pushed together, in order. At least one."""

    __slots__ = ("_types", "records", "size_bytes")

    def __init__(self, records: Sequence[Record], size_bytes: int) -> None:
        self.records: Final = records
        self.size_bytes: Final = size_bytes
        self._types: frozenset[type[Event]] | None = None

    @property
    def types(self) -> frozenset[type[Event]]:
        """The types of their events. The first one who asks has them found out."""
        types = self._types
        if types is None:
            types = self._types = types_of(self.records)
        return types


class Topic:
    """The last records of one stream, or of all, for those who follow. Under the feed's lock."""

    __slots__ = ("_kept_bytes", "asleep", "kept_count", "pushed_count", "pushes", "queues")

    def __init__(self) -> None:
        self.pushes: deque[Push] = deque()
        self.kept_count = 0  # records in them
        self._kept_bytes = 0
        self.pushed_count = 0  # records, ever
        self.queues: dict[Queue, None] = {}
        self.asleep: dict[Queue, None] = {}

    def push(self, records: Sequence[Record], size_bytes: int, woken: dict[Queue, None]) -> None:
        """Add records, in the place of the oldest ones where there are too many.

        Who is to be woken for that is added to `woken`.
        """
        self.pushes.append(Push(records, size_bytes))
        self.kept_count += len(records)
        self._kept_bytes += size_bytes
        rounds = self.pushed_count // _LOOK_AFTER
        self.pushed_count += len(records)
        if self.pushed_count // _LOOK_AFTER != rounds:
            self._look_after_followers()
        while self._kept_bytes > _QUEUE_BYTES or self.kept_count > LONGEST_QUEUE:
            if not self._let_go_of_oldest(1):
                break
        if self.asleep:
            woken |= self.asleep
            self.asleep = {}

    def clear(self) -> None:
        """Keep none."""
        self.pushes.clear()
        self.kept_count = self._kept_bytes = 0

    def _look_after_followers(self) -> None:
        """Let go of what all of them have taken; have one whose loop is gone noticed."""
        wanted = 1
        for queue in self.queues:
            if queue.loop.is_closed():
                self.asleep[queue] = None  # It never will be; waking it finds that out.
            else:
                wanted = max(wanted, queue.behind)
        while self._let_go_of_oldest(wanted):
            pass

    def _let_go_of_oldest(self, wanted: int) -> bool:
        """Let go of the oldest push, if there are as many records as are wanted without it."""
        if not self.pushes:
            return False
        oldest = self.pushes[0]
        left = self.kept_count - len(oldest.records)
        if left < wanted:
            return False
        self.pushes.popleft()
        self.kept_count = left
        self._kept_bytes -= oldest.size_bytes
        return True


class Queue:
    """One follower's place among the records of a topic. Belongs to its loop."""

    __slots__ = ("_lock", "_taken_count", "_waiter", "ended", "lagging", "loop", "stream", "topic")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lock: threading.Lock,
        stream: StreamId | None,
        topic: Topic,
    ) -> None:
        self.loop = loop
        self.stream = stream
        self.topic = topic
        self.lagging = True  # nothing read yet: the log has what came before
        self.ended: OutliveError | None = None
        self._lock = lock
        self._taken_count = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def behind(self) -> int:
        """How many of the topic's records it will take; none, if it has to read the log."""
        count = self.topic.pushed_count - self._taken_count
        return 0 if self.lagging or count > self.topic.kept_count else count

    def catch_up(self) -> Record | None:
        """Begin with what is pushed from now on: all before that is about to be read.

        Returns the last record that was pushed, if it is still known: who has read that one
        has read all that was to be read.
        """
        with self._lock:
            self.lagging = False
            self._taken_count = self.topic.pushed_count
            pushes = self.topic.pushes
            return pushes[-1].records[-1] if pushes else None

    def take(self) -> list[Push]:
        """Return what was pushed since the last time; nothing if some of it is gone already."""
        found: list[Push] = []
        with self._lock:
            count = self.topic.pushed_count - self._taken_count
            if count > self.topic.kept_count:
                self.lagging = True
            if self.lagging or not count:
                return found
            self._taken_count = self.topic.pushed_count
            for push in reversed(self.topic.pushes):  # Not all: thousands may be kept.
                if not count:
                    break
                found.append(push)
                count -= len(push.records)
        found.reverse()
        return found

    def wake(self) -> None:
        """Let `wait` return."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Return when there is something to take, or nothing more to come."""
        self._waiter = self.loop.create_future()
        with self._lock:
            new = self.topic.pushed_count != self._taken_count
            if new or self.lagging or self.ended is not None:
                return
            self.topic.asleep[self] = None
        await self._waiter
