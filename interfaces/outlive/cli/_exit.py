"""How a command ends: exit codes, and one line about what went wrong."""

from __future__ import annotations

import sys
from typing import Final

from outlive.events import InvalidCursor, InvalidId, InvalidOffset, LogError, NotFound, OutliveError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NO_LOG: Final = 3
NOT_FOUND: Final = 4
INTERRUPTED: Final = 130


class Wrong(OutliveError):
    """What a command was told cannot be done. Its text is for the person at the terminal."""

    def __init__(self, message: str, *, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: OutliveError) -> int:
    """Return the exit code that tells a program what kind of error it was."""
    match error:
        case Wrong():
            return error.code
        case LogError():
            return NO_LOG
        case NotFound():
            return NOT_FOUND
        case InvalidId() | InvalidOffset() | InvalidCursor():
            return USAGE
        case _:
            return FAILED


def complain(message: object) -> None:
    """Say in one line on stderr what went wrong."""
    line = " ".join(str(message).split())
    print(f"outlive: {line}", file=sys.stderr)
