"""What can never be right, whatever the state: definitions, ids, values."""

from __future__ import annotations

from outlive.events.errors.root import OutliveError


class InvalidId(OutliveError, ValueError):
    """An id that cannot name anything. Use printable text of 1 to 200 bytes."""


class InvalidDefinition(OutliveError, ValueError):
    """An agent, tool or setting that cannot hold. Raised at construction."""


class InvalidCron(InvalidDefinition):
    """A schedule that cannot be read or that names no day, or a time zone unknown here."""


class InvalidHeartbeat(InvalidDefinition):
    """A field of a heartbeat that cannot hold; the message says which, and why."""


class ResourceIdRequired(InvalidHeartbeat):
    """A heartbeat with a thread says to whom that belongs: pass `resource_id` too."""


class ThreadlessOption(InvalidHeartbeat):
    """What is said of a heartbeat is about a thread, and it has none: pass `thread_id` too."""


class InvalidSignal(OutliveError, ValueError):
    """What is to be signalled cannot be. `field` tells what of it; nothing was written."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} of a signal: {reason}")
        self.field = field
        self.reason = reason


class UnserialisableValue(OutliveError, TypeError):
    """A value that cannot be stored, or does not fit the type that was promised for it."""


class EventTooLarge(OutliveError, ValueError):
    """A value that is too large to be stored. Nothing was written.

    Keep it where large things are kept, and store where that is.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{size_bytes:,} bytes are too many to be stored, at most {limit_bytes:,} are: "
            "keep them elsewhere, and store where"
        )
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class InvalidCursor(OutliveError, ValueError):
    """No page of this log has handed out this cursor. Pass one back as it came."""
