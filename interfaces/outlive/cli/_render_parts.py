"""What lines about events are made of."""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.cli._text import printable
from outlive.events import Failure, Value

_SHORT_BYTES: Final = 120


def said(what: str, by: str, why: str) -> str:
    """Return what somebody has said, who that was and why."""
    who = f" by {printable(by)}" if by else ""
    return f"{what}{who}: {printable(why)}" if why else f"{what}{who}"


def failure(error: Failure) -> str:
    """Return why something failed."""
    return f"{printable(error.kind)}: {printable(error.message)}".rstrip(": ")


def short(value: Value | object) -> str:
    """Return a value as JSON; long ones by their size."""
    data = msgspec.json.encode(value)
    if len(data) > _SHORT_BYTES:
        return f"{len(data):,} bytes"
    return printable(data.decode())


def progress(done: float, total: float | None, note: str) -> str:
    """Return how far something is: `3 of 7  the third page`."""
    of = "" if total is None else f" of {total:g}"
    return f"{done:g}{of}  {printable(note)}".rstrip()
