"""A run that is known, but not begun: its start lies in the inbox, or it waits its turn."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from outlive.actors.run.submitted import decode_request
from outlive.actors.thread.answers import asked_on, wish_of
from outlive.actors.thread.rows import begins_on, begun_by, thread_that_begins
from outlive.actors.thread.submitted import AskRunRequest, SignalRequest
from outlive.events import (
    CorruptLog,
    LogReader,
    RunId,
    RunWish,
    StreamId,
    Submitted,
    run_stream,
)
from outlive.events.ids import id_of, kind_of
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
    """Return whether the run has begun, once nothing is left that may begin it.

    That may lie in the inbox; or the run waits its turn on a thread, or a heartbeat has fired.
    """
    if log.version(stream):
        return True
    by: StreamId | None = None
    async with log.follow(stream) as events:
        while True:
            if not _lies_in_inbox(log, stream):
                if by is None or not begins_on(log, by, stream):
                    by = begun_by(log, stream)  # Reads all rows: once, not each time.
                if by is None:
                    break
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


def _lies_in_inbox(log: Inbox, stream: StreamId) -> bool:
    """Whether something in the inbox may begin it."""
    return any(
        command.stream == stream or _asks_for(command, stream) for command in log.submitted()
    )


def _asks_for(command: Submitted, stream: StreamId) -> bool:
    """Whether a command asks a thread to begin this run."""
    if kind_of(command.stream) != "thread" or kind_of(stream) != "run":
        return False
    try:
        request = decode_request(command.data)
    except CorruptLog:
        return False  # Nobody can begin it.
    if not isinstance(request, AskRunRequest | SignalRequest):
        return False
    return request.run_id == id_of(stream)


def submitted(log: Inbox, run_id: RunId) -> RunInfo | None:
    """Return what is known of a run that is to begin; None if there is no such."""
    stream = run_stream(run_id)
    for command in log.submitted():
        if command.stream != stream and not _asks_for(command, stream):
            continue
        try:
            request = decode_request(command.data)
        except CorruptLog:
            continue  # Nobody can begin it.
        wish = request.wish if isinstance(request, AskRunRequest) else request
        if isinstance(wish, RunWish):
            return submitted_run(
                run_id, wish.agent_id, wish.input, wish.metadata, command.submitted_at_ns
            )
    thread = thread_that_begins(log, stream)
    return None if thread is None else _queued(log, thread, run_id)


def _queued(log: Inbox, thread: StreamId, run_id: RunId) -> RunInfo | None:
    """Return what is known of a run that waits its turn; None if it has begun meanwhile."""
    asked = asked_on(log, thread, run_id=run_id)
    if asked is None:
        return None
    wish = wish_of(asked.event)[0]
    at_ns = asked.recorded_at_ns
    return submitted_run(run_id, wish.agent_id, wish.input, wish.metadata, at_ns, status="queued")
