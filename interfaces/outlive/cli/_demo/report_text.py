"""The report for people: what was killed, what held, and the time it took."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from outlive.cli._demo.course import Course
from outlive.cli._demo.course_bars import course_bars
from outlive.cli._demo.moments import Report
from outlive.cli._text import duration, printable


def report_text(report: Report, course: Course, *, width: int) -> Group:
    """Return the report, for a terminal `width` columns wide."""
    parts: list[Text | Table] = []
    if report.kills:
        parts += [_title("Killed"), _kills(report), Text()]
    parts += [_title("What survived"), _checks(report), Text()]
    parts += [_title("Timeline"), course_bars(course, width), Text(), _figures(report)]
    return Group(*parts)


def _title(text: str) -> Text:
    return Text(text, style="bold")


def _kills(report: Report) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for kill in report.kills:
        lost = f"; {', '.join(kill.fetched_again)} fetched and not recorded"
        table.add_row(
            Text(kill.signal, style="bold red"),
            f"pid {kill.pid}",
            printable(f"in flight: {kill.in_flight}{lost if kill.fetched_again else ''}"),
        )
        if kill.next_pid is not None:
            then = f"pid {kill.next_pid} took over"
            if kill.silent_ms is None:
                then += ", and the question was still there"
            else:
                then += f", {duration(kill.silent_ms)} after the last event"
            table.add_row("", "", Text(then, style="green"))
    return table


def _checks(report: Report) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in report.checks:
        mark = Text("✓", style="bold green") if check.holds else Text("✗", style="bold red")
        table.add_row(mark, Text(check.says, style="" if check.holds else "bold red"))
    return table


def _figures(report: Report) -> Text:
    return Text(
        f"{report.input_tokens:,} tokens in, {report.output_tokens:,} out (the built-in model "
        f"counts words) · {report.events:,} events · {duration(report.elapsed_ms)}",
        style="dim",
    )
