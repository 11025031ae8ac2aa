"""What had to hold about the tasks: ended once, told once, and never too many at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from outlive.cli._demo.course import Course
from outlive.cli._demo.facts import Check
from outlive.cli._demo.reading import AT_ONCE
from outlive.cli._text import counted
from outlive.events import Value
from outlive.projections import ToolMessage, fold_run
from outlive.projections.timeline import Timeline

_AS_WANTED = (("succeeded",), ("cancelled",))
"""A task is cancelled only by a person, from another terminal."""


def task_checks(course: Course) -> list[Check]:
    """Return what was to hold of the tasks of a run; nothing if it had none."""
    if not course.tasks:
        return []
    return [_ended_once(course), _at_once(course.lines), _told_once(course)]


def _ended_once(course: Course) -> Check:
    tasks, spans = course.tasks, [span for line in course.lines for span in line.spans]
    ends = Counter(end for task in tasks for end in task.ends)
    cut_off = sum(span.outcome == "cut_off" for span in spans)
    holds = all(task.ends in _AS_WANTED for task in tasks)
    how = ", ".join(f"{count} {end}" for end, count in sorted(ends.items())) or "none"
    says = (
        f"{counted(len(tasks), 'background task')}, each ended once ({how}), "
        f"in {counted(len(spans), 'attempt')}, {cut_off} of them cut off"
    )
    if not holds:
        wrong = [f"task {t.number} {' and '.join(t.ends) or t.status}" for t in tasks]
        says = f"not every task succeeded, once: {', '.join(wrong)}"
    return Check(name="tasks ended once", holds=holds, says=says)


def _at_once(lines: Sequence[Timeline]) -> Check:
    """Attempts that end in an instant free their slot for those that begin then."""
    changes: list[tuple[int, int]] = []
    for span in (span for line in lines for span in line.spans):
        changes.append((span.started_at_ns, 1))
        if span.ended_at_ns is not None:
            changes.append((span.ended_at_ns, -1))
    most = running = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    says = f"at most {most} of them ran at the same time; the tool allows {AT_ONCE}"
    return Check(name="slots", holds=0 < most <= AT_ONCE, says=says)


def _told_once(course: Course) -> Check:
    """The conversation is what the model is given: each result as its task has recorded it."""
    _, transcript = fold_run(recorded.event for recorded in course.run)
    told = [m for m in transcript.messages if isinstance(m, ToolMessage)]
    wrong: list[str] = []
    for task in course.tasks:
        answers = [_told(m) for m in told if m.call_id == task.call_id]
        outcome = "cancelled" if task.ends == ("cancelled",) else task.result
        if task.heard != task.ends or answers != [outcome]:
            wrong.append(f"task {task.number} {counted(len(task.heard), 'time')}")
    says = f"{counted(len(course.tasks), 'outcome')}, each in the conversation once"
    if wrong:
        says = f"not in the conversation as it was, once: {', '.join(wrong)}"
    return Check(name="told once", holds=not wrong, says=says)


def _told(message: ToolMessage) -> Value:
    return message.result if message.error is None else message.error.kind
