from __future__ import annotations

from pathlib import Path

from outlive.events import Clock, MemoryLog
from outlive.testing.log_contract import LogContract


class MemoryLogs:
    def open(self, place: Path, clock: Clock) -> MemoryLog:
        return MemoryLog(clock=clock)

    def reopen(self, log: MemoryLog, place: Path, clock: Clock, *, clean: bool) -> MemoryLog:
        return log.reopened(clean=clean)


class TestMemoryLog(MemoryLogs, LogContract[MemoryLog]):
    pass
