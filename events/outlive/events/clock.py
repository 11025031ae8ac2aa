"""Time comes from a clock that is handed in, so that tests can hand in another one."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time and elapsed time, in nanoseconds."""

    def now_ns(self) -> int:
        """Return the wall time: nanoseconds since 1970, UTC. It may jump."""
        ...

    def monotonic_ns(self) -> int:
        """Return a time that only grows, for measuring how long something took."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return the machine's wall time."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return the machine's monotonic time."""
        return time.monotonic_ns()
