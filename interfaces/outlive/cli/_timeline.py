"""A timeline as bars on a common axis."""

from __future__ import annotations

from typing import Final

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


def bars(line: Timeline, width: int) -> Table:
    """Return one row for each attempt, with a bar on an axis that fits into `width` columns."""
    table = Table.grid(padding=(0, 2, 0, 0))
    labels = [_label(span) for span in line.spans]
    notes = [_note(span) for span in line.spans]
    taken = max(map(len, labels), default=0) + max(map(len, notes), default=0) + 14
    columns = max(12, min(60, width - taken))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=columns)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis")
    end = duration(line.elapsed_ms)
    axis = "0" + end.rjust(columns - 1)
    table.add_row("", Text(axis, style="dim"), "", "")
    for span, label, note in zip(line.spans, labels, notes, strict=True):
        cut = span.outcome in ("cut_off", "failed")
        table.add_row(
            Text(label, style=_STYLE[span.kind]),
            _bar(span, line, columns),
            duration(span.elapsed_ms),
            Text(note, style="red" if cut else "dim"),
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


def _bar(span: Span, line: Timeline, columns: int) -> Text:
    whole_ns = max(line.last_at_ns - line.started_at_ns, 1)
    scale = (columns - 1) / whole_ns
    start = round((span.started_at_ns - line.started_at_ns) * scale)
    ended_at_ns = line.last_at_ns if span.ended_at_ns is None else span.ended_at_ns
    stop = max(start + 1, round((ended_at_ns - line.started_at_ns) * scale) + 1)
    stop = min(stop, columns)
    start = min(start, stop - 1)
    mark = _MARK[span.outcome]
    body = "━" * (stop - start - (1 if mark else 0)) + mark
    bar = Text(" " * start)
    bar.append(body, style=_STYLE[span.kind])
    if mark:
        calm = span.outcome in ("open", "suspended")
        bar.stylize("bold" if calm else "bold red", len(bar) - 1)
    return bar
