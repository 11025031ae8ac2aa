"""Running a small program in another process, and talking to it through its pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("events", "projections", "actors", "interfaces")


class Program:
    """A Python program in a process of its own, killed at the end if it still runs.

    `before` is the command that starts it, if it is not started by itself.
    """

    def __init__(self, source: str, *arguments: object, before: Sequence[str] = ()) -> None:
        path = os.pathsep.join([*(str(ROOT / room) for room in ROOMS), str(ROOT)])
        self._process = subprocess.Popen(
            [*before, sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def line(self) -> str:
        """The next line that it prints; empty when it is over."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def lines(self) -> list[str]:
        """All lines that it still prints."""
        assert self._process.stdout is not None
        return self._process.stdout.read().splitlines()

    def say(self, line: str) -> None:
        """Give it a line to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue

    def end(self) -> int:
        """Wait for its end and return its exit status."""
        return self._process.wait(30)
