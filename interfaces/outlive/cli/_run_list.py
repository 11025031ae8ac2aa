"""`outlive runs list`: from the owner's view, or, where there is none, from the log itself."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.text import Text

from outlive.cli._exit import OK, Wrong, complain
from outlive.cli._json import plain, print_json
from outlive.cli._runs import STATUS_STYLE, opened
from outlive.cli._text import console, printable
from outlive.events import Clock, SystemClock
from outlive.projections import RunInfo, RunPage, RunsQuery, RunsView, ViewReader

_AGO: Final = re.compile(r"(\d{1,6})([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_HEADS: Final = ("run", "status", "agent", "started", "took", "steps", "tokens")
_NUMBERS: Final = (3, 4, 5, 6)  # columns that are flush right
_ID_CHARS: Final = 16  # of an id that we have drawn
_AGENT_CHARS: Final = 12
_LEAST_INPUT: Final = 8
_PIPE_LINE: Final = 140


def list_runs(
    data: Path,
    *,
    status: str | None,
    agent_id: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    cursor: str | None,
    json: bool,
) -> int:
    """Print a page of runs. Raises LogError, ViewError, Wrong."""
    clock = SystemClock()
    bounds = _instant(since, "--since", clock), _instant(until, "--until", clock)
    with opened(data) as log:
        views = ViewReader(log, [RunsView()], folder=data / "views", clock=clock)
        try:
            page = asyncio.run(
                RunsQuery(log, views).list(
                    status=status,
                    agent_id=agent_id,
                    since=bounds[0],
                    until=bounds[1],
                    limit=limit,
                    cursor=cursor,
                )
            )
        except ValueError as error:
            raise Wrong(str(error)) from None
        finally:
            views.close()
    if json:
        for run in page.runs:
            print_json(plain(run))
        if page.cursor is not None:
            print_json({"cursor": page.cursor})
    else:
        _print_page(page, _now(clock))
    return OK


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)


def _instant(text: str | None, option: str, clock: Clock) -> datetime | None:
    """Return the instant that an option names. Raises Wrong."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        try:
            return _now(clock) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
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


def _print_page(page: RunPage, now: datetime) -> None:
    if not page.runs:
        complain("no runs")
        return
    out = console()
    width = out.width if out.is_terminal else _PIPE_LINE
    rows = [_HEADS, *(_cells(run, now) for run in page.runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    widths[0] = min(widths[0], _ID_CHARS)  # A longer id moves its own line only: it is never cut.
    for number, row in enumerate(rows):
        line = Text(no_wrap=True)
        for column, (cell, columns) in enumerate(zip(row, widths, strict=True)):
            style = "dim" if not number else _style(column, page.runs[number - 1])
            right = column in _NUMBERS
            line.append(cell.rjust(columns) if right else cell.ljust(columns), style=style)
            line.append("  ")
        if number:
            text = printable(page.runs[number - 1].input)
            line.append(_cut(text, max(width - len(line), _LEAST_INPUT)))
        else:
            line.append("input", style="dim")
        line.rstrip()
        out.print(line, soft_wrap=True)
    if page.cursor is not None:
        out.print(
            Text(f"There are more: the same with --cursor={page.cursor}", style="dim"),
            soft_wrap=True,
        )


def _cells(run: RunInfo, now: datetime) -> tuple[str, ...]:
    return (
        printable(run.run_id),
        run.status,
        printable(run.agent_id, limit=_AGENT_CHARS),
        f"{_span(now - run.started_at)} ago",
        _span((run.ended_at or now) - run.started_at),
        f"{run.steps:,}",
        _short(run.usage.input_tokens + run.usage.output_tokens),
    )


def _style(column: int, run: RunInfo) -> str:
    if column == 1:
        return STATUS_STYLE.get(run.status, "bold yellow")
    return "bold" if not column else ""


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 1].rstrip() + "…"


def _span(elapsed: timedelta) -> str:
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


def _short(number: int) -> str:
    """Return a number in four characters or so."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= 10 * size:
            return f"{number // size}{unit}"
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
