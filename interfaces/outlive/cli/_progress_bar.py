"""How far something is, as a bar."""

from __future__ import annotations

from typing import Final

from rich.progress_bar import ProgressBar

BAR_COLUMNS: Final = 24


def progress_bar(
    done: float, total: float | None, *, width: int = BAR_COLUMNS, alive: bool = True
) -> ProgressBar:
    """Return a bar, that moves to and fro without a total. What is not `alive` stands out."""
    if total is None:
        return ProgressBar(total=None, pulse=True, width=width)
    style = "bar.complete" if alive else "red"
    return ProgressBar(total=total, completed=done, width=width, complete_style=style)
