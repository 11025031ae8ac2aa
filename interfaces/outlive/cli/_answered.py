"""Which questions are answered already, by what waits in the inbox for an owner."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from outlive.actors.run.carrying_out import command_for
from outlive.actors.run.decide import decide
from outlive.actors.run.going_on import waiting_for
from outlive.actors.run.submitted import Request, RunRequest, decode_request
from outlive.actors.task.carrying_out import steer_command
from outlive.actors.task.entity import TASK
from outlive.actors.task.submitted import SteerRequest
from outlive.events import (
    CorruptLog,
    LmdbReader,
    LogReader,
    OutliveError,
    StreamId,
    SystemClock,
    run_stream,
    task_stream,
)
from outlive.events.ids import id_of, kind_of
from outlive.events.run import evolve
from outlive.projections import Pending, fold_run, read_run
from outlive.projections.tasks import read_task


def answered(log: LmdbReader, items: Sequence[Pending]) -> set[int]:
    """Return the places of those that an owner will find answered once one is up."""
    requests = _requests(log)
    waits_still = {
        stream: _waits_after(log, stream, requests[stream])
        for stream in dict.fromkeys(map(_stream, items))
        if stream in requests
    }
    return {
        number
        for number, item in enumerate(items)
        if item.suspension not in waits_still.get(_stream(item), (item.suspension,))
    }


def _stream(item: Pending) -> StreamId:
    return task_stream(item.task_id) if item.task_id else run_stream(item.run_id)


def _requests(log: LmdbReader) -> dict[StreamId, list[Request]]:
    found: dict[StreamId, list[Request]] = {}
    for command in log.submitted():
        with suppress(CorruptLog):  # What a later release has put there is its owner's to read.
            found.setdefault(command.stream, []).append(decode_request(command.data))
    return found


def _waits_after(log: LogReader, stream: StreamId, requests: Sequence[Request]) -> Collection[str]:
    """Return what a run or task waits for still when these requests have been carried out."""
    if kind_of(stream) == "task":
        return _task_waits_after(log, id_of(stream), requests)
    run_id = id_of(stream)
    state = fold_run(recorded.event for recorded in read_run(log, run_id))[0]
    for request in requests:
        if not isinstance(request, RunRequest):
            continue
        try:
            command = command_for(request, run_id, state, {}, now_ns=SystemClock().now_ns())
            events = decide(state, command)
        except OutliveError:
            continue  # The owner will refuse it, too.
        for event in events:
            state = evolve(state, event)
    return waiting_for(state.calls)


def _task_waits_after(log: LogReader, task_id: str, requests: Sequence[Request]) -> Collection[str]:
    state = TASK.initial
    for recorded in read_task(log, task_id):
        state = TASK.evolve(state, recorded.event)
    for request in requests:
        if not isinstance(request, SteerRequest):
            continue
        try:
            events = TASK.decide(state, steer_command(request, task_id))
        except OutliveError:
            continue
        for event in events:
            state = TASK.evolve(state, event)
    return ("",) if state.in_doubt else tuple(state.asks)
