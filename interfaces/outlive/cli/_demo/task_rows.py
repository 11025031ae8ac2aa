"""The demo's tasks on a terminal: a row for each, with a bar of the pages that are recorded."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from outlive.cli._demo.moments import (
    AnyMoment,
    Killed,
    PageRecorded,
    TaskBegun,
    TaskOver,
    TaskQueuedUp,
)
from outlive.cli._progress_bar import BAR_COLUMNS, progress_bar
from outlive.cli._text import printable

_SAYS: Final = len("succeeded")
_STYLES: Final = {"queued": "dim", "running": "cyan", "cut off": "bold red", "succeeded": "green"}


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    pages: int
    done: int = 0
    says: str = "queued"
    attempt: int = 0
    page: str = ""

    @property
    def over(self) -> bool:
        return self.says not in ("queued", "running", "cut off")


class TaskRows:
    """Folds moments into rows."""

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}

    def __bool__(self) -> bool:
        """Whether there is a task."""
        return bool(self._rows)

    @property
    def all_over(self) -> bool:
        """Whether each task has ended."""
        return all(row.over for row in self._rows.values())

    def take(self, moment: AnyMoment) -> None:
        """Take a moment; most say nothing here."""
        match moment:
            case TaskQueuedUp():
                self._rows[moment.number] = _Row(number=moment.number, pages=moment.pages)
            case TaskBegun(number=number, attempt=attempt):
                self._change(number, says="running", attempt=attempt)
            case PageRecorded(task=number, title=title) if number in self._rows:
                done = self._rows[number].done + 1
                self._change(number, done=done, page=title)
            case TaskOver(number=number, status=status):
                self._change(number, says=status, page=moment.error)
            case Killed(tasks=numbers):
                for number in numbers:
                    self._change(number, says="cut off")
            case _:
                pass

    def _change(self, number: int, **changed: object) -> None:
        if number in self._rows:  # Who comes late has not seen how it began.
            self._rows[number] = replace(self._rows[number], **changed)

    def table(self, *, width: int, height: int) -> Table:
        """Return the rows, in at most `height` lines: if there are more, those that go on first."""
        bar = max(min(BAR_COLUMNS, width - _SAYS - 12), 4)
        columns = Table.grid(padding=(0, 1, 0, 0), expand=True)
        columns.add_column(width=len(str(len(self._rows))), justify="right")
        columns.add_column(width=bar)
        columns.add_column(width=3)
        columns.add_column(width=_SAYS)
        columns.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        rows = list(self._rows.values())
        if len(rows) > height:
            rows = sorted(rows, key=lambda row: (row.over, row.says == "queued", row.number))
        shown = rows if len(rows) <= height else rows[: max(height - 1, 1)]
        for row in shown:
            columns.add_row(*_cells(row, bar))
        if left := rows[len(shown) :]:
            over = sum(row.over for row in left)
            says = f"{len(left) - over} more queued, {over} ended"
            columns.add_row("", "", "", "", Text(says, style="dim"))
        return columns


def _cells(row: _Row, bar: int) -> tuple[RenderableType, ...]:
    note = printable(row.page)
    if row.says == "succeeded":
        note = f"in {row.attempt} attempts" if row.attempt > 1 else ""
    elif row.attempt > 1:
        note = f"attempt {row.attempt}: {note}"
    return (
        Text(str(row.number), style="bold"),
        progress_bar(row.done, row.pages, width=bar, alive=row.says != "cut off"),
        f"{row.done}/{row.pages}",
        Text(row.says, style=_STYLES.get(row.says, "bold red")),
        Text(note, style="dim"),
    )
