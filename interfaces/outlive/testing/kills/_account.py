"""Files that keep what happened, also from processes that are killed meanwhile.

A line is one `write` to a file opened for appending: what `write` has taken is there whatever
becomes of the process, and lines of many processes are in the order in which they happened. A
kill may cut a line off where it crosses a page of memory. So each line begins with a line
break of its own, and a list that is not closed was never written: it is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

Word = str | int | bool | None
Line = tuple[Word, ...]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[Word, ...]).decode
_EFFECT: Final = "effect"
_ASKED: Final = "asked"


class Account:
    """A file of lines, a list of words each, that any number of processes append to.

    What is written survives SIGKILL of who wrote it; it is not meant to survive a power loss.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._file = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def write(self, *words: Word) -> None:
        """Write a line. It is there when this returns."""
        os.write(self._file, b"\n" + _encode(words) + b"\n")

    def lines(self) -> Iterator[Line]:
        """Yield the lines there are, in the order in which they were written."""
        with self._path.open("rb") as file:
            for line in file:
                try:
                    yield _decode(line)
                except msgspec.DecodeError:
                    continue  # An empty one, or one that a kill has cut off.

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Ledger:
    """The outside world: what tools did to it, counted by key. It outlives every kill.

    Handed to the function that makes the agents. A tool writes into it where it would touch
    the world. Keys are those of its context, `ctx.idempotency_key` or `ctx.key_for(step)`:
    those are checked against what the tool promises. Other keys are counted, and left to you.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._taken = self._folder / "taken"
        self._taken.mkdir(parents=True, exist_ok=True)
        self.account: Final = Account(self._folder / "lines")
        """All that was written, in order; also what the harness notes beside the effects."""

    def note(self, key: str) -> None:
        """Do something to the world that a repeat does once more: send a letter."""
        self.account.write(_EFFECT, key)

    def put(self, key: str) -> bool:
        """Do something to the world that a repeat does not do again: book under this key.

        Returns whether it was done now; False if it had been done before, by whomever.
        """
        self.account.write(_ASKED, key)
        try:
            os.close(os.open(self._place(key), os.O_CREAT | os.O_EXCL, 0o644))
        except FileExistsError:
            return False
        return True

    def taken(self, key: str) -> bool:
        """Whether it was ever done under this key (`put`)."""
        return self._place(key).exists()

    def close(self) -> None:
        """Close the files. What was written stays."""
        self.account.close()

    def _place(self, key: str) -> Path:
        return self._taken / blake2b(key.encode(), digest_size=16).hexdigest()


def effect_of(line: Sequence[Word]) -> tuple[str, bool] | None:
    """Return the key of an effect, and whether a repeat of it is one more; None if it is none."""
    match line:
        case (str(kind), str(key)) if kind in (_EFFECT, _ASKED):
            return key, kind == _EFFECT
        case _:
            return None
