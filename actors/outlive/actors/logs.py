"""What a line of the log says of an exception: where it came from, and no user's data."""

from __future__ import annotations

import traceback
from typing import Final

from outlive.events import OutliveError

MAX_CHARS: Final = 2_000
"""Of what an exception says: it may quote what somebody sent, and that may be long."""

_MAX_TRACEBACK_CHARS: Final = 8_000


def told(error: BaseException) -> str:
    """Return an expected error in one line, any other with its traceback, without locals.

    At most 8,000 characters; of a traceback the end.
    """
    try:
        if isinstance(error, OutliveError):
            return shortened(f"{type(error).__name__}: {error}")
        trace = "".join(traceback.format_exception(error))
        return (
            trace if len(trace) <= _MAX_TRACEBACK_CHARS else "…" + trace[1 - _MAX_TRACEBACK_CHARS :]
        )
    except Exception:  # noqa: BLE001  # an exception that cannot even say what it is
        return type(error).__name__


def shortened(text: str) -> str:
    """Return text of at most 2,000 characters; an ellipsis stands for what is left out."""
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"
