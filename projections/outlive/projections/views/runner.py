"""The views of the process that owns the log: all its projections, each followed by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from outlive.events import LogReader, MemoryLog, NotFound, ViewBehind
from outlive.events.logger import get_logger
from outlive.projections.views.following import FollowedView
from outlive.projections.views.pages import Pages
from outlive.projections.views.projection import Projection, check_projections
from outlive.projections.views.rows import ViewRows
from outlive.projections.views.store import Damaged, MemoryStore, Store, StoreBesideLog
from outlive.projections.views.view_file import Identity, open_view

_log = get_logger()

PATIENCE: Final = 5.0
"""Seconds that a query waits for a view at most."""

T = TypeVar("T")


class Views(Protocol):
    """Whoever answers queries from views: the log's owner, or any other process."""

    async def read(self, view: str, work: Callable[[ViewRows], T]) -> T:
        """Return what `work` makes of the rows of a view.

        The rows hold all that the log held when this was called, and perhaps more; while
        `work` runs they do not change. It must not keep or change them, and should be short.

        Raises:
            ViewBehind: the view has not got that far within 5 seconds.
            ViewFailed: it stands still.
            NotFound: there is no projection of this name.
            LogClosed: the log is closed.
        """
        ...


class ViewRunner:
    """Follows a log and keeps the views of some projections, on the running event loop.

    Whatever becomes of a view, the log and the other views do not feel it: a projection that
    raises stands still, and files that are damaged or taken away are made anew from the log.

    Args:
        log: what is followed.
        projections: their names are those of the views.
        folder: where the views are kept; None keeps them in memory, those of a `MemoryLog` with
            what it holds. One process at a time may run the views of a folder: the one that owns
            the log.
    """

    def __init__(
        self, log: LogReader, projections: Collection[Projection], *, folder: Path | None
    ) -> None:
        self._log = log
        pages = Pages(log)
        self._views = {
            name: FollowedView(
                projection,
                log,
                partial(_in_memory, log, projection)
                if folder is None
                else partial(_in_folder, log, projection, folder),
                waits=folder is not None,
                pages=pages,
            )
            for name, projection in check_projections(projections).items()
        }

    def start(self) -> None:
        """Begin to follow the log."""
        for view in self._views.values():
            view.start()

    async def read(self, view: str, work: Callable[[ViewRows], T]) -> T:
        """Return what `work` makes of the rows of a view. See `Views.read`."""
        followed = self._views.get(view)
        if followed is None:
            raise NotFound(f"there is no view {view!r} (known: {', '.join(self._views)})")
        head = self._log.head
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    rows = await followed.reach(head)
                    try:
                        return work(rows)
                    except Damaged as error:
                        followed.give_up(error)  # It is built anew; then once more.
        except TimeoutError:
            raise ViewBehind(view, followed.at, head) from None

    async def close(self) -> None:
        """Commit what was folded and let go of the files. Twice is once."""
        for view in self._views.values():
            await view.close()


def _in_memory(log: LogReader, projection: Projection, fresh: bool) -> Store:
    if not isinstance(log, MemoryLog):
        return MemoryStore()
    return StoreBesideLog(log, projection.name, projection.version, fresh=fresh)


def _in_folder(log: LogReader, projection: Projection, folder: Path, fresh: bool) -> Store:
    identity = Identity(log.log_id, projection.name, projection.version)
    store, why = open_view(folder / projection.name, identity, fresh=fresh)
    if why:
        _log.warning("view_rebuilt", view=projection.name, reason=why)
    return store
