"""Asking a thread to begin a run: checked before anything is written."""

from __future__ import annotations

from typing import get_args

from outlive.actors.thread.answers import asked_on
from outlive.actors.thread.submitted import AskRunRequest, OnBusy
from outlive.events import LogReader, RunWish, StreamId, ThreadRunAsked
from outlive.projections.lists import check_text


def ask_run(
    run_id: str, wish: RunWish, *, resource_id: str | None, on_busy: OnBusy
) -> AskRunRequest:
    """Return the request for a run on a thread. Raises ValueError, InvalidId."""
    if on_busy not in get_args(OnBusy):
        known = ", ".join(get_args(OnBusy))
        raise ValueError(f"on_busy is one of {known}, not {on_busy!r}")
    if resource_id is not None:
        check_text("resource_id", resource_id)
    return AskRunRequest(run_id=run_id, wish=wish, resource_id=resource_id or "", on_busy=on_busy)


def run_asked(log: LogReader, thread: StreamId, run_id: str) -> str:
    """Return the run that was told what this one was to be asked; itself if it was none."""
    asked = asked_on(log, thread, run_id=run_id)
    event = None if asked is None else asked.event
    return (event.delivered_to if isinstance(event, ThreadRunAsked) else "") or run_id
