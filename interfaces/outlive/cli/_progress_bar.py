"""How far something is, as a bar of fixed width."""

from __future__ import annotations

from typing import Final

from rich.progress_bar import ProgressBar

BAR_COLUMNS: Final = 24


def progress_bar(done: float, total: float | None, *, alive: bool = True) -> ProgressBar:
    """Return a bar. Without a total it moves to and fro; what is not `alive` is grey and still."""
    if total is None or total <= 0:
        return ProgressBar(total=None if alive else 1, pulse=alive, width=BAR_COLUMNS)
    if alive:
        return ProgressBar(total=total, completed=done, width=BAR_COLUMNS)
    return ProgressBar(total=total, completed=done, width=BAR_COLUMNS, complete_style="bar.pulse")
