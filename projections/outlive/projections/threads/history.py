"""What a run sees of its thread: the last of what was said, read from the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from outlive.events import (
    CorruptLog,
    HistoryCondensed,
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

_encode: Final = msgspec.json.Encoder().encode


class Said(NamedTuple):
    """A message of a thread, and the version of its event."""

    version: int
    message: Message


class SinceSummary(NamedTuple):
    """What was said since the last summary, the oldest first.

    `version` is that of the summary's event; 0: there is none. `cancelled` tells, by run, which
    were cancelled since.
    """

    version: int
    text: str
    said: list[Said]
    cancelled: dict[str, ThreadRunCancelled]


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


def since_summary(log: LogReader, thread_id: str, until: int) -> SinceSummary:
    """Return what was said on a thread up to version `until`, since it was condensed last.

    Raises:
        CorruptLog, NewerFormat, UnknownEvent: the thread cannot be read.
    """
    stream = thread_stream(thread_id)
    said: list[Said] = []
    cancelled: dict[str, ThreadRunCancelled] = {}
    version, text, after = 0, "", 0
    for recorded in _backwards(log, stream, log.version(stream), _FIRST_LOOK):
        if recorded.version <= after:
            break
        match recorded.event:
            case MessageAppended(message=message) if recorded.version <= until:
                said.append(Said(recorded.version, message))
            case HistoryCondensed(error=None) as condensed if not version:
                version, text, after = recorded.version, condensed.text, condensed.upto
            case ThreadRunCancelled() as event if recorded.version > until:
                cancelled[event.run_id] = event
            case _:
                continue
    return SinceSummary(version, text, said[::-1], cancelled)


def summary_message(text: str) -> UserMessage:
    """Return how a model reads what was said before."""
    return UserMessage(text=Signal(text=text, tag_name="summary").rendered()[0])


def tokens_of(message: Message) -> int:
    """Return how many tokens a message has, as an estimate."""
    return -(-len(_encode(message)) // CHARACTERS_PER_TOKEN)


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
