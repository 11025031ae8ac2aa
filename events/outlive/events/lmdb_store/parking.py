"""What the writer does when there is no space: it waits with its batch, and tries again.

Nothing else stands still. Reading and following go on, appends queue up behind the batch, and
when there is space all of it is written, in order, once.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from outlive.events.errors import LogParked
from outlive.events.logger import get_logger

_log: Final = get_logger()

_LEAST_S: Final = 0.025  # between two tries, however much is appended
_FIRST_S: Final = 0.25
_LONGEST_S: Final = 2.0


class Parking:
    """The writer's thread waits here; `hurry` and `end` come from others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hurried = threading.Event()
        self._ended = threading.Event()
        self._pause_s = _FIRST_S
        self._tries = 0
        self.reason = ""
        """Why the log is parked; empty while it is not."""

    @property
    def trouble(self) -> LogParked | None:
        """The state as an error, for those who ask before they append."""
        reason = self.reason
        return LogParked(str(self._folder), reason) if reason else None

    def wait(self, reason: str) -> None:
        """Return when it is time to try again: after a pause that grows, or when hurried."""
        before, self.reason = self.reason, reason
        if not before:
            with suppress(Exception):  # Its file may lie on the same disk.
                _log.error("log_parked", path=str(self._folder), reason=reason)
        self._tries += 1
        self._ended.wait(_LEAST_S)
        if not self._hurried.wait(self._pause_s):
            self._pause_s = min(2 * self._pause_s, _LONGEST_S)
        self._hurried.clear()

    def hurry(self) -> None:
        """Try again soon: something was appended."""
        self._hurried.set()

    def end(self) -> None:
        """Try again at once: the log is being closed."""
        self._ended.set()
        self._hurried.set()

    def over(self) -> None:
        """There was space: the batch is written."""
        if self.reason:
            reason, self.reason = self.reason, ""
            tries, self._tries, self._pause_s = self._tries, 0, _FIRST_S
            with suppress(Exception):
                _log.info("log_resumed", path=str(self._folder), reason=reason, tries=tries)
