"""One queue over the instants at which entities want to be woken."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

import structlog

from outlive.actors.logs import told
from outlive.events import Clock, StreamId

_log = structlog.stdlib.get_logger("outlive")
_LONGEST_SLEEP: Final = 60.0  # the wall clock may be set while we sleep on the monotonic one


class Timers:
    """Calls `wake(stream, now_ns)` when the wall clock reaches the stream's instant.

    Instants live in the open table; this is only who watches the clock. One instant a stream:
    a new one replaces the old one. Nothing runs while no instant is set.
    """

    def __init__(self, clock: Clock, wake: Callable[[StreamId, int], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._due: dict[StreamId, int] = {}
        self._heap: list[tuple[int, StreamId]] = []
        self._handle: asyncio.TimerHandle | None = None

    def set(self, stream: StreamId, wake_at_ns: int | None) -> None:
        """Wake `stream` at `wake_at_ns`; None: not at all."""
        if wake_at_ns is None:
            self._due.pop(stream, None)
            return
        if self._due.get(stream) == wake_at_ns:
            return
        self._due[stream] = wake_at_ns
        heapq.heappush(self._heap, (wake_at_ns, stream))
        if self._heap[0][1] == stream:
            self._arm()

    def at(self, stream: StreamId) -> int | None:
        """Return when `stream` is woken; None if nothing is set."""
        return self._due.get(stream)

    def close(self) -> None:
        """Stop watching."""
        self._due.clear()
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._heap:
            wait = (self._heap[0][0] - self._clock.now_ns()) / 1e9
            wait = min(max(wait, 0.0), _LONGEST_SLEEP)
            self._handle = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        self._handle = None
        now_ns = self._clock.now_ns()
        ringing: list[StreamId] = []
        while self._heap and self._heap[0][0] <= now_ns:
            wake_at_ns, stream = heapq.heappop(self._heap)
            if self._due.get(stream) == wake_at_ns:
                del self._due[stream]
                ringing.append(stream)
        for stream in ringing:
            try:
                self._wake(stream, now_ns)  # What it sets anew rings another time.
            except Exception as error:  # noqa: BLE001  # one's trouble is not the others'
                _log.error("waking_failed", stream=stream, error=told(error))
        self._arm()
