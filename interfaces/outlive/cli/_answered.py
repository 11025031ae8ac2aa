"""Which questions are answered already, by what waits in the inbox for an owner."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from outlive.actors.run.carrying_out import command_for
from outlive.actors.run.decide import decide
from outlive.actors.run.going_on import waiting_for
from outlive.actors.run.submitted import RunRequest, decode_request
from outlive.events import CorruptLog, LmdbReader, LogReader, OutliveError
from outlive.events.ids import id_of
from outlive.events.run import evolve
from outlive.projections import Pending, fold_run, read_run


def answered(log: LmdbReader, items: Sequence[Pending]) -> set[int]:
    """Return the places of those that an owner will find answered once one is up."""
    requests = _requests(log)
    waits_still = {
        run_id: _waits_after(log, run_id, requests[run_id])
        for run_id in {item.run_id for item in items}
        if run_id in requests
    }
    return {
        number
        for number, item in enumerate(items)
        if item.suspension not in waits_still.get(item.run_id, (item.suspension,))
    }


def _requests(log: LmdbReader) -> dict[str, list[RunRequest]]:
    found: dict[str, list[RunRequest]] = {}
    for command in log.submitted():
        with suppress(CorruptLog):  # What a later release has put there is its owner's to read.
            request = decode_request(command.data)
            if isinstance(request, RunRequest):
                found.setdefault(id_of(command.stream), []).append(request)
    return found


def _waits_after(log: LogReader, run_id: str, requests: Sequence[RunRequest]) -> tuple[str, ...]:
    """Return what a run waits for still when these requests have been carried out."""
    state = fold_run(recorded.event for recorded in read_run(log, run_id))[0]
    for request in requests:
        try:
            events = decide(state, command_for(request, run_id, state, {}))
        except OutliveError:
            continue  # The owner will refuse it, too.
        for event in events:
            state = evolve(state, event)
    return waiting_for(state.calls)
