"""Whose trouble an error is, and what is said of it."""

from __future__ import annotations

from outlive.actors.logs import shortened
from outlive.events import CorruptLog, LogError, NewerFormat, UnknownEvent


def is_the_streams(error: BaseException) -> bool:
    """Whether an error is this stream's trouble, and not the whole log's."""
    return not isinstance(error, LogError) or isinstance(
        error, CorruptLog | NewerFormat | UnknownEvent
    )


def is_of_a_later_release(error: BaseException) -> bool:
    """Whether another release may be able to read what this one cannot."""
    return isinstance(error, NewerFormat | UnknownEvent)


def line(error: BaseException) -> str:
    """Return an error in one line, whatever it is."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # an exception that cannot even say what it is
        text = ""
    return shortened(f"{type(error).__name__}: {text}")
