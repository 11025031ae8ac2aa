"""How large things may be that are stored, in bytes of msgpack."""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.events.errors import EventTooLarge

MAX_INLINE_BYTES: Final = 64 << 10
"""A longer payload is kept apart from its record, under its digest: a blob."""

MAX_PAYLOAD_BYTES: Final = 64 << 20
"""The events of one commit together."""

MAX_PAGE_BYTES: Final = 8 << 20
"""The events of the records that one read of the whole log returns, if they are more than one."""

MAX_VALUE_BYTES: Final = MAX_PAYLOAD_BYTES - (1 << 20)
"""What comes from outside into one event: there must be room for the rest of its commit."""

_encode: Final = msgspec.msgpack.Encoder().encode


class Size:
    """Adds up what goes into one event, and refuses it as soon as it is too much."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, value: object, *, room: int = 0) -> None:
        """Count a plain value, and `room` for what stands around it. Raises EventTooLarge."""
        self._bytes += len(_encode(value)) + room
        if self._bytes > MAX_VALUE_BYTES:
            self._refuse()

    def add_text(self, text: str) -> None:
        """Count a piece of text, of which there may be many. Raises EventTooLarge."""
        self._bytes += len(text) if text.isascii() else len(text.encode())
        if self._bytes > MAX_VALUE_BYTES:
            self._refuse()

    def _refuse(self) -> None:
        raise EventTooLarge(self._bytes, MAX_VALUE_BYTES)


def check_size(*values: object) -> None:
    """Raise EventTooLarge unless the plain values can be stored together in one event."""
    size_bytes = 0
    for value in values:
        size_bytes += len(_encode(value))
    if size_bytes > MAX_VALUE_BYTES:
        raise EventTooLarge(size_bytes, MAX_VALUE_BYTES)
