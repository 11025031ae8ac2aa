"""Asking a thread to begin a run: checked before anything is written."""

from __future__ import annotations

from typing import get_args

from outlive.actors.thread.answers import asked_on
from outlive.actors.thread.submitted import AskRunRequest, OnBusy
from outlive.events import LogReader, RunWish, StreamId, ThreadRunAsked, thread_stream
from outlive.events.background import OnComplete
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


def check_told(
    thread_id: str | None, resource_id: str | None, on_complete: OnComplete, agent_id: str | None
) -> None:
    """Raise ValueError or InvalidId unless a thread can be told so of a task that has ended."""
    if on_complete not in get_args(OnComplete):
        known = ", ".join(get_args(OnComplete))
        raise ValueError(f"on_complete is one of {known}, not {on_complete!r}")
    if thread_id is None:
        if resource_id is not None or on_complete != "append":
            raise ValueError("resource_id and on_complete are about a thread: give its thread_id")
        return
    thread_stream(thread_id)
    if resource_id is not None:
        check_text("resource_id", resource_id)
    if on_complete == "wake" and not agent_id:
        raise ValueError("on_complete='wake' begins a run of an agent: say which one")
