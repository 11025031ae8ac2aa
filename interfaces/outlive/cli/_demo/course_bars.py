"""The demo's course as bars on a common axis: what the run did, and its tasks with all attempts."""

from __future__ import annotations

from typing import Final

from rich.table import Table

from outlive.cli._demo.course import Course
from outlive.cli._demo.tasks import Attempt, Task
from outlive.cli._text import counted
from outlive.cli._timeline import Bar, Piece, bar_of, drawn
from outlive.projections.timeline import Outcome

_STYLE: Final = "blue"


def course_bars(course: Course, width: int) -> Table:
    """Return a row for each attempt of the run, and one for each task, by when they began."""
    rows = [
        (span.started_at_ns, bar_of(span))
        for span in course.line.spans
        if span.kind in ("model", "tool")
    ]
    begun = [task for task in course.tasks if task.attempts]
    rows += [(task.attempts[0].started_at_ns, _bar_of(task)) for task in begun]
    ordered = sorted(rows, key=lambda row: row[0])
    return drawn([bar for _, bar in ordered], course.line, width)


def _bar_of(task: Task) -> Bar:
    cut_off = sum(attempt.outcome == "cut_off" for attempt in task.attempts)
    pages = counted(len(task.recorded), "page")
    bad = task.status != "succeeded"
    note = ", ".join([pages, *([task.status] if bad else []), *_cut_off(cut_off)])
    pieces = [Piece(a.started_at_ns, a.ended_at_ns, _outcome(a)) for a in task.attempts]
    took = [(a.ended_at_ns or a.started_at_ns) - a.started_at_ns for a in task.attempts]
    label = f"task {task.number}"
    return Bar(label, _STYLE, pieces, sum(took) // 1_000_000, note, bad or cut_off > 0)


def _cut_off(times: int) -> list[str]:
    if not times:
        return []
    return ["cut off" if times == 1 else f"cut off {times} times"]


def _outcome(attempt: Attempt) -> Outcome:
    return "open" if attempt.outcome == "running" else attempt.outcome
