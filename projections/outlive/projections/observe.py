"""Following one run: what it did so far, then live, until it is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, Literal, TypeAlias

import msgspec

from outlive.events import (
    BackgroundResultReceived,
    InvalidOffset,
    LogReader,
    MessageDelivered,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallStarted,
    ModelDelta,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunNotFound,
    RunSuspended,
    StreamId,
    Subscription,
    ToolResultIgnored,
    Version,
    run_stream,
)

_ENDS: Final = (RunCompleted, RunFailed, RunCancelled)
_AFTER_THE_END: Final = (ToolResultIgnored, MessageDelivered, BackgroundResultReceived)

Follow: TypeAlias = Callable[[StreamId, Version], Subscription[Recorded]]


class TextReset(msgspec.Struct, frozen=True):
    """What was yielded of this answer is void: it was cut off, and begins anew."""


async def observe_run(
    log: LogReader,
    run_id: str,
    *,
    after: int = 0,
    until: Literal["end", "rest"] = "end",
    follow: Follow | None = None,
    begun: Callable[[StreamId], Awaitable[object]] | None = None,
) -> AsyncGenerator[Recorded, None]:
    """Yield a run's events beyond version `after`, in order, once, then live, until its end.

    With `until="rest"` also until it is suspended: until what it waits for a person to say is
    the last that the log has of it.

    Works in the owner's process and in any other, for running and finished runs alike. Any
    number may observe at the same time; leaving the loop touches nobody else. `follow` stands
    in for `log.follow`; `begun` waits for a run whose start is known, but not carried out.

    Raises:
        RunNotFound: at once, when there is no such run.
        InvalidOffset: `after` is beyond the head of the run, negative, or no whole number.
        LogClosed: the log was closed before the run was over.
    """
    stream = run_stream(run_id)
    if begun is not None:
        await begun(stream)
    head = log.version(stream)
    if head == 0:
        raise RunNotFound(run_id)
    if type(after) is not int or not 0 <= after <= head:
        raise InvalidOffset(after, head)
    if until not in ("end", "rest"):
        raise ValueError(f"until is 'end' or 'rest', not {until!r}")
    over = _is_over(log, stream, head) or (until == "rest" and _is_suspended(log, stream))
    if over and after == head:
        return
    async with (follow or _follow(log))(stream, Version(after)) as subscription:
        async for recorded in subscription:
            yield recorded
            if isinstance(recorded.event, _ENDS):
                return
            rests = until == "rest" and isinstance(recorded.event, RunSuspended)
            if rests and log.version(stream) == recorded.version:
                return
            if over and recorded.version >= head:
                return


def _is_over(log: LogReader, stream: StreamId, head: Version) -> bool:
    """Whether the end is in the log already, with what may stand behind it."""
    back = 1
    while True:
        for recorded in reversed(log.read(stream, after=Version(max(head - back, 0)), limit=back)):
            if recorded.version <= head and not isinstance(recorded.event, _AFTER_THE_END):
                return isinstance(recorded.event, _ENDS)
        if back >= head:
            return False
        back = min(back * 8, head, 4_096)


def _is_suspended(log: LogReader, stream: StreamId) -> bool:
    entry = log.open_entry(stream)
    return entry is not None and entry.status == "suspended"


def _follow(log: LogReader) -> Follow:
    return lambda stream, after: log.follow(stream, after=after)


async def text_of(events: AsyncIterator[Recorded]) -> AsyncGenerator[str | TextReset, None]:
    """Yield the text of a run's answers as it comes in, from events of `observe_run`.

    When a crash cut an answer off, or its call failed and is made again, `TextReset` comes before
    it begins anew. Begin at the start of the run, or between two answers: of an answer that is
    joined in the middle, what was told before is guessed from the text.
    """
    told = ""
    async for recorded in events:
        match recorded.event:
            case ModelDelta(kind="text", text=text):
                told += text
                yield text
            case ModelAttemptAbandoned() | ModelCallStarted():  # a retry, if something was told
                if told:
                    yield TextReset()
                told = ""
            case ModelCallCompleted(text=text):
                # Who came in the middle of the answer has seen a part of it from there on.
                rest = text[max(text.find(told), 0) + len(told) :]
                if rest:
                    yield rest
                told = ""
            case _:
                pass
