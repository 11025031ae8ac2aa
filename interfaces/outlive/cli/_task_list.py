"""`outlive tasks list`: from the owner's view, or, where there is none, from the log itself."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import Final

from outlive.cli._asking import answer_of
from outlive.cli._exit import OK, complain
from outlive.cli._listing import Line, instant, now, print_list, print_page, short_span
from outlive.cli._render_parts import failure, progress
from outlive.cli._text import printable
from outlive.events import LogReader, SystemClock
from outlive.projections import TaskPage, TasksQuery, TaskSummary, TasksView, Views
from outlive.projections.lists import Order

TASK_STYLE: Final = {
    "succeeded": "bold green",
    "running": "bold cyan",
    "queued": "cyan",
    "failed": "bold red",
    "timed_out": "bold red",
    "cancelled": "bold red",
    "rejected": "bold red",
}
_HEADS: Final = ("task", "status", "tool", "agent", "queued", "took", "attempts")
_NUMBERS: Final = (4, 5, 6)  # columns that are flush right
_NAME_CHARS: Final = 16


def list_tasks(
    data: Path,
    *,
    status: str | None,
    agent_id: str | None,
    tool: str | None,
    run_id: str | None,
    thread_id: str | None,
    resource_id: str | None,
    since: str | None,
    until: str | None,
    order: Order,
    limit: int,
    cursor: str | None,
    json: bool,
) -> int:
    """Print a page of tasks. Raises LogError, ViewError, Wrong."""
    clock = SystemClock()
    bounds = instant(since, "--since", clock), instant(until, "--until", clock)

    def ask(log: LogReader, views: Views) -> Coroutine[object, object, TaskPage]:
        return TasksQuery(log, views).list(
            status=status,
            agent_id=agent_id,
            tool=tool,
            run_id=run_id,
            thread_id=thread_id,
            resource_id=resource_id,
            since=bounds[0],
            until=bounds[1],
            order=order,
            limit=limit,
            cursor=cursor,
        )

    page = answer_of(data, TasksView(), ask)
    if json:
        print_page(page.tasks, page.cursor)
    elif page.tasks:
        at = now(clock)
        lines = [Line(_cells(task, at), how_far(task), style_of(task)) for task in page.tasks]
        print_list(_HEADS, "how far", lines, numbers=_NUMBERS, cursor=page.cursor)
    else:
        complain("no tasks")
    return OK


def style_of(task: TaskSummary) -> str:
    """Return how its status is shown."""
    return TASK_STYLE.get(task.status, "bold yellow")


def how_far(task: TaskSummary) -> str:
    """Return why a task does not go on, or what it has told last of how far it is."""
    if task.error is not None:
        return failure(task.error)
    if task.in_doubt:
        return "in doubt: somebody must say what was done"
    if task.asks:
        return f"asks {printable(', '.join(task.asks))}"
    if task.retry_at is not None:
        return f"to be tried again at {task.retry_at:%H:%M:%S}Z"
    if task.progress is not None and task.ended_at is None:
        return progress(task.progress.done, task.progress.total, task.progress.note)
    return ""


def _cells(task: TaskSummary, at: datetime) -> tuple[str, ...]:
    return (
        printable(task.task_id),
        task.status,
        printable(task.tool, limit=_NAME_CHARS),
        printable(task.agent_id, limit=_NAME_CHARS),
        f"{short_span(at - task.queued_at)} ago",
        short_span((task.ended_at or at) - task.queued_at),
        f"{task.attempt:,}",
    )
