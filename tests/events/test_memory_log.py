from __future__ import annotations

import pytest

from outlive.events import MemoryLog
from tests.events.log_contract import LogContract, Store, Ticks
from tests.events.named_contract import NamedContract


class MemoryStore:
    def __init__(self) -> None:
        self.log = MemoryLog(clock=Ticks())

    def reopen(self, *, clean: bool) -> None:
        self.log = self.log.reopened(clean=clean)


class TestMemoryLog(LogContract, NamedContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
