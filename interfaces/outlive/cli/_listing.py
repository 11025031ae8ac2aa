"""Lists as tables: a head, a line for each, and how to get the next page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from rich.text import Text

from outlive.cli._exit import Wrong
from outlive.cli._json import plain, print_json
from outlive.cli._text import console, duration
from outlive.events import Clock
from outlive.projections import Timeline

_AGO: Final = re.compile(r"(\d{1,6})([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_ID_CHARS: Final = 32  # of an id that we have drawn, or made of a key
_LEAST_TAIL: Final = 8
_PIPE_LINE: Final = 140


class Line(NamedTuple):
    """One of a list: its cells, the id first and the status second, and what comes behind them."""

    cells: tuple[str, ...]
    tail: str
    style: str  # of the status


def print_list(
    heads: tuple[str, ...],
    tail: str,
    lines: Sequence[Line],
    *,
    numbers: tuple[int, ...],
    cursor: str | None,
) -> None:
    """Print a table. `tail` heads the last column, which is cut at the end of the line.

    The columns in `numbers` are flush right. A long id moves its own line only: it is never cut.
    """
    out = console()
    width = out.width if out.is_terminal else _PIPE_LINE
    rows = [Line(heads, tail, "dim"), *lines]
    widths = [max(len(row.cells[column]) for row in rows) for column in range(len(heads))]
    widths[0] = min(widths[0], _ID_CHARS)
    for number, row in enumerate(rows):
        line = Text(no_wrap=True)
        for column, (cell, columns) in enumerate(zip(row.cells, widths, strict=True)):
            style = _style(column, row) if number else "dim"
            right = column in numbers
            line.append(cell.rjust(columns) if right else cell.ljust(columns), style=style)
            line.append("  ")
        room = max(width - len(line), _LEAST_TAIL)
        line.append(_cut(row.tail, room), style="" if number else "dim")
        line.rstrip()
        out.print(line, soft_wrap=True)
    if cursor is not None:
        more = Text(f"There are more: the same with --cursor={cursor}", style="dim")
        out.print(more, soft_wrap=True)


def print_page(items: Iterable[object], cursor: str | None) -> None:
    """Print a page as JSON: an object a line, and where to go on if there are more."""
    for item in items:
        print_json(plain(item))
    if cursor is not None:
        print_json({"cursor": cursor})


def _style(column: int, row: Line) -> str:
    if column == 1:
        return row.style
    return "bold" if not column else ""


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 1].rstrip() + "…"


def now(clock: Clock) -> datetime:
    """Return the time in UTC."""
    return datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)


def how_long(line: Timeline, clock: Clock) -> str:
    """Return how long something took, or has gone on until now, be anything heard of it or not."""
    if line.ended_at_ns is not None:
        return f"took {duration(line.elapsed_ms)}"
    until_ns = max(clock.now_ns(), line.last_at_ns)
    return f"{duration((until_ns - line.started_at_ns) // 1_000_000)} so far"


def instant(text: str | None, option: str, clock: Clock) -> datetime | None:
    """Return the instant that an option names. Raises Wrong."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        try:
            return now(clock) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        except OverflowError:
            raise Wrong(f"{option} {text} ago is before the year 1") from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Wrong(
            f"{option} takes how long ago (90m, 24h, 7d) or a time "
            f"(2026-03-01, 2026-03-01T08:30:00+01:00), not {text!r}"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def short_span(elapsed: timedelta) -> str:
    """Return a length of time in five characters or so: `12ms`, `1.2s`, `2m05`, `3h20`, `8d`."""
    seconds = max(elapsed.total_seconds(), 0)
    if seconds < 1:
        return f"{seconds * 1_000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes}m{int(seconds % 60):02}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}" if hours < 48 else f"{hours // 24}d"
