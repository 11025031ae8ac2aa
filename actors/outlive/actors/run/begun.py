"""Waiting for a run that is known, but not begun: its start lies in the inbox."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from outlive.events import LogReader, StreamId, Submitted

LOOK_AFTER: Final = 0.25
"""Seconds between two looks at what no event tells."""


class Inbox(LogReader, Protocol):
    """A log whose inbox can be seen."""

    def submitted(self) -> list[Submitted]:
        """Return the commands in the inbox, the oldest first."""
        ...


async def has_begun(log: Inbox, stream: StreamId) -> bool:
    """Return whether the run has begun, once nothing is in the inbox any more that may begin it."""
    if log.version(stream):
        return True
    async with log.follow(stream) as events:
        while any(command.stream == stream for command in log.submitted()):
            try:
                async with asyncio.timeout(LOOK_AFTER):
                    await anext(events)
            except TimeoutError:
                continue
            break
    return log.version(stream) > 0
