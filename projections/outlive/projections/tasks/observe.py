"""Following tasks: one until its end, or several, in the order in which things happened."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from heapq import heappop, heappush, heapreplace
from typing import Final, NamedTuple, TypeAlias

from outlive.events import (
    Event,
    InvalidOffset,
    LogReader,
    Position,
    Record,
    Recorded,
    StreamId,
    Subscription,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    TaskQueued,
    TaskRejected,
    TaskRequeued,
    TaskSucceeded,
    TaskTimedOut,
    Version,
    task_stream,
)
from outlive.projections.to_the_end import Follow, end_of, follow_to_end
from outlive.projections.turn import let_others_go_on

ENDS: Final = (TaskSucceeded, TaskFailed, TaskTimedOut, TaskCancelled, TaskRejected)
"""With one of these a task is over."""
_PAGE: Final = 256  # events of a task that are read at a time
_SLICE: Final = 64  # events told before the loop gets its turn
_KNOWN: Final = 4_096  # tasks of which it is known whether they belong

FollowAll: TypeAlias = Callable[[Position], Subscription[Record]]


def observe_task(
    log: LogReader,
    task_id: str,
    *,
    after: int = 0,
    follow: Follow | None = None,
    begun: Callable[[StreamId], Awaitable[object]] | None = None,
) -> AsyncGenerator[Recorded, None]:
    """Yield a task's events beyond version `after`, in order, once, then live, until its end.

    Works in the owner's process and in any other. Leaving the loop touches nobody else. `follow`
    stands in for `log.follow`; `begun` waits for a task that is known, but not begun.

    Raises:
        TaskNotFound: at once, when there is no such task.
        InvalidOffset: `after` is beyond the head of the task, negative, or no whole number.
        LogClosed: the log was closed before the task was over.
    """
    return follow_to_end(
        log,
        task_stream(task_id),
        ENDS,
        after=after,
        not_found=TaskNotFound(task_id),
        follow=follow,
        begun=begun,
    )


class Begun(NamedTuple):
    """Where a task is found in the log."""

    first: Position
    stream: StreamId


async def observe_several(
    log: LogReader, ids: Sequence[str], *, after: int = 0, follow_all: FollowAll | None = None
) -> AsyncGenerator[Recorded, None]:
    """Yield the events of these tasks beyond position `after`, then live, until all are over.

    In order of position. `follow_all` stands in for `log.follow_all`.

    Raises:
        TaskNotFound: at once, when there is no such task.
        InvalidOffset: `after` is beyond the head of the log, negative, or no whole number.
        LogClosed: the log was closed before all were over.
    """
    there: dict[StreamId, Begun] = {}
    for task_id in ids:
        stream = task_stream(task_id)
        first = log.read(stream, limit=1)
        if not first:
            raise TaskNotFound(task_id)
        there[stream] = Begun(first[0].position, stream)
    head = check_position(log, after)
    async for recorded in _merged(log, list(there.values()), after=Position(after), head=head):
        yield recorded
    goes_on = {stream for stream in there if not _is_over(log, stream, head)}
    if not goes_on:
        return
    async with (follow_all or following_all(log))(head) as live:
        async for record in live:
            if record.stream not in there:
                continue
            for recorded in record.recorded():
                yield recorded
                if isinstance(recorded.event, ENDS):
                    goes_on.discard(record.stream)
                elif isinstance(recorded.event, TaskRequeued):
                    goes_on.add(record.stream)
            if not goes_on:
                return


async def observe_all(
    log: LogReader,
    tasks: Sequence[Begun],
    is_one: Callable[[StreamId], bool],
    *,
    after: Position,
    head: Position,
    follow_all: FollowAll | None = None,
) -> AsyncGenerator[Recorded, None]:
    """Yield what has happened in `tasks` up to `head`, then live what happens in such as are one.

    `tasks` are all of those that something has happened in between `after` and `head`.
    """
    async for recorded in _merged(log, tasks, after=after, head=head):
        yield recorded
    async with (follow_all or following_all(log))(head) as live:
        async for record in live:
            if is_one(record.stream):
                for recorded in record.recorded():
                    yield recorded


def check_position(log: LogReader, after: object) -> Position:
    """Return the head of a log that `after` may be a position of. Raises InvalidOffset."""
    head = log.head
    if type(after) is not int or not 0 <= after <= head:
        raise InvalidOffset(after, head)
    return head


def _is_over(log: LogReader, stream: StreamId, head: Position) -> bool:
    """Whether a task was over at a position."""
    end = end_of(log, stream, log.version(stream), ENDS)
    return end is not None and end.position <= head


async def _merged(
    log: LogReader, tasks: Sequence[Begun], *, after: Position, head: Position
) -> AsyncGenerator[Recorded, None]:
    """Yield the events of tasks beyond position `after`, up to `head`, in order of position.

    A task is read page by page, from when its first event has its turn, so what is in memory
    does not grow with the number of tasks, but with how many go on side by side.
    """
    waiting = sorted(tasks, reverse=True)
    reading: list[tuple[Position, Version, Recorded, Iterator[Recorded]]] = []
    told = 0
    while waiting or reading:
        while waiting and (not reading or waiting[-1].first <= reading[0][0]):
            events = _beyond(log, waiting.pop().stream, after, head)
            if (first := next(events, None)) is not None:
                heappush(reading, (first.position, first.version, first, events))
        if not reading:
            continue
        _, _, recorded, events = reading[0]
        if (then := next(events, None)) is None:
            heappop(reading)
        else:
            heapreplace(reading, (then.position, then.version, then, events))
        yield recorded
        told += 1
        if told % _SLICE == 0:
            await let_others_go_on()


def _beyond(
    log: LogReader, stream: StreamId, after: Position, head: Position
) -> Iterator[Recorded]:
    version = Version(0)
    while page := log.read(stream, after=version, limit=_PAGE):
        for recorded in page:
            if recorded.position > head:
                return
            if recorded.position > after:
                yield recorded
        version = page[-1].version


def belongs(log: LogReader, field: str, value: str) -> Callable[[StreamId], bool]:
    """Return what tells whether a stream is a task that was queued with this field."""

    @lru_cache(maxsize=_KNOWN)
    def is_one(stream: StreamId) -> bool:
        if not stream.startswith("task-"):
            return False
        first = log.read(stream, limit=1)
        return bool(first) and _was_queued_with(first[0].event, field, value)

    return is_one


def _was_queued_with(event: Event, field: str, value: str) -> bool:
    return isinstance(event, TaskQueued) and getattr(event, field) == value


def following_all(log: LogReader) -> FollowAll:
    """Return how to follow all of this log."""
    return lambda after: log.follow_all(after=after)
