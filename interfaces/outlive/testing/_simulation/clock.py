"""A clock that moves when the simulation moves it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

SECOND_NS: Final = 1_000_000_000
START: Final = datetime(2030, 1, 1, tzinfo=UTC)

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")


def seconds_of(duration: float | timedelta | str) -> float:
    """Return a duration in seconds: a number of them, a `timedelta`, or text as `"1h 30m"`.

    Raises:
        ValueError: it is negative, or no duration.
    """
    if isinstance(duration, timedelta):
        found = duration.total_seconds()
    elif isinstance(duration, str):
        parts = _PART.findall(duration)
        if not parts or "".join(_PART.sub("", duration).split()):
            raise ValueError(f"a duration is as '90s', '1h 30m' or '3d', not {duration!r}")
        found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        found = float(duration)
    if not 0 <= found < float("inf"):
        raise ValueError(f"a duration is 0 or more, not {duration!r}")
    return found


class VirtualClock:
    """A `Clock` that stands still until somebody moves it. It begins at 2030-01-01, UTC."""

    def __init__(self, start: datetime = START) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a clock has a time zone")
        self._wall_ns = round(start.timestamp()) * SECOND_NS
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """Return the wall time: nanoseconds since 1970, UTC."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Return how much time has passed."""
        return self._monotonic_ns

    @property
    def now(self) -> datetime:
        """The wall time, in UTC."""
        return datetime.fromtimestamp(self._wall_ns / SECOND_NS, UTC)

    def advance(self, duration: float | timedelta | str) -> None:
        """Let time pass."""
        self.advance_ns(round(seconds_of(duration) * SECOND_NS))

    def advance_ns(self, nanoseconds: int) -> None:
        """Let time pass."""
        assert nanoseconds >= 0, "time does not run backwards"
        self._wall_ns += nanoseconds
        self._monotonic_ns += nanoseconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back; no time passes."""
        self._wall_ns += round(seconds * SECOND_NS)
