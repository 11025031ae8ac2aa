"""Lengths of time as a test writes them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def seconds_of(duration: float | str | timedelta) -> float:
    """Return a length of time in seconds: `90`, `timedelta(days=3)`, `"3d"`, `"1h30m"`, `"5 ms"`.

    Raises:
        ValueError: it is not one, or below zero.
    """
    match duration:
        case timedelta():
            seconds = duration.total_seconds()
        case str():
            seconds = _parsed(duration)
        case _:
            seconds = float(duration)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"a length of time is not below zero and ends, unlike {duration!r}")
    return seconds


def _parsed(text: str) -> float:
    seconds, at = 0.0, 0
    while part := _PART.match(text, at):
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at == 0 or text[at:].strip():
        raise ValueError(f'a length of time is "3d", "1h30m" or "500ms", not {text!r}')
    return seconds
