"""A read model cannot answer."""

from __future__ import annotations

from outlive.events.errors.root import OutliveError


class ViewError(OutliveError):
    """A read model cannot answer now. The log itself is not touched by that."""


class ViewBehind(ViewError):
    """The view did not get as far as the log was when it was asked. Ask again."""

    def __init__(self, view: str, at: int, head: int) -> None:
        super().__init__(
            f"the view {view!r} has got to position {at} and the log is at {head}: ask again"
        )
        self.view = view
        self.at = at
        self.head = head


class ViewFailed(ViewError):
    """The view stands still: its projection raised, or its files cannot be used."""

    def __init__(self, view: str, reason: str) -> None:
        super().__init__(f"the view {view!r} stands still: {reason}")
        self.view = view
        self.reason = reason
