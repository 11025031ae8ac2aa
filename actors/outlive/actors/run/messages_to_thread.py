"""What a run says to its thread: that it is over, and what was said in it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import structlog

from outlive.actors.mail import Deliver, Parcel
from outlive.actors.run.notes import Notes
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.commands import EndRun
from outlive.events import (
    AssistantMessage,
    EventTooLarge,
    Message,
    MessageId,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunId,
    run_stream,
)
from outlive.events.sizes import check_size

_log: Final = structlog.stdlib.get_logger("outlive")

Status: TypeAlias = Literal["completed", "failed", "cancelled"]
_STATUS: Final[dict[type[RunCompleted | RunFailed | RunCancelled], Status]] = {
    RunCompleted: "completed",
    RunFailed: "failed",
    RunCancelled: "cancelled",
}


def thread_parcel(message: Deliver, run_id: RunId, notes: Notes, all: Surroundings) -> Parcel:
    """Return what a message of a run to its thread says."""
    assert notes.end is not None, "a run says that it is over once it is"
    stream = run_stream(run_id)
    command = EndRun(
        message=MessageId(sender=stream, sequence=message.sequence),
        run_id=run_id,
        status=_STATUS[type(notes.end)],
        messages=_that_fit(stream, _kept(notes)),
        now_ns=all.clock.now_ns(),
    )
    return Parcel(command)


def _kept(notes: Notes) -> tuple[Message, ...]:
    return tuple(one for one in notes.transcript.closed() if not getattr(one, "transient", False))


def _that_fit(stream: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return what can be stored in one commit: all of it, or else the last answer, or nothing.

    The run's own stream has all of it.
    """
    for kept in (messages, messages[-1:], ()):
        if kept is not messages and not all(isinstance(one, AssistantMessage) for one in kept):
            continue
        try:
            check_size(kept)
        except EventTooLarge:
            _log.warning("messages_too_large_for_thread", stream=stream, messages=len(messages))
        else:
            return kept
    return ()
