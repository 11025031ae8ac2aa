"""The clock of a simulation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

SECOND_NS: Final = 1_000_000_000
START: Final = datetime(2030, 1, 1, tzinfo=UTC)


class SimulatedClock:
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

    def advance_ns(self, nanoseconds: int) -> None:
        """Let time pass."""
        assert nanoseconds >= 0, "time does not run backwards"
        self._wall_ns += nanoseconds
        self._monotonic_ns += nanoseconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back; no time passes."""
        self._wall_ns += round(float(seconds) * SECOND_NS)
