"""What a thread's row of the open table tells: who is active, and which runs have not begun."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from outlive.events import LogReader, OpenEntry, StreamId, ThreadState
from outlive.events.ids import id_of, kind_of
from outlive.events.run.thread import BEGIN

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[str]).decode


def summary_of(state: ThreadState) -> dict[str, str]:
    """Return what lists show of a thread on which something goes on."""
    summary = {"resource_id": state.resource_id}
    if state.active is not None:
        summary["run_id"] = state.active.run_id
        summary["agent_id"] = state.active.agent_id
    queued = [one.run_id for one in state.queue]
    begins = [id_of(one.to) for one in state.mail.outbox.values() if one.subject == BEGIN]
    if queued:
        summary["queued"] = _encode(queued).decode()
    if begins:
        summary["begins"] = _encode(begins).decode()
    return summary


def thread_that_begins(log: LogReader, run: StreamId) -> StreamId | None:
    """Return the thread on which a run waits its turn, or is about to begin; None if none does."""
    if kind_of(run) != "run" or log.version(run):
        return None
    run_id = id_of(run)
    for stream, entry in log.open_entries():
        if entry.kind == "thread" and run_id in _not_begun(entry):
            return stream
    return None


def begun_by(log: LogReader, run: StreamId) -> StreamId | None:
    """Return the thread, or the heartbeat, by which a run is to begin; None if none is known."""
    if kind_of(run) != "run" or log.version(run):
        return None
    run_id = id_of(run)
    for stream, entry in log.open_entries():
        if entry.kind in ("thread", "heartbeat") and run_id in _not_begun(entry):
            return stream
    return None


def begins_on(log: LogReader, thread: StreamId, run: StreamId) -> bool:
    """Whether a run waits its turn on this thread, or is about to begin by it (or a heartbeat)."""
    entry = log.open_entry(thread)
    return entry is not None and id_of(run) in _not_begun(entry)


def thread_that_queues(log: LogReader, run: StreamId) -> StreamId | None:
    """Return the thread on which a run waits its turn; None if it does not wait."""
    stream = thread_that_begins(log, run)
    entry = None if stream is None else log.open_entry(stream)
    waits = entry is not None and id_of(run) in _listed(entry, "queued")
    return stream if waits else None


def _not_begun(entry: OpenEntry) -> Iterator[str]:
    yield from _listed(entry, "queued")
    yield from _listed(entry, "begins")


def _listed(entry: OpenEntry, name: str) -> list[str]:
    found = entry.summary.get(name)
    return [] if found is None else _decode(found)
