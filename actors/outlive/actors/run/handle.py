"""A run, as the caller holds it: its id, its events, its result."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from outlive.actors.run.submission import Submission
from outlive.events import Recorded, RunId, RunNotFound
from outlive.projections import RunResult, TextReset, text_of

if TYPE_CHECKING:
    from outlive.actors.starting import Starting


class Run:
    """A run that was started. It goes on whether or not anybody holds this object."""

    def __init__(self, runtime: Starting, id: RunId, submission: Submission | None = None) -> None:
        self._runtime = runtime
        self._submission = submission
        self.id: Final = id

    @property
    def submitted(self) -> bool:
        """Whether the start lies in the inbox still: no owner has been up to take it.

        It is durable, and the run begins as soon as there is an owner. If that one refuses it,
        `result` raises what it was refused with.
        """
        return self._submission is not None and self._submission.waits()

    def __repr__(self) -> str:
        """Name the run."""
        return f"<Run {self.id}>"

    def events(self, *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield the run's events beyond version `after`, then live. See `Runtime.observe`."""
        return self._runtime.observe(self.id, after=after)

    def text(self) -> AsyncGenerator[str | TextReset, None]:
        """Yield the text of the answers as it comes in, from the start of the run.

        `TextReset` says that a crash cut the answer off: what was yielded of it is void.
        """
        return text_of(self.events())

    async def result(self, *, timeout: float | None = None) -> RunResult:
        """Wait until the run is at rest. See `Runtime.result`.

        Raises:
            RunExists, AgentNotFound: an owner that came later has refused the start.
        """
        try:
            result = await self._runtime.result(self.id, timeout=timeout)
        except RunNotFound:
            if self._submission is not None:
                self._submission.answered()
            raise
        if self._submission is not None:
            self._submission.answered()  # It may be the result of another start under this id.
        return result
