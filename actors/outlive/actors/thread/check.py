"""What an owner will refuse, as far as that can be told while there is none."""

from __future__ import annotations

from msgspec.structs import replace

from outlive.actors.run.carrying_out import plain_start
from outlive.actors.snapshots import state_now
from outlive.actors.thread.carrying_out import thread_command
from outlive.actors.thread.entity import THREAD
from outlive.actors.thread.submitted import AskRunRequest, ThreadRequest
from outlive.events import LogReader, RunExists, ThreadPlace, run_stream, thread_stream
from outlive.events.run.requested import request_digest
from outlive.projections import fold_run, read_run


def check_thread_request(log: LogReader, thread_id: str, request: ThreadRequest) -> None:
    """Raise what an owner will refuse a request to this thread with, by what the log says now."""
    if isinstance(request, AskRunRequest) and log.version(run_stream(request.run_id)):
        state = fold_run(one.event for one in read_run(log, request.run_id))[0]
        place = ThreadPlace(thread_id=thread_id, resource_id=request.resource_id)
        if state.request != request_digest(replace(plain_start(request.wish), thread=place)):
            raise RunExists(request.run_id)
        return
    thread = state_now(log, thread_stream(thread_id), THREAD)
    THREAD.decide(thread, thread_command(thread_id, request, now_ns=0))
