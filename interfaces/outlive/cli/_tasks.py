"""`outlive tasks show`: all that is known of one task, read beside whatever process owns it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table
from rich.text import Text

from outlive.cli._answered import answered
from outlive.cli._asking import opened, require_begun
from outlive.cli._exit import OK
from outlive.cli._json import plain, print_json
from outlive.cli._listing import how_long
from outlive.cli._pending_text import command_line, print_pending
from outlive.cli._render_parts import failure, progress
from outlive.cli._task_list import style_of
from outlive.cli._text import (
    console,
    counted,
    duration,
    exact_json,
    printable,
    printable_lines,
    put,
)
from outlive.cli._timeline import bars
from outlive.events import SystemClock, task_stream
from outlive.projections import Pending, TaskInfo, Timeline, task_info, timeline
from outlive.projections.tasks import read_task, task_pending_of

_TRIED_AGAIN: Final = ("failed", "timed_out", "cancelled", "quarantined")
_OUTCOME_STYLE: Final = {"succeeded": "green", "running": "cyan", "suspended": "yellow"}


class TaskFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `tasks show` shows."""

    task: TaskInfo
    timeline: Timeline
    pending: tuple[Pending, ...] = ()


def show_task(data: Path, task_id: str, *, json: bool) -> int:
    """Print what a task came to so far. Raises TaskNotFound, LogError."""
    with opened(data) as log:
        require_begun(log, task_stream(task_id), f"task {task_id!r}")
        events = read_task(log, task_id)
        facts = TaskFacts(
            task=task_info(log, task_id), timeline=timeline(events), pending=task_pending_of(events)
        )
        said = answered(log, facts.pending)
    if json:
        print_json(plain(facts))
    else:
        _print_facts(facts, data, said)
    return OK


def _print_facts(facts: TaskFacts, data: Path, said: set[int]) -> None:
    out = console()
    put(out, _head(facts))
    if facts.task.status in _TRIED_AGAIN:
        again = command_line("retry", [facts.task.task_id], [], data, of="tasks")
        out.print(Text.assemble("to try once more: ", (again, "cyan")), soft_wrap=True)
    if facts.pending:
        put(out, "\n[bold]Waits for a person[/]")
        print_pending(out, facts.pending, data, said=said)
    if facts.task.attempts:
        put(out, "\n[bold]Attempts[/]", _attempts(facts.task))
        put(out, "\n[bold]Timeline[/]", bars(facts.timeline, out.width))
    if facts.task.status == "succeeded":
        put(out, "\n[bold]Result[/]")
        text = (
            facts.task.result
            if isinstance(facts.task.result, str)
            else exact_json(facts.task.result)
        )
        out.print(Text(printable_lines(text)), soft_wrap=not out.is_terminal)


def _head(facts: TaskFacts) -> Table:
    task = facts.task
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(style="dim", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("task", Text(printable(task.task_id), style="bold"))
    if task.run_id is not None:
        asked = f"run {printable(task.run_id)}, call {printable(task.call_id or '')}"
        head.add_row("asked for by", Text(asked))
    head.add_row("status", Text(task.status, style=style_of(task)))
    if task.error is not None:
        head.add_row("reason", Text(failure(task.error), style="red"))
    if task.in_doubt:
        head.add_row("in doubt", "nobody knows what the last attempt has done: somebody must say")
    if task.retry_at is not None:
        head.add_row("tried again", f"{task.retry_at:%Y-%m-%d %H:%M:%S} UTC")
    head.add_row("tool", Text(printable(task.tool)))
    head.add_row("arguments", Text(exact_json(task.arguments)))
    for name, value in (
        ("agent", task.agent_id),
        ("thread", task.thread_id),
        ("resource", task.resource_id),
    ):
        if value:
            head.add_row(name, Text(printable(value)))
    took = how_long(facts.timeline, SystemClock())
    head.add_row("queued", f"{task.queued_at:%Y-%m-%d %H:%M:%S} UTC, {took}")
    if task.progress is not None:
        last = task.progress
        head.add_row("progress", Text(progress(last.done, last.total, last.note)))
    head.add_row("events", f"{task.version:,}")
    head.add_row("steps", f"{task.steps:,}")
    head.add_row("recovered", counted(task.recoveries, "time"))
    return head


def _attempts(task: TaskInfo) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for attempt in task.attempts:
        ended = attempt.ended_at
        took = None if ended is None else (ended - attempt.started_at) / timedelta(milliseconds=1)
        style = _OUTCOME_STYLE.get(attempt.outcome, "red")
        note = "" if attempt.error is None else failure(attempt.error)
        table.add_row(
            Text(f"#{attempt.number}", style="bold"),
            f"{attempt.started_at:%H:%M:%S}Z",
            duration(took),
            Text(attempt.outcome.replace("_", " "), style=style),
            Text(printable(attempt.worker, limit=24), style="dim"),
            Text(printable(note, limit=80), style="red"),
        )
    return table
