"""What may be quarantined, and released: runs, threads and heartbeats, in whatever process."""

from __future__ import annotations

from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.actors.snapshots import state_now
from outlive.events import (
    HeartbeatNotFound,
    LogReader,
    NotFound,
    NotQuarantined,
    OpenEntry,
    RunNotFound,
    StreamId,
    TaskNotFound,
    ThreadNotFound,
)
from outlive.events.ids import id_of, kind_of
from outlive.projections.run_summary import status_now


def nothing_there(stream: StreamId) -> NotFound:
    """Return what is told of a stream that does not exist."""
    id = id_of(stream)
    match kind_of(stream):
        case "task":
            return TaskNotFound(id)
        case "thread":
            return ThreadNotFound(id)
        case "heartbeat":
            return HeartbeatNotFound(id)
        case _:
            return RunNotFound(id)


def not_quarantined(
    log: LogReader, stream: StreamId, entry: OpenEntry | None = None
) -> NotQuarantined:
    """Return what is told who wants something released that is not quarantined.

    `entry`: its row, if it is known better than the log knows it.
    """
    entry = entry or log.open_entry(stream)
    status = _status_of_one_at_rest(log, stream) if entry is None else entry.status
    return NotQuarantined(id_of(stream), status, kind_of(stream))


def _status_of_one_at_rest(log: LogReader, stream: StreamId) -> str:
    match kind_of(stream):
        case "thread":
            return "idle"
        case "heartbeat":
            return state_now(log, stream, HEARTBEAT).status
        case _:
            return status_now(log, id_of(stream))
