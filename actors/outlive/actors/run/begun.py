"""A run that is known, but not begun: its start lies in the inbox."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from outlive.actors.run.submitted import StartRequest, decode_request
from outlive.events import CorruptLog, LogReader, RunId, StreamId, Submitted, run_stream
from outlive.projections import RunInfo
from outlive.projections.runs.info import submitted_run

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


def is_known(log: Inbox, stream: StreamId) -> bool:
    """Return whether the run has begun, or its start is in the inbox."""
    return log.version(stream) > 0 or any(one.stream == stream for one in log.submitted())


def submitted(log: Inbox, run_id: RunId) -> RunInfo | None:
    """Return what is known of a run whose start is in the inbox; None if there is no such."""
    stream = run_stream(run_id)
    for command in log.submitted():
        if command.stream == stream:
            try:
                request = decode_request(command.data)
            except CorruptLog:
                continue  # Nobody can begin it.
            if not isinstance(request, StartRequest):
                continue
            return submitted_run(
                run_id, request.agent_id, request.input, request.metadata, command.submitted_at_ns
            )
    return None
