"""Where new ids come from: handed in, so that tests can hand in others."""

from __future__ import annotations

import os
import secrets
from typing import Final, Protocol

from outlive.events.ids import RunId


class Ids(Protocol):
    """Draws ids that nobody has drawn before."""

    def run_id(self) -> RunId:
        """Return a new run id."""
        ...

    def command_id(self) -> str:
        """Return a new id for a command to another process."""
        ...


class RandomIds:
    """80 random bits each, in 16 lower-case letters and digits."""

    def run_id(self) -> RunId:
        """Return a new run id."""
        return RunId(_drawn())

    def command_id(self) -> str:
        """Return a new id for a command."""
        return f"command-{_drawn()}"


_CHARS: Final = 16
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz234567" * 8  # of each byte; all as likely
_AT_ONCE: Final = 64
_drawn_ahead: Final[list[str]] = []


def _drawn() -> str:
    try:
        return _drawn_ahead.pop()  # One step, so no two threads get the same.
    except IndexError:
        text = secrets.token_bytes(_CHARS * _AT_ONCE).translate(_LETTERS).decode()
        first, *rest = (text[at : at + _CHARS] for at in range(0, len(text), _CHARS))
        _drawn_ahead.extend(rest)
        return first


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn_ahead.clear)  # They are the parent's.
