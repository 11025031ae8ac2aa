"""How large things may be that are stored, in bytes of msgpack."""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.events.errors import EventTooLarge

MAX_INLINE_BYTES: Final = 64 << 10
"""A longer payload is kept apart from its record, under its digest: a blob."""

MAX_PAYLOAD_BYTES: Final = 64 << 20
"""The events of one commit together."""

MAX_VALUE_BYTES: Final = MAX_PAYLOAD_BYTES - (1 << 20)
"""What comes from outside into one event: there must be room for the rest of its commit."""

_encode: Final = msgspec.msgpack.Encoder().encode


class Size:
    """Adds up what goes into one event, and refuses it as soon as it is too much."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, *values: object, room: int = 0) -> None:
        """Count values that are plain, and `room` for what stands around them.

        Raises:
            EventTooLarge: it is too much.
        """
        self._bytes += room
        for value in values:
            # Nearly all is text, much of it in small pieces, whose length is known.
            plain = value if isinstance(value, str) and value.isascii() else _encode(value)
            self._bytes += len(plain)
        if self._bytes > MAX_VALUE_BYTES:
            raise EventTooLarge(self._bytes, MAX_VALUE_BYTES)


def check_size(*values: object) -> None:
    """Raise EventTooLarge unless the plain values can be stored together in one event."""
    Size().add(*values)
