"""What is refused to a reader of the log."""

from __future__ import annotations

from outlive.events.errors.refused import Refused


class InvalidOffset(Refused):
    """No offset of this log: beyond the head, negative, or no whole number.

    It was not handed out by this log, or the log was put back to an earlier state. Reading on
    from there would miss events without a word. Begin again at an offset that you can rely on.
    """

    def __init__(self, after: object, head: int, reason: str = "") -> None:
        super().__init__(reason or f"offset {after!r} lies outside of 0 to {head}, the head")
        self.after = after
        self.head = head


class OffsetMovedOn(Refused):
    """Another reader has saved a later offset under this name. Nothing was saved."""

    def __init__(self, name: str, offset: int, saved: int) -> None:
        super().__init__(f"{name!r} is at offset {saved}: {offset} would go back")
        self.name = name
        self.offset = offset
        self.saved = saved


class NameTaken(Refused):
    """The name is that of a subscription to something else. Choose another, or forget it."""

    def __init__(self, name: str, stream: str | None) -> None:
        what = "the whole log" if stream is None else f"stream {stream!r}"
        super().__init__(f"{name!r} is the name of a subscription to {what}")
        self.name = name
        self.stream = stream
