from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from outlive.events.lmdb_store import LmdbLog
from tests.events.lmdb_files import abandon
from tests.events.log_contract import LogContract, Store, Ticks
from tests.events.named_contract import NamedContract


class LmdbStore:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.log = LmdbLog(path, clock=Ticks())

    def reopen(self, *, clean: bool) -> None:
        if clean:
            self.log.close()
        else:
            abandon(self.log)
        self.log = LmdbLog(self._path, clock=Ticks(10_000))


class TestLmdbLog(LogContract, NamedContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Generator[Store]:
        store = LmdbStore(tmp_path / "log")
        yield store
        store.log.close()
