"""`outlive verify`: is a log what was written?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from rich.table import Table
from rich.text import Text

from outlive.cli._exit import FAILED, OK, Wrong
from outlive.cli._json import plain, print_json
from outlive.cli._text import console, counted, printable, put
from outlive.events import Verification, verify

_STYLE = {"ok": "bold green", "ok with gaps": "bold green", "bad": "bold red"}


def verify_log(data: Path, *, expect: str | None, json: bool) -> int:
    """Print what is found; 0 if nothing is wrong, else 1. Raises LogError."""
    found = verify(data, expected_head=None if expect is None else _head(expect))
    if json:
        fields = cast("dict[str, object]", plain(found))
        print_json({"log": str(data), **fields})
    else:
        put(console(), _table(data, found))
    return OK if found.ok else FAILED


def _head(text: str) -> tuple[int, str]:
    position, _, hash = text.partition(":")
    if not re.fullmatch("[0-9]{1,19}", position) or not re.fullmatch("[0-9a-f]{64}", hash):
        raise Wrong(f"{text!r} is no head: give it as `outlive verify` prints it, POSITION:HASH")
    return int(position), hash


def _table(data: Path, found: Verification) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("log", Text(printable(str(data)), style="bold"))
    where = f" at position {found.position}" if found.position else ""
    table.add_row("status", Text(found.status + where, style=_STYLE[found.status]))
    if found.reason:
        table.add_row("reason", Text(printable(found.reason), style="red"))
    if not found.ok:
        if found.records:
            table.add_row("in order", f"{counted(found.records, 'record')} before that")
        return table
    table.add_row("records", f"{found.records:,}")
    table.add_row("events", f"{found.events:,}")
    table.add_row("streams", f"{found.streams:,}")
    dropped = f", {counted(found.dropped_events, 'event')} compacted" if found.gaps else ""
    table.add_row("gaps", f"{found.gaps:,}{dropped}")
    if found.head:
        table.add_row("head", f"{found.head}:{found.head_hash}")
    if not found.structure_checked:
        table.add_row("pages", "not checked: an owner kept on writing")
    return table
