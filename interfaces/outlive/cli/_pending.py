"""`outlive runs pending`: what waits for a person, read beside whatever process owns the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from outlive.cli._answered import answered
from outlive.cli._asking import opened
from outlive.cli._exit import OK, Wrong, complain
from outlive.cli._json import plain, print_json
from outlive.cli._pending_text import print_pending
from outlive.cli._text import console
from outlive.events import LogReader, SystemClock
from outlive.projections import Pending, RunsQuery, RunsView, ViewReader, pending_of, read_run
from outlive.projections.lists import MOST
from outlive.projections.tasks import pending_of_tasks


def show_pending(data: Path, run_id: str | None, *, limit: int, json: bool) -> int:
    """Print what waits for a person. Raises RunNotFound, LogError, Wrong."""
    if not 1 <= limit <= MOST:
        raise Wrong(f"--limit is 1 to {MOST:,}, not {limit}")
    with opened(data) as log:
        if run_id is None:
            items: Sequence[Pending] = _of_all(log, data, limit)
        else:
            events = read_run(log, run_id)
            items = (*pending_of(run_id, events), *pending_of_tasks(log, events))
        said = answered(log, items)
    if json:
        for number, item in enumerate(items):
            fields = cast("dict[str, object]", plain(item))
            print_json({**fields, "submitted": number in said})
    elif items:
        print_pending(console(), items, data, said=said)
    else:
        complain("nothing waits for a person")
    return OK


def _of_all(log: LogReader, data: Path, limit: int) -> list[Pending]:
    views = ViewReader(log, [RunsView()], folder=data / "views", clock=SystemClock())
    try:
        return asyncio.run(RunsQuery(log, views).pending(limit=limit))
    finally:
        views.close()
