"""Views in a process that does not own the log: what the owner has committed, and the rest.

The owner's view is opened read-only. What the log has beyond its checkpoint is folded here, in
memory, above the owner's rows. Without a view that is of use, all of the log is. Nothing is
written, so nobody else sees anything of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from outlive.events import (
    Clock,
    CorruptLog,
    LogClosed,
    LogReader,
    NewerFormat,
    NotFound,
    Position,
    Record,
    SystemClock,
    UnknownEvent,
    ViewBehind,
)
from outlive.projections.views.following import failed_by, wanted_of
from outlive.projections.views.projection import Projection, check_projections
from outlive.projections.views.rows import Rows, ViewRows
from outlive.projections.views.runner import PATIENCE
from outlive.projections.views.store import Damaged, MemoryStore, Store, Unusable
from outlive.projections.views.view_file import Identity, ViewFile, seen, visit_view

_PAGE: Final = 512
_MANY: Final = 2_048  # rows above the owner's: those of a few hundred milliseconds of hard work

T = TypeVar("T")


class VisitedView:
    """One view, read from any thread, by one at a time."""

    def __init__(self, projection: Projection, log: LogReader, folder: Path, clock: Clock) -> None:
        self._projection = projection
        self._wanted: Final = frozenset(projection.events)
        self._log = log
        self._folder = folder
        self._clock = clock
        self._identity = Identity(log.log_id, projection.name, projection.version)
        self._useless: object = None  # what was seen of a file that is not to be opened
        self._file: ViewFile | None = None
        self._rows = Rows(MemoryStore())
        self._from = self._at = Position(0)
        self._lock = threading.Lock()
        self._closed = False

    def read(self, work: Callable[[ViewRows], T]) -> T:
        """Return what `work` makes of the rows. See `Views.read`."""
        with self._lock:
            try:
                return self._read(work)
            finally:
                if self._closed:
                    self._close_file()

    def _read(self, work: Callable[[ViewRows], T]) -> T:
        head = self._log.head
        until_ns = self._clock.monotonic_ns() + round(PATIENCE * 1e9)
        while True:
            if self._closed:
                raise LogClosed("the views are closed")
            try:
                self._look()
                with self._standing_still():
                    self._fold_to(head, until_ns)
                    return work(self._rows.reading)
            except (Damaged, Unusable):
                self._leave_file()

    def close(self) -> None:
        """Let go of the file, or have the query that is under way do it. Twice is once."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._close_file()
            finally:
                self._lock.release()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _look(self) -> None:
        """Go over to the owner's newest file, if that is of use."""
        there, file = seen(self._folder), self._file
        if file is not None and (there is None or (there[0] == file.folder and not file.gone)):
            return
        if there is None or there == self._useless:
            return
        try:
            found = visit_view(there[0], self._identity)
        except (Damaged, Unusable):
            self._useless = there
            return
        if file is not None and found.checkpoint.position < self._from:
            found.close()  # It is being built anew: what is at hand has got further.
            return
        if file is not None:
            file.close()
        self._file = found
        self._begin(found)

    @contextmanager
    def _standing_still(self) -> Generator[None]:
        """Stay with the owner's newest commit: what a later one has folded is not folded again."""
        file = self._file
        if file is None:
            yield
            return
        with file.standing_still():
            there = file.checkpoint.position
            if not self._from <= there <= self._at:
                self._begin(file)
            elif there > self._from and self._rows.above > _MANY:
                self._begin(file)  # Most of them are committed there by now.
            yield

    def _leave_file(self) -> None:
        """The file is of no use after all: fold the log without it."""
        file, self._file = self._file, None
        assert file is not None, "rows in memory are neither damaged nor on a disk"
        self._useless = seen(self._folder)
        file.close()
        self._begin(MemoryStore())

    def _begin(self, base: Store) -> None:
        self._rows = Rows(base)
        self._from = self._at = base.checkpoint.position

    def _fold_to(self, head: Position, until_ns: int) -> None:
        while self._at < head:
            if self._clock.monotonic_ns() > until_ns:
                raise ViewBehind(self._projection.name, self._at, head)
            page = self._page()
            wanted = wanted_of(page, self._wanted)
            if wanted:
                self._apply(wanted)
            for record in page[-1:]:
                self._at = record.position

    def _page(self) -> list[Record]:
        try:
            return self._log.read_all(after=self._at, limit=_PAGE)
        except (CorruptLog, NewerFormat, UnknownEvent) as error:
            raise failed_by(self._projection.name, error) from error

    def _apply(self, records: Sequence[Record]) -> None:
        try:
            self._projection.apply(records, self._rows)
        except (Damaged, Unusable):
            raise
        except Exception as error:
            self._begin(self._file or MemoryStore())  # Half of a record may be in the rows.
            raise failed_by(self._projection.name, error) from error


class ViewReader:
    """Answers queries from views in a process that does not own the log: `Views`.

    Args:
        log: the log, as this process reads it.
        projections: the same as the owner's. Where the owner has none of a name, or another
            version, the log is folded here from its start, as far as 5 seconds carry; the next
            query goes on from there.
        folder: where the owner keeps the views; it need not be there.
        clock: measures how long a query takes.
    """

    def __init__(
        self,
        log: LogReader,
        projections: Collection[Projection],
        *,
        folder: Path,
        clock: Clock | None = None,
    ) -> None:
        self._views = {
            name: VisitedView(projection, log, folder / name, clock or SystemClock())
            for name, projection in check_projections(projections).items()
        }

    async def read(self, view: str, work: Callable[[ViewRows], T]) -> T:
        """Return what `work` makes of the rows of a view, in a thread. See `Views.read`."""
        visited = self._views.get(view)
        if visited is None:
            raise NotFound(f"there is no view {view!r} (known: {', '.join(self._views)})")
        return await asyncio.get_running_loop().run_in_executor(None, visited.read, work)

    def close(self) -> None:
        """Let go of the files. Twice is once. Before the log is closed."""
        for view in self._views.values():
            view.close()
