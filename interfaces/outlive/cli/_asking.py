"""Asking a log in a folder, beside whatever process owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from outlive.cli._exit import NOT_FOUND, Wrong
from outlive.events import LmdbReader, StreamId, SystemClock
from outlive.projections import Projection, ViewReader, Views

T = TypeVar("T")


@contextmanager
def opened(data: Path) -> Generator[LmdbReader, None, None]:
    """Open a log to read it; it is closed at the end. Raises LogError."""
    log = LmdbReader(data)
    try:
        yield log
    finally:
        log.close()


def has_waiting(log: LmdbReader, stream: StreamId) -> bool:
    """Whether something that was said about this waits for an owner."""
    return any(command.stream == stream for command in log.submitted())


def require_begun(log: LmdbReader, stream: StreamId, who: str) -> None:
    """Raise Wrong if this is asked for already, but waits for an owner to begin it."""
    if not log.version(stream) and has_waiting(log, stream):
        raise Wrong(f"{who} has not begun: it waits for an owner", code=NOT_FOUND)


def answer_of(
    data: Path,
    projection: Projection,
    ask: Callable[[LmdbReader, Views], Coroutine[Any, Any, T]],
) -> T:
    """Return what a view of the log answers. Raises LogError, ViewError, NotFound, Wrong."""
    with opened(data) as log:
        views = ViewReader(log, [projection], folder=data / "views", clock=SystemClock())
        try:
            return asyncio.run(ask(log, views))
        except ValueError as error:
            raise Wrong(str(error)) from None
        finally:
            views.close()
