"""What a run sees of its thread: the last of what was said, read from the end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from outlive.events import (
    CorruptLog,
    FilePart,
    HistoryCondensed,
    ImagePart,
    LogReader,
    Message,
    MessageAppended,
    Recorded,
    Signal,
    StreamId,
    ThreadRunCancelled,
    ToolMessage,
    UserMessage,
    Version,
    thread_stream,
)

_FIRST_LOOK: Final = 64  # events
_PAGE: Final = 1_000
CHARACTERS_PER_TOKEN: Final = 4
"""How tokens are estimated, as each model counts them otherwise."""

TOKENS_OF_AN_IMAGE: Final = 1_000
"""However many bytes it has: models count its pixels."""

_encode: Final = msgspec.json.Encoder().encode


class Said(NamedTuple):
    """A message of a thread, and the version of its event."""

    version: int
    message: Message


class SinceSummary(NamedTuple):
    """What was said since the last summary, the oldest first.

    `version` is that of the summary's event; 0: there is none. `cancelled` tells, by run, which
    were cancelled since. `head`: so far the thread was read.
    """

    version: int
    text: str
    said: list[Said]
    cancelled: dict[str, ThreadRunCancelled]
    head: int = 0


class Whole(NamedTuple):
    """All that was said on a thread up to a version, the oldest first, and its last summary."""

    said: list[Said]
    condensed: HistoryCondensed | None


def history(
    log: LogReader,
    thread_id: str,
    *,
    until: int,
    max_messages: int | None,
    max_tokens: int | None = None,
    summary: int = 0,
) -> tuple[Message, ...]:
    """Return the last messages of a thread up to version `until`, the oldest first.

    Never begins with the answer of a tool whose call is not in it. Only the end of the thread is
    read, however long it is.

    Args:
        log: the log.
        thread_id: the thread.
        until: messages beyond this version are not told.
        max_messages: so many at most; None: all.
        max_tokens: of so many tokens at most, estimated by their length; None: no bound.
        summary: the version of the event with a summary, which comes first, in the place of what
            it is of; 0: none.

    Raises:
        CorruptLog, NewerFormat, UnknownEvent: the thread cannot be read.
    """
    stream = thread_stream(thread_id)
    bounded = max_messages is not None or max_tokens is not None
    first: tuple[Message, ...] = ()
    left, after = max_tokens, 0
    if summary:
        condensed = _condensed(log, stream, summary)
        message = summary_message(condensed.text)
        first, after = (message,), condensed.upto
        left = None if left is None else max(left - tokens_of(message), 0)
    found: list[Message] = []  # the newest first
    for recorded in _backwards(log, stream, until, _FIRST_LOOK if bounded else _PAGE):
        if recorded.version <= after:
            break
        if not isinstance(recorded.event, MessageAppended):
            continue
        said = recorded.event.message
        if left is not None:
            left -= tokens_of(said)
        if (max_messages is not None and len(found) >= max_messages) or (left or 0) < 0:
            break
        found.append(said)
    while found and isinstance(found[-1], ToolMessage):
        found.pop()
    return (*first, *reversed(found))


def since_summary(
    log: LogReader, thread_id: str, until: int, *, known: SinceSummary | None = None
) -> SinceSummary:
    """Return what was said on a thread up to version `until`, since it was condensed last.

    `known` is what this has returned before, for the same `until`: what was read for that is not
    read again.

    Raises:
        CorruptLog, NewerFormat, UnknownEvent: the thread cannot be read.
    """
    stream = thread_stream(thread_id)
    before = known or SinceSummary(0, "", [], {})
    head, after = log.version(stream), before.head
    version, text, upto = before.version, before.text, 0
    said: list[Said] = []
    cancelled = dict(before.cancelled)
    for recorded in _backwards(log, stream, head, _FIRST_LOOK):
        if recorded.version <= after:
            break
        match recorded.event:
            case MessageAppended(message=message) if recorded.version <= until:
                said.append(Said(recorded.version, message))
            case HistoryCondensed(error=None) as condensed if not upto:
                version, text, upto = recorded.version, condensed.text, condensed.upto
                after = max(after, upto)
            case ThreadRunCancelled() as event if recorded.version > until:
                cancelled[event.run_id] = event
            case _:
                continue
    left = before.said[bisect_right(before.said, upto, key=_version) :]
    return SinceSummary(version, text, left + said[::-1], cancelled, head)


def whole(log: LogReader, thread_id: str, *, until: int) -> Whole:
    """Return all that was said on a thread up to version `until`, with its summary by then.

    Raises:
        CorruptLog, NewerFormat, UnknownEvent: the thread cannot be read.
    """
    said: list[Said] = []
    last: HistoryCondensed | None = None
    for recorded in _backwards(log, thread_stream(thread_id), until, _PAGE):
        match recorded.event:
            case MessageAppended(message=message):
                said.append(Said(recorded.version, message))
            case HistoryCondensed(error=None) as condensed if last is None:
                last = condensed
            case _:
                continue
    return Whole(said[::-1], last)


def summary_message(text: str) -> UserMessage:
    """Return how a model reads what was said before."""
    return UserMessage(text=Signal(text=text, tag_name="summary").rendered()[0])


def tokens_of(message: Message) -> int:
    """Return how many tokens a message has, as an estimate: by its length, and its images."""
    images = 0
    if isinstance(message, UserMessage) and message.parts:
        images = sum(isinstance(part, ImagePart) for part in message.parts)
        # What is text among the parts is that of the message, too.
        files = tuple(part for part in message.parts if isinstance(part, FilePart))
        message = replace(message, parts=files)
    return -(-len(_encode(message)) // CHARACTERS_PER_TOKEN) + images * TOKENS_OF_AN_IMAGE


def _version(one: Said) -> int:
    return one.version


def _condensed(log: LogReader, stream: StreamId, version: int) -> HistoryCondensed:
    found = log.read(stream, after=Version(version - 1), limit=1)
    event = found[0].event if found and found[0].version == version else None
    if not isinstance(event, HistoryCondensed):
        raise CorruptLog(f"stream {stream!r}", f"there is no summary {version}")
    return event


def _backwards(log: LogReader, stream: StreamId, upto: int, size: int) -> Iterator[Recorded]:
    """Yield the events of a stream up to a version, the last one first."""
    while upto > 0:
        start = max(upto - size, 0)
        page = log.read(stream, after=Version(start), limit=upto - start)
        yield from (recorded for recorded in reversed(page) if recorded.version <= upto)
        upto, size = start, min(size * 4, _PAGE)
