"""Where new ids come from: handed in, so that tests can hand in others."""

from __future__ import annotations

import secrets
from base64 import b32encode
from typing import Protocol

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


def _drawn() -> str:
    return b32encode(secrets.token_bytes(10)).decode().lower()
