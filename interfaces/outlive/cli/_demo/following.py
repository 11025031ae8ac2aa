"""A run and its tasks in the log: all that is there, or live and in the order of the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from outlive.events import (
    LogReader,
    Recorded,
    TaskRequested,
    run_stream,
    task_stream,
)
from outlive.projections import read_run
from outlive.projections.to_the_end import read_stream


def read_family(log: LogReader, run_id: str) -> list[Recorded]:
    """Return the events of a run and of its tasks, in the order of the log."""
    events = read_run(log, run_id)
    for task_id in [r.event.task_id for r in events if isinstance(r.event, TaskRequested)]:
        events += read_stream(log, task_stream(task_id))
    return sorted(events, key=lambda recorded: (recorded.position, recorded.index))


async def follow_family(log: LogReader, run_id: str) -> AsyncGenerator[Recorded, None]:
    """Yield the events of a run and of its tasks, in the order of the log, and never end.

    The log is read from the run's first commit on, whatever else it holds.
    """
    stream = run_stream(run_id)
    (first,) = log.read(stream, limit=1)
    wanted = {stream}
    async with log.follow_all(after=first.position) as records:
        for recorded in log.read(stream):
            if recorded.position != first.position:
                break
            yield recorded
        async for record in records:
            if record.stream not in wanted:
                continue
            for recorded in record.recorded():
                if isinstance(recorded.event, TaskRequested):
                    wanted.add(task_stream(recorded.event.task_id))
                yield recorded


class Upcoming:
    """The next event of many, awaited beside other things and not lost if they come first."""

    def __init__(self, events: AsyncGenerator[Recorded, None]) -> None:
        self._events = events
        self._next: asyncio.Task[Recorded] | None = None

    def awaited(self) -> asyncio.Task[Recorded]:
        """Return what is done when the event is there; the same until it is taken."""
        if self._next is None:
            self._next = asyncio.create_task(anext(self._events))
        return self._next

    async def is_there(self, *, within: float) -> bool:
        """Wait some seconds for the event."""
        done, _ = await asyncio.wait({self.awaited()}, timeout=within)
        return bool(done)

    def take(self) -> Recorded:
        """Return the event that is there."""
        taken, self._next = self.awaited().result(), None
        return taken

    async def aclose(self) -> None:
        """Follow no longer."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})
        await self._events.aclose()
