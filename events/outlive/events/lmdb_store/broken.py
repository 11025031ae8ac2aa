"""What the walk over a log says of the first thing that is not what was written."""

from __future__ import annotations


class Broken(Exception):
    """What is there is not what was written."""

    def __init__(self, position: int | None, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason
