"""One queue over the instants at which entities want to be woken."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

from outlive.actors.logs import told
from outlive.events import Clock, StreamId
from outlive.events.logger import get_logger

_log = get_logger()
_LONGEST_SLEEP: Final = 60.0  # the wall clock may be set while we sleep on the monotonic one
_AT_ONCE: Final = 1_000  # at most so many are woken before the loop gets its turn,
_SLICE_NS: Final = 20_000_000  # and for no longer than this
_SET_NS: Final = 100_000_000  # two clocks that are read one after the other never agree exactly
_AGAIN_NS: Final = 5_000_000_000  # after that, one whose waking failed is woken once more
_PASSED: Final = 1_000  # instants that are due no more, kept besides as many as are due


class Timers:
    """Calls `wake(stream, now_ns)` when the wall clock reaches the stream's instant.

    Or as soon as that much time has passed by the monotonic clock: a wall clock that is set back
    makes nobody wait longer. Then `now_ns` is the stream's instant.

    Instants live in the open table; this is only who watches the clock. One instant a stream:
    a new one replaces the old one. Nothing runs while no instant is set. Where `wake` raises, as
    the log cannot be read just now, say, it is called again a little later.
    """

    def __init__(self, clock: Clock, wake: Callable[[StreamId, int], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._due: dict[StreamId, tuple[int, int]] = {}  # instants: monotonic, wall
        self._heap: list[tuple[int, int, StreamId]] = []
        self._ahead_ns = 0  # how far the wall clock is ahead of the monotonic one
        self._handle: asyncio.TimerHandle | None = None
        self._closed = False

    def set(self, stream: StreamId, wake_at_ns: int | None) -> None:
        """Wake `stream` at `wake_at_ns`; None: not at all. Once closed nobody is."""
        if wake_at_ns is None:
            self._due.pop(stream, None)
            return
        if self._closed:
            return  # A commit that was on its way has brought it about.
        before = self._due.get(stream)
        if before is not None and before[1] == wake_at_ns:
            return
        self._look_at_clock()
        due = (wake_at_ns - self._ahead_ns, wake_at_ns)
        self._due[stream] = due
        heapq.heappush(self._heap, (*due, stream))
        if len(self._heap) > 2 * len(self._due) + _PASSED:
            self._line_up()  # Days may go by until those are reached that were taken back.
        elif self._heap[0][2] == stream:
            self._arm()

    def at(self, stream: StreamId) -> int | None:
        """Return when `stream` is woken; None if nothing is set."""
        due = self._due.get(stream)
        return None if due is None else due[1]

    def left_ns(self, stream: StreamId) -> int | None:
        """Return how long it is until `stream` is woken; None if nothing is set."""
        due = self._due.get(stream)
        return None if due is None else due[0] - self._clock.monotonic_ns()

    def close(self) -> None:
        """Stop watching, for good."""
        self._closed = True
        self._due.clear()
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _look_at_clock(self) -> None:
        """Notice that the wall clock was set; if forward, what waits is due so much sooner."""
        ahead_ns = self._clock.now_ns() - self._clock.monotonic_ns()
        forward = ahead_ns - self._ahead_ns > _SET_NS
        if forward or self._ahead_ns - ahead_ns > _SET_NS:
            self._ahead_ns = ahead_ns
        if forward:
            for stream, (due_ns, wake_at_ns) in self._due.items():
                self._due[stream] = (min(due_ns, wake_at_ns - ahead_ns), wake_at_ns)
            self._line_up()

    def _line_up(self) -> None:
        """Have nobody in the queue but who waits, and the clock watched for the first of them."""
        self._heap = [(*due, stream) for stream, due in self._due.items()]
        heapq.heapify(self._heap)
        self._arm()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if not self._due:
            self._heap.clear()  # They were all taken back.
        else:
            wait = (self._heap[0][0] - self._clock.monotonic_ns()) / 1e9
            wait = min(max(wait, 0.0), _LONGEST_SLEEP)
            self._handle = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        """Wake those whose instants have come, all before what they bring about, if time allows.

        What is due together begins together then: a few at a time, the last ones would wait for
        the work of the first. Who has other work on this loop waits for a slice at the most.
        """
        self._handle = None
        self._look_at_clock()
        began_ns = self._clock.monotonic_ns()
        ringing: deque[tuple[int, int, StreamId]] = deque()
        while self._heap and self._heap[0][0] <= began_ns and len(ringing) < _AT_ONCE:
            ringing.append(heapq.heappop(self._heap))
        try:
            while ringing:
                due_ns, wake_at_ns, stream = ringing.popleft()
                if self._due.get(stream) != (due_ns, wake_at_ns):
                    continue  # By now it is another instant, or none.
                del self._due[stream]
                try:
                    # What it sets anew rings another time.
                    self._wake(stream, max(self._clock.now_ns(), wake_at_ns))
                except Exception as error:  # noqa: BLE001  # one's trouble is not the others'
                    _log.error("waking_failed", stream=stream, error=told(error))
                    if stream not in self._due:  # Nobody else would move it on.
                        self.set(stream, self._clock.now_ns() + _AGAIN_NS)
                if self._clock.monotonic_ns() - began_ns >= _SLICE_NS:
                    break
        finally:  # Also if the loop is interrupted: it may go on, and they wait still.
            for left in ringing:
                heapq.heappush(self._heap, left)
            self._arm()
