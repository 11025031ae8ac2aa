"""Threads of sync tools that went on after their attempt was over: counted, and bounded.

A thread cannot be stopped. One that ignores its deadline goes on, in nobody's name; a tool that
hangs each time would fill the process with such threads. So they are counted until they end,
and while there are too many, no further function is run in a thread.
"""

from __future__ import annotations

import threading
from typing import Final

from outlive.events import OutliveError
from outlive.events.logger import get_logger

_log = get_logger()

MAX_ABANDONED: Final = 32


class NoThreads(OutliveError):
    """Too many threads of sync tools were abandoned and have not ended. Try again later."""

    def __init__(self, abandoned: int) -> None:
        super().__init__(
            f"{abandoned} threads of tools that ignored their deadlines have not ended: "
            "no more are begun until some of them do"
        )
        self.abandoned = abandoned


class ThreadCall:
    """One function in a thread, from its beginning to its end."""

    __slots__ = ("_all", "_state")

    def __init__(self, all: AbandonedThreads) -> None:
        self._all = all
        self._state = "queued"  # running, abandoned, over

    def begin(self) -> bool:
        """On the thread: return whether the function is still to be run."""
        with self._all.lock:
            if self._state != "queued":
                return False
            self._state = "running"
            return True

    def end(self) -> None:
        """On the thread: the function has returned."""
        with self._all.lock:
            before, self._state = self._state, "over"
            if before != "abandoned":
                return
            self._all.count -= 1
            left = self._all.count
        _log.info("abandoned_thread_ended", abandoned=left)

    def abandon(self) -> None:
        """Nobody waits for it any more. What has not begun never does."""
        with self._all.lock:
            before = self._state
            if before == "queued":
                self._state = "over"
            if before != "running":
                return
            self._state = "abandoned"
            self._all.count += 1
            count = self._all.count
        _log.warning("thread_abandoned", abandoned=count, limit=MAX_ABANDONED)


class AbandonedThreads:
    """How many there are in a runtime. From any thread."""

    def __init__(self) -> None:
        self.lock: Final = threading.Lock()
        self.count = 0

    def call(self) -> ThreadCall:
        """Return what follows one function in a thread. Raises NoThreads."""
        with self.lock:
            if self.count >= MAX_ABANDONED:
                raise NoThreads(self.count)
        return ThreadCall(self)
