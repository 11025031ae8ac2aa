"""What a run sees of its thread: the last of what was said, read from the end."""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.events import (
    Event,
    LogReader,
    Message,
    MessageAppended,
    StreamId,
    ToolMessage,
    Version,
    thread_stream,
)

_FIRST_LOOK: Final = 64  # events
_PAGE: Final = 1_000
CHARACTERS_PER_TOKEN: Final = 4
"""How tokens are estimated, as each model counts them otherwise."""

_encode: Final = msgspec.json.Encoder().encode


def history(
    log: LogReader,
    thread_id: str,
    *,
    until: int,
    max_messages: int | None,
    max_tokens: int | None = None,
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

    Raises:
        CorruptLog, NewerFormat, UnknownEvent: the thread cannot be read.
    """
    stream = thread_stream(thread_id)
    upto, size = until, _FIRST_LOOK if max_messages is not None or max_tokens is not None else _PAGE
    found: list[Message] = []  # the newest first
    tokens = 0
    while upto > 0:
        start = max(upto - size, 0)
        for event in reversed(_events(log, stream, start, upto)):
            if not isinstance(event, MessageAppended):
                continue
            if max_tokens is not None:
                tokens += -(-len(_encode(event.message)) // CHARACTERS_PER_TOKEN)
            full = max_messages is not None and len(found) >= max_messages
            if full or (max_tokens is not None and tokens > max_tokens):
                return _from_its_call_on(found)
            found.append(event.message)
        upto, size = start, min(size * 4, _PAGE)
    return _from_its_call_on(found)


def _from_its_call_on(newest_first: list[Message]) -> tuple[Message, ...]:
    while newest_first and isinstance(newest_first[-1], ToolMessage):
        newest_first.pop()
    return tuple(reversed(newest_first))


def _events(log: LogReader, stream: StreamId, start: int, upto: int) -> list[Event]:
    page = log.read(stream, after=Version(start), limit=upto - start)
    return [recorded.event for recorded in page if recorded.version <= upto]
