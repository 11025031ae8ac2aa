from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outlive.testing.kills import Message, Victim
from tests.processes.member import member


class Member(Victim):
    """A process that has a folder open, as its test sees it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(member, str(folder), options)

    def hear(self, *words: str, timeout: float = 30) -> Message:
        """Return the next message that begins with this word, or with `error`."""
        return super().hear(*words, "error", timeout=timeout)

    def ask(self, word: str, *rest: Any, answer: str = "") -> Message:
        self.say(word, *rest)
        return self.hear(answer or word)

    def wait_for_death(self, timeout: float = 30) -> None:
        """Wait until it has died by its own hand. Raises TimeoutError if it lives."""
        assert self.wait(timeout) == -signal.SIGKILL


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Member]]:
    """Make processes that share the folder `data`."""
    members: list[Member] = []

    def make(**options: Any) -> Member:
        members.append(Member(tmp_path / "data", **options))
        return members[-1]

    yield make
    for each in members:
        each.end()
