"""A timeline as bars on a common axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.table import Table
from rich.text import Text

from outlive.cli._text import counted, duration, printable
from outlive.projections.timeline import Outcome, Span, Timeline

_STYLE: Final = {"model": "magenta", "tool": "cyan", "run": "green", "task": "blue"}
_MARK: Final[dict[Outcome, str]] = {
    "completed": "",
    "cut_off": "✗",
    "failed": "!",
    "open": "…",
    "suspended": "?",
    "in_doubt": "?",
}
_SAYS: Final[dict[Outcome, str]] = {
    "completed": "",
    "cut_off": "cut off",
    "failed": "failed",
    "open": "open",
    "suspended": "asked",
    "in_doubt": "in doubt",
}


class Piece(NamedTuple):
    """A part of a bar; without an end it goes on to the end of the axis."""

    started_at_ns: int
    ended_at_ns: int | None
    outcome: Outcome


class Bar(NamedTuple):
    """A row. What is `bad` is noted in red."""

    label: str
    style: str
    pieces: Sequence[Piece]
    elapsed_ms: int | None
    note: str
    bad: bool = False


def bars(line: Timeline, width: int) -> Table:
    """Return one row for each attempt, with a bar on an axis that fits into `width` columns."""
    return drawn([bar_of(span) for span in line.spans], line, width)


def bar_of(span: Span) -> Bar:
    """Return the row of an attempt."""
    return Bar(
        _label(span),
        _STYLE[span.kind],
        [Piece(span.started_at_ns, span.ended_at_ns, span.outcome)],
        span.elapsed_ms,
        _note(span),
        span.outcome in ("cut_off", "failed"),
    )


def drawn(rows: Sequence[Bar], line: Timeline, width: int) -> Table:
    """Return rows with bars on the axis of a timeline, that fits into `width` columns."""
    table = Table.grid(padding=(0, 2, 0, 0))
    labels = max((len(row.label) for row in rows), default=0)
    taken = labels + max((len(row.note) for row in rows), default=0) + 14
    columns = max(12, min(60, width - taken))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=columns)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis")
    end = duration((line.last_at_ns - line.started_at_ns) // 1_000_000)  # late results included
    axis = "0" + end.rjust(columns - 1)
    table.add_row("", Text(axis, style="dim"), "", "")
    for row in rows:
        table.add_row(
            Text(row.label, style=row.style),
            _bar(row, line, columns),
            duration(row.elapsed_ms),
            Text(row.note, style="red" if row.bad else "dim"),
        )
    return table


def _label(span: Span) -> str:
    if span.kind == "model":
        return f"model {span.step}  #{span.attempt}"
    name = f"{printable(span.name, limit=24)} {span.call_id}"
    return f"{name}  #{span.attempt}" if span.kind == "tool" else f"{name}  {span.kind}"


def _note(span: Span) -> str:
    says = [_SAYS[span.outcome]] if _SAYS[span.outcome] else []
    if span.steps:
        says.append(counted(len(span.steps), "step"))
    if span.usage.output_tokens:
        says.append(counted(span.usage.output_tokens, "token"))
    if span.error is not None:
        says.append(printable(span.error.kind, limit=20))
    return ", ".join(says)


def _bar(row: Bar, line: Timeline, columns: int) -> Text:
    bar = Text()
    for piece in row.pieces:
        _draw(bar, piece, row.style, line, columns)
    return bar


def _draw(bar: Text, piece: Piece, style: str, line: Timeline, columns: int) -> None:
    """Draw a piece behind those before it."""
    whole_ns = max(line.last_at_ns - line.started_at_ns, 1)
    scale = (columns - 1) / whole_ns
    start = round((piece.started_at_ns - line.started_at_ns) * scale)
    ended_at_ns = line.last_at_ns if piece.ended_at_ns is None else piece.ended_at_ns
    stop = max(start + 1, round((ended_at_ns - line.started_at_ns) * scale) + 1)
    stop = min(stop, columns)
    start = min(start, stop - 1)
    mark = _MARK[piece.outcome]
    body = "━" * (stop - max(start, len(bar)) - (1 if mark else 0)) + mark
    bar.append(" " * (start - len(bar)))
    bar.append(body, style=style)
    if mark:
        calm = piece.outcome in ("open", "suspended")
        bar.stylize("bold" if calm else "bold red", len(bar) - 1)
