"""`outlive runs list`: from the owner's view, or, where there is none, from the log itself."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import Final

from outlive.cli._asking import answer_of
from outlive.cli._exit import OK, complain
from outlive.cli._listing import Line, instant, now, print_list, print_page, short_span
from outlive.cli._runs import STATUS_STYLE
from outlive.cli._text import printable
from outlive.events import LogReader, SystemClock
from outlive.projections import RunInfo, RunPage, RunsQuery, RunsView, Views

_HEADS: Final = ("run", "status", "agent", "started", "took", "steps", "tokens")
_NUMBERS: Final = (3, 4, 5, 6)  # columns that are flush right
_AGENT_CHARS: Final = 12


def list_runs(
    data: Path,
    *,
    status: str | None,
    agent_id: str | None,
    thread_id: str | None,
    resource_id: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    cursor: str | None,
    json: bool,
) -> int:
    """Print a page of runs. Raises LogError, ViewError, Wrong."""
    clock = SystemClock()
    bounds = instant(since, "--since", clock), instant(until, "--until", clock)

    def ask(log: LogReader, views: Views) -> Coroutine[object, object, RunPage]:
        return RunsQuery(log, views).list(
            status=status,
            agent_id=agent_id,
            thread_id=thread_id,
            resource_id=resource_id,
            since=bounds[0],
            until=bounds[1],
            limit=limit,
            cursor=cursor,
        )

    page = answer_of(data, RunsView(), ask)
    if json:
        print_page(page.runs, page.cursor)
    else:
        _print_page(page, now(clock))
    return OK


def _print_page(page: RunPage, at: datetime) -> None:
    if not page.runs:
        complain("no runs")
        return
    lines = [
        Line(_cells(run, at), printable(run.input), STATUS_STYLE.get(run.status, "bold yellow"))
        for run in page.runs
    ]
    print_list(_HEADS, "input", lines, numbers=_NUMBERS, cursor=page.cursor)


def _cells(run: RunInfo, at: datetime) -> tuple[str, ...]:
    return (
        printable(run.run_id),
        run.status,
        printable(run.agent_id, limit=_AGENT_CHARS),
        f"{short_span(at - run.started_at)} ago",
        short_span((run.ended_at or at) - run.started_at),
        f"{run.steps:,}",
        _short(run.usage.input_tokens + run.usage.output_tokens),
    )


def _short(number: int) -> str:
    """Return a number in four characters or so."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= 10 * size:
            return f"{number // size}{unit}"
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
