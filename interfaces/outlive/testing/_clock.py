"""A clock that a test moves by hand, and the event loops that move with it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from outlive.testing._durations import seconds_of

_NS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class VirtualClock:
    """A `Clock` that stands still until the test moves it. For `Runtime(..., clock=...)`.

    Every asyncio loop on which the clock has been asked moves along: what waits there for a
    time that has come by then is called, be it a retry in ten minutes or a timeout of the
    test's own. Between two moves the loops go on in real time, the clock does not.

    Args:
        start: the first wall time, aware.
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a clock has a time zone")
        self._wall_ns = (start - _EPOCH) // _MICROSECOND * 1_000
        self._monotonic_ns = 0
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    def now_ns(self) -> int:
        """Return the wall time: nanoseconds since 1970, UTC."""
        self._note_loop()
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Return how much time has passed since the clock was made."""
        self._note_loop()
        return self._monotonic_ns

    @property
    def now(self) -> datetime:
        """The wall time, UTC."""
        return _EPOCH + timedelta(microseconds=self._wall_ns // 1_000)

    def advance(self, duration: float | str | timedelta) -> None:
        """Let time pass: seconds, a timedelta, or text as `"3d"` and `"1h30m"`.

        What is due happens when its loop comes to its turn: await something.

        Raises:
            ValueError: it is no length of time.
            RuntimeError: a loop that is not one of asyncio's own, and cannot be moved.
        """
        seconds = seconds_of(duration)
        here = _running_loop()
        loops = [loop for loop in self._loops if not loop.is_closed()]
        for loop in loops:
            if not isinstance(loop, asyncio.BaseEventLoop):
                raise RuntimeError(f"the time of {type(loop).__name__} cannot be moved")
        self._wall_ns += round(seconds * _NS)
        self._monotonic_ns += round(seconds * _NS)
        for loop in loops:
            if loop is here:
                _move(loop, seconds)
            else:
                loop.call_soon_threadsafe(_move, loop, seconds)

    def set(self, wall_time: datetime) -> None:
        """Set the wall clock, forwards or backwards, as an administrator does. No time passes."""
        if wall_time.tzinfo is None:
            raise ValueError("a wall time has a time zone")
        self._wall_ns = (wall_time - _EPOCH) // _MICROSECOND * 1_000

    def _note_loop(self) -> None:
        loop = _running_loop()
        if loop is not None:
            self._loops.add(loop)


class _Ahead:
    """The time of a loop that was moved. It is never moved back: timers may be set to it."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self.seconds = 0.0

    def __call__(self) -> float:
        return self._time() + self.seconds


def _move(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    if not isinstance(loop.time, _Ahead):
        vars(loop)["time"] = _Ahead(loop.time)
    cast("_Ahead", loop.time).seconds += seconds


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
