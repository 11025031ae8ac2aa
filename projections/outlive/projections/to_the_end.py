"""Following one stream: what happened in it so far, then live, until its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeAlias

from outlive.events import (
    BackgroundResultReceived,
    Event,
    FireEnded,
    FireResumed,
    FireStopped,
    FireSuspended,
    HeartbeatRecovered,
    HookRan,
    InvalidOffset,
    LogReader,
    MessageDelivered,
    NotFound,
    Recorded,
    StreamId,
    Subscription,
    TaskHooksCalled,
    TaskRecovered,
    TaskResultIgnored,
    ToolResultIgnored,
    Version,
)

_AFTER_THE_END: Final = (
    ToolResultIgnored,
    TaskResultIgnored,
    TaskHooksCalled,
    TaskRecovered,
    BackgroundResultReceived,
    FireEnded,
    FireResumed,
    FireStopped,
    FireSuspended,
    HeartbeatRecovered,
    HookRan,
    MessageDelivered,
)
_PAGE: Final = 4_096

Follow: TypeAlias = Callable[[StreamId, Version], Subscription[Recorded]]
Ends: TypeAlias = tuple[type[Event], ...]


async def follow_to_end(
    log: LogReader,
    stream: StreamId,
    ends: Ends,
    *,
    after: int,
    not_found: NotFound,
    resting: str = "",
    rests: tuple[type[Event], ...] = (),
    follow: Follow | None = None,
    begun: Callable[[StreamId], Awaitable[object]] | None = None,
) -> AsyncGenerator[Recorded, None]:
    """Yield a stream's events beyond version `after`, in order, once, then live, until its end.

    Also until it rests: until an event of `rests` is the last that the log has of it, or its row
    has the status `resting` when this is called, or when what came after such an event has been
    yielded. `follow` stands in for `log.follow`; `begun` waits for a stream whose first event is
    known to come.

    Raises:
        NotFound: `not_found`, at once, when there is no such stream.
        InvalidOffset: `after` is beyond the head of the stream, negative, or no whole number.
        LogClosed: the log was closed before the end.
    """
    if begun is not None:
        await begun(stream)
    head = log.version(stream)
    if head == 0:
        raise not_found
    if type(after) is not int or not 0 <= after <= head:
        raise InvalidOffset(after, head)
    over = end_of(log, stream, head, ends) is not None or _has_status(log, stream, resting)
    if over and after == head:
        return
    rested = False
    async with (follow or following(log))(stream, Version(after)) as subscription:
        async for recorded in subscription:
            yield recorded
            if isinstance(recorded.event, ends) and _stays_over(log, recorded, ends):
                return
            rests_now = isinstance(recorded.event, rests)
            rested = rested or rests_now
            # In this order: the row is of this very version then.
            if (rests_now or (rested and _has_status(log, stream, resting))) and (
                log.version(stream) == recorded.version
            ):
                return
            if over and recorded.version >= head:
                return


def _stays_over(log: LogReader, end: Recorded, ends: Ends) -> bool:
    """Whether what stands behind an end in the log does not make the stream go on."""
    head = log.version(end.stream)
    return head == end.version or end_of(log, end.stream, head, ends) == end


def end_of(log: LogReader, stream: StreamId, head: Version, ends: Ends) -> Recorded | None:
    """Return the event that ended a stream, if it is in the log, with what may stand behind it."""
    upto, size = head, 1
    while upto:
        start = Version(max(upto - size, 0))
        for recorded in reversed(log.read(stream, after=start, limit=size)):
            if recorded.version <= upto and not isinstance(recorded.event, _AFTER_THE_END):
                return recorded if isinstance(recorded.event, ends) else None
        upto, size = start, min(size * 8, _PAGE)
    return None


def read_stream(log: LogReader, stream: StreamId) -> list[Recorded]:
    """Return all events of a stream."""
    found, after = list[Recorded](), Version(0)
    while True:
        page = log.read(stream, after=after, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found
        after = page[-1].version


def following(log: LogReader) -> Follow:
    """Return how to follow a stream of this log."""
    return lambda stream, after: log.follow(stream, after=after)


def _has_status(log: LogReader, stream: StreamId, status: str) -> bool:
    entry = log.open_entry(stream) if status else None
    return entry is not None and entry.status == status
