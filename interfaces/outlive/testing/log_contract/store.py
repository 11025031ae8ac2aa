"""The log under test, and how it is opened again: what a subclass of the contract says."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pytest

from outlive.events import Clock, EventLog
from outlive.testing.log_contract.filling import Ticks

L = TypeVar("L", bound=EventLog)


class Logs(Protocol[L]):
    """How logs of one kind are made."""

    def open(self, place: Path, clock: Clock) -> L:
        """See `StoreContract.open`."""
        ...

    def reopen(self, log: L, place: Path, clock: Clock, *, clean: bool) -> L:
        """See `StoreContract.reopen`."""
        ...


class Store:
    """A log, and what another process would find after it."""

    def __init__(self, logs: Logs[Any], place: Path) -> None:
        self._logs = logs
        self._place = place
        self.log: EventLog = logs.open(place, Ticks())

    def reopen(self, *, clean: bool) -> None:
        """Close the log, or let its process die, and open it again."""
        self.log = self._logs.reopen(self.log, self._place, Ticks(10_000), clean=clean)


class StoreContract(Generic[L]):
    """What a subclass has to say about its logs, and the fixtures that the tests make of it."""

    def open(self, place: Path, clock: Clock) -> L:
        """Return a new, empty log.

        Args:
            place: a path that is this test's own; nothing is there yet. Use it or leave it.
            clock: what the log takes the time of its records from.
        """
        raise NotImplementedError

    def reopen(self, log: L, place: Path, clock: Clock, *, clean: bool) -> L:
        """Return the log as the next process finds it. What was acknowledged is there.

        Args:
            log: the log that `open` or `reopen` has returned last. It may be closed already.
            place: what `open` was given.
            clock: the clock of the next process.
            clean: the process before closes the log first. Otherwise it dies: nothing more is
                written, also of what was appended and not acknowledged, and nothing is closed.
        """
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Generator[Store]:
        """The log under test, for tests that open it again. Closed in the end."""
        store = Store(self, tmp_path / "log")
        yield store
        store.log.close()

    @pytest.fixture
    def log(self, store: Store) -> EventLog:
        """The log under test."""
        return store.log
