from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.processes.member import member

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.processes.member"])

Message = tuple[Any, ...]


class Member:
    """A process that has a folder open, as its test sees it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._pipe, theirs = PROCESSES.Pipe()
        self._process: BaseProcess = PROCESSES.Process(
            target=member, args=(str(folder), theirs, options), daemon=True
        )
        self._process.start()
        theirs.close()
        self._frozen = False
        self._unheard: list[Message] = []

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def say(self, *words: Any) -> None:
        self._pipe.send(words)

    def hear(self, word: str, timeout: float = 30) -> Message:
        """Return the next message that begins with this word, or with `error`."""
        for message in self._unheard:
            if message[0] in (word, "error"):
                self._unheard.remove(message)
                return message
        while True:
            assert self._pipe.poll(timeout), f"no {word!r} within {timeout} s"
            heard: Message = self._pipe.recv()
            if heard[0] in (word, "error"):
                return heard
            self._unheard.append(heard)

    def heard(self) -> list[Message]:
        """Return the messages that are there, and wait for none."""
        found, self._unheard = self._unheard, []
        try:
            while self._pipe.poll():
                found.append(self._pipe.recv())
        except (EOFError, OSError):
            pass  # It is dead; that was all.
        return found

    @property
    def frozen(self) -> bool:
        return self._frozen

    def ask(self, word: str, *rest: Any, answer: str = "") -> Message:
        self.say(word, *rest)
        return self.hear(answer or word)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self._frozen = False

    def wait(self) -> None:
        """Wait until it is dead, by its own hand."""
        self._process.join(30)
        assert self._process.exitcode == -signal.SIGKILL

    def wait_a_moment(self) -> None:
        """Return if it dies now, by its own hand. Raises TimeoutError if it lives."""
        self._process.join(0.05)
        if self._process.is_alive():
            raise TimeoutError
        self.wait()

    def end(self) -> None:
        if self._process.is_alive():
            self.kill()
        self._pipe.close()


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
