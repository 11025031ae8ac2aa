"""How far something is, as a bar."""

from __future__ import annotations

from typing import Final

from rich.progress_bar import ProgressBar

BAR_COLUMNS: Final = 24


def progress_bar(
    done: float, total: float | None, *, width: int = BAR_COLUMNS, alive: bool = True
) -> ProgressBar:
    """Return a bar. Without a total it moves to and fro; one that is not `alive` stands still."""
    if total is None or total <= 0:
        return ProgressBar(total=None if alive else 1, pulse=alive, width=width)
    complete = "bar.complete" if alive else "red"
    return ProgressBar(total=total, completed=done, width=width, complete_style=complete)
