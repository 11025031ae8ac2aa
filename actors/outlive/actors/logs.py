"""What a line of the log says of an exception: where it came from, and no user's data."""

from __future__ import annotations

import traceback

from outlive.events import OutliveError


def told(error: BaseException) -> str:
    """Return an expected error in one line, any other with its traceback, without locals."""
    try:
        if isinstance(error, OutliveError):
            return f"{type(error).__name__}: {error}"
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  # an exception that cannot even say what it is
        return type(error).__name__
