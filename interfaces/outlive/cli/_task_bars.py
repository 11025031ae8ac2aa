"""Tasks on a terminal: a bar for each that goes on, and above them a line for each that ended."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from outlive.cli._listing import now, short_span
from outlive.cli._progress_bar import progress_bar
from outlive.cli._render import task_event_line
from outlive.cli._task_list import how_far, style_of
from outlive.cli._text import counted, printable
from outlive.events import Clock, LogReader, Recorded, StreamId
from outlive.projections import TaskInfo
from outlive.projections.tasks import TaskFold
from outlive.projections.tasks.observe import ENDS
from outlive.projections.to_the_end import read_stream

_NAME_CHARS: Final = 24
_ROWS_BESIDE: Final = 4  # of a terminal: what is left for lines above the bars
_A_SECOND: Final = 5


class TaskBars:
    """Shows events of tasks until it is left; then the bars that are left stay."""

    def __init__(self, log: LogReader, out: Console, clock: Clock) -> None:
        self._log = log
        self._out = out
        self._clock = clock
        self._folds: dict[StreamId, TaskFold] = {}
        self._tasks: dict[StreamId, TaskInfo] = {}  # those that go on
        self._live = Live(
            console=out, get_renderable=self._table, refresh_per_second=_A_SECOND, transient=False
        )

    def show(self, recorded: Recorded) -> None:
        """Show an event."""
        stream = recorded.stream
        fold = self._folds.get(stream) or self._before(recorded)
        fold.apply(recorded)
        info = fold.info()
        if info is None or info.ended_at is not None:
            self._folds.pop(stream, None)
            self._tasks.pop(stream, None)
        else:
            self._folds[stream], self._tasks[stream] = fold, info
        if isinstance(recorded.event, ENDS):
            self._live.console.print(task_event_line(recorded, width=self._out.width))

    def _before(self, recorded: Recorded) -> TaskFold:
        """Return what has happened in a task before an event that is the first one shown of it."""
        fold = TaskFold()
        if recorded.version > 1:
            for earlier in read_stream(self._log, recorded.stream):
                if earlier.version < recorded.version:
                    fold.apply(earlier)
        return fold

    def _table(self) -> RenderableType:
        """Return the bars. Called on a thread of the screen's own."""
        tasks, at = list(self._tasks.values()), now(self._clock)
        room = max(self._out.height - _ROWS_BESIDE, 1)
        table = Table.grid(padding=(0, 2, 0, 0))
        for column in range(6):
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=1 if column == 5 else None)
        for task in tasks[:room]:
            table.add_row(*_row(task, at))
        if len(tasks) > room:
            table.add_row(Text(f"and {counted(len(tasks) - room, 'more task', '')}", style="dim"))
        return table

    def __enter__(self) -> Self:
        """Begin to show."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the screen."""
        self._live.stop()


def _row(task: TaskInfo, at: datetime) -> tuple[RenderableType, ...]:
    attempt = f"#{task.attempt}" if task.attempt > 1 else ""
    return (
        Text(printable(task.task_id, limit=_NAME_CHARS), style="bold"),
        Text(printable(task.tool, limit=_NAME_CHARS), style="cyan"),
        Text(f"{task.status} {attempt}".rstrip(), style=style_of(task)),
        _bar(task),
        short_span(at - task.queued_at),
        Text(how_far(task)),
    )


def _bar(task: TaskInfo) -> RenderableType:
    """Return how far it is; one that does not tell of how much it is, just moves."""
    last = task.progress
    if last is not None and last.total is not None and last.total > 0:
        return progress_bar(last.done, last.total)
    if task.status == "running":
        return progress_bar(0, None)
    return Text("")
