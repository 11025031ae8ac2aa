"""Asking the person at the terminal, while other things go on: no thread waits for the answer."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from typing import Final

import msgspec

_YES: Final = ("y", "yes")
_NO: Final = ("n", "no")


class Said(msgspec.Struct, frozen=True):
    """What the person has said."""

    granted: bool
    note: str


def somebody_is_there() -> bool:
    """Whether a person sees what is printed, and can type an answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


async def ask_for_consent() -> Said | None:
    """Ask for yes or no, and for a note; return None at the end of the input (Ctrl-D).

    What was typed before the question could be seen is thrown away: it is no answer to it.
    """
    keyboard = _Keyboard(sys.stdin.fileno())
    try:
        while (answer := await keyboard.ask("Publish it? Type yes or no: ")) is not None:
            if answer.lower() in (*_YES, *_NO):
                note = await keyboard.ask("A note, if you like: ")
                return Said(granted=answer.lower() in _YES, note=note or "")
        keyboard.say("\nIt waits for an answer from another terminal.\n")
        return None
    finally:
        keyboard.close()


class _Keyboard:
    """Lines that a person types, read when they are there."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._in_line = False  # the cursor stands behind a question
        self._loop.add_reader(terminal, self._read)
        termios.tcflush(terminal, termios.TCIFLUSH)

    def _read(self) -> None:
        # The terminal hands out whole lines, one a read; nothing means the end.
        try:
            line = os.read(self._terminal, 4096)
        except OSError:  # It has been closed.
            line = b""
        if not line:
            self._loop.remove_reader(self._terminal)
        self._typed.put_nowait(line)

    async def ask(self, question: str) -> str | None:
        """Return what is typed, without spaces around it; None at the end of the input."""
        self.say(question)
        self._in_line = True
        line = await self._typed.get()  # A new line was typed along with it, or it is the end.
        self._in_line = False
        return line.decode(errors="replace").strip() if line else None

    def close(self) -> None:
        """Read no more; what is printed next begins a line of its own."""
        self._loop.remove_reader(self._terminal)
        if self._in_line:
            self._in_line = False
            self.say("\n")

    @staticmethod
    def say(text: str) -> None:
        """Print at the cursor."""
        sys.stdout.write(text)
        sys.stdout.flush()
