"""`outlive tasks watch`: what happens in tasks, as bars on a terminal, else as lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

from outlive.actors.run.begun import has_begun
from outlive.cli._asking import opened, require_begun
from outlive.cli._exit import FAILED, OK, Wrong
from outlive.cli._json import print_json, recorded_object
from outlive.cli._render import task_event_line
from outlive.cli._task_bars import TaskBars
from outlive.cli._text import console
from outlive.events import (
    LmdbReader,
    LogReader,
    Recorded,
    StreamId,
    SystemClock,
    TaskSucceeded,
    task_stream,
)
from outlive.projections import TasksQuery, TasksView, ViewReader
from outlive.projections.tasks.observe import ENDS, observe_several

_PIPE_LINE = 200


class Screen(Protocol):
    """Where events are shown."""

    def show(self, recorded: Recorded) -> None:
        """Show an event."""
        ...


class _Lines:
    """An event a line, for people: a pipe or file."""

    def __init__(self) -> None:
        self._out = console()

    def show(self, recorded: Recorded) -> None:
        self._out.print(task_event_line(recorded, width=_PIPE_LINE), soft_wrap=True)
        self._out.file.flush()


class _Json:
    """An event a line, for programs."""

    def show(self, recorded: Recorded) -> None:
        print_json(recorded_object(recorded))


def watch_tasks(
    data: Path, ids: Sequence[str], wanted: Mapping[str, str | None], *, after: int, json: bool
) -> int:
    """Print what happens in tasks beyond position `after`, then live.

    Of the tasks in `ids`, until they are over; or of all that are of what is `wanted`.

    Raises:
        TaskNotFound, RunNotFound, InvalidOffset, LogError, Wrong: before anything was printed.
    """
    said = {name: value for name, value in wanted.items() if value is not None}
    if len(said) + bool(ids) != 1:
        raise Wrong("say which: ids of tasks, or one of --agent, --thread and --run")
    with opened(data) as log:
        if ids:
            for task_id in ids:
                require_begun(log, task_stream(task_id), f"task {task_id!r}")
            failed = asyncio.run(_show(log, observe_several(log, ids, after=after), json=json))
        else:
            failed = asyncio.run(_watch_all(log, data, said, after=after, json=json))
    return FAILED if failed and ids else OK


async def _watch_all(
    log: LmdbReader, data: Path, wanted: Mapping[str, str], *, after: int, json: bool
) -> bool:
    views = ViewReader(log, [TasksView()], folder=data / "views", clock=SystemClock())
    tasks = TasksQuery(log, views, begun=lambda stream: has_begun(log, stream))
    try:
        async with aclosing(tasks.observe(**wanted, after=after)) as events:
            return await _show(log, events, json=json)
    finally:
        views.close()


async def _show(log: LogReader, events: AsyncIterator[Recorded], *, json: bool) -> bool:
    """Show events until there are no more; return whether a task did not succeed in the end."""
    succeeded: dict[StreamId, bool] = {}

    async def follow(screen: Screen) -> None:
        async for recorded in events:
            screen.show(recorded)
            if isinstance(recorded.event, ENDS):
                succeeded[recorded.stream] = isinstance(recorded.event, TaskSucceeded)

    out = console()
    if json:
        await follow(_Json())
    elif out.is_terminal:
        with TaskBars(log, out, SystemClock()) as bars:
            await follow(bars)
    else:
        await follow(_Lines())
    return not all(succeeded.values())
