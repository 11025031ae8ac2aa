"""The demo's course as bars on a common axis: what the run did, and its tasks with all attempts."""

from __future__ import annotations

from typing import Final

from rich.table import Table

from outlive.cli._demo.course import Course
from outlive.cli._demo.tasks import Task
from outlive.cli._text import counted
from outlive.cli._timeline import Bar, Piece, bar_of, drawn
from outlive.projections.timeline import Timeline

_STYLE: Final = "blue"


def course_bars(course: Course, width: int) -> Table:
    """Return a row for each attempt of the run, and one for each task, by when they began."""
    rows = [
        (span.started_at_ns, bar_of(span))
        for span in course.line.spans
        if span.kind in ("model", "tool")
    ]
    rows += [
        (line.spans[0].started_at_ns, _bar_of(task, line))
        for task, line in zip(course.tasks, course.lines, strict=True)
        if line.spans
    ]
    ordered = sorted(rows, key=lambda row: row[0])
    return drawn([bar for _, bar in ordered], course.line, width)


def _bar_of(task: Task, line: Timeline) -> Bar:
    cut_off = sum(span.outcome == "cut_off" for span in line.spans)
    notes = [counted(len(task.recorded), "page")]
    if task.status != "succeeded":
        notes.append(task.status)
    if cut_off:
        notes.append("cut off" if cut_off == 1 else f"cut off {cut_off} times")
    return Bar(
        label=f"task {task.number}",
        style=_STYLE,
        pieces=[Piece(span.started_at_ns, span.ended_at_ns, span.outcome) for span in line.spans],
        elapsed_ms=sum(span.elapsed_ms or 0 for span in line.spans),
        note=", ".join(notes),
        bad=len(notes) > 1,
    )
