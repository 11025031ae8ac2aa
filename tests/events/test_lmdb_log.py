from __future__ import annotations

from pathlib import Path

from outlive.events import Clock
from outlive.events.lmdb_store import LmdbLog
from outlive.testing.log_contract import LogContract
from tests.events.lmdb_files import abandon


class LmdbLogs:
    def open(self, place: Path, clock: Clock) -> LmdbLog:
        return LmdbLog(place, clock=clock)

    def reopen(self, log: LmdbLog, place: Path, clock: Clock, *, clean: bool) -> LmdbLog:
        if clean:
            log.close()
        else:
            abandon(log)
        return LmdbLog(place, clock=clock)


class TestLmdbLog(LmdbLogs, LogContract[LmdbLog]):
    pass
