"""A run, as a caller without an event loop holds it: its id, its events, its result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from outlive.actors.run.handle import Run
from outlive.events import Recorded, RunId
from outlive.projections import RunResult, TextReset

if TYPE_CHECKING:
    from outlive.actors.sync_runtime import SyncRuntime


class SyncRun:
    """A run that was started. The same as `Run`, without await."""

    def __init__(self, runtime: SyncRuntime, run: Run) -> None:
        self._runtime = runtime
        self._run = run
        self.id: Final[RunId] = run.id

    def __repr__(self) -> str:
        """Name the run."""
        return f"<SyncRun {self.id}>"

    @property
    def submitted(self) -> bool:
        """Whether the start lies in the inbox still. See `Run.submitted`."""
        return self._run.submitted

    def events(self, *, after: int = 0) -> Iterator[Recorded]:
        """Yield the run's events beyond version `after`, then live. See `Run.events`."""
        return self._runtime.observe(self.id, after=after)

    def text(self) -> Iterator[str | TextReset]:
        """Yield the text of the answers as it comes in. See `Run.text`."""
        return self._runtime.iterate(self._run.text())

    def result(self, *, timeout: float | None = None) -> RunResult:
        """Wait until the run is at rest. See `Run.result`."""
        return self._runtime.wait_for(self._run.result(timeout=timeout))
