"""What a run says to its thread: that it is over, what was said in it, what has come since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from msgspec.structs import replace

from outlive.actors.mail import Deliver, Parcel
from outlive.actors.run.model_call import cut
from outlive.actors.run.notes import Notes
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.commands import EndRun, SendSignal, Unread
from outlive.actors.thread.unread import unread_by_id
from outlive.events import (
    AssistantMessage,
    CallId,
    EventTooLarge,
    IfActive,
    IfIdle,
    Message,
    MessageId,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunId,
    Signal,
    StreamId,
    UserMessage,
    run_stream,
)
from outlive.events.background import OnComplete
from outlive.events.ids import id_of
from outlive.events.logger import get_logger
from outlive.events.run.thread import RESULT
from outlive.events.sizes import Size, check_size
from outlive.events.values import digest

_log: Final = get_logger()

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
    if message.subject == RESULT:
        return Parcel(_late_result(message, run_id, notes, all))
    unread = _small_enough(unread_by_id(all.log, message.to, id) for id in notes.transcript.unread)
    command = EndRun(
        message=MessageId(sender=stream, sequence=message.sequence),
        run_id=run_id,
        status=_STATUS[type(notes.end)],
        messages=_that_fit(stream, _kept(notes), beside=unread),
        unread=unread,
        now_ns=all.clock.now_ns(),
    )
    return Parcel(command)


def _late_result(message: Deliver, run_id: RunId, notes: Notes, all: Surroundings) -> SendSignal:
    """Return what the thread is told of a task that has ended after its run."""
    call_id = CallId(message.about)
    told = next(
        one
        for one in reversed(notes.transcript.all())
        if isinstance(one, UserMessage) and one.call_id == call_id
    )
    return told_to_thread(
        told.text,
        thread=message.to,
        message=MessageId(sender=run_stream(run_id), sequence=message.sequence),
        about=f"{run_id}/{call_id}",
        agent_id=notes.agent_id,
        on_complete=notes.tasks[call_id].on_complete,
        now_ns=all.clock.now_ns(),
    )


def told_to_thread(
    text: str,
    *,
    thread: StreamId,
    message: MessageId,
    about: str,
    agent_id: str,
    on_complete: OnComplete,
    resource_id: str = "",
    now_ns: int,
) -> SendSignal:
    """Return what a thread is told of a task that has ended, as a model reads it.

    `about` names the task, the same each time.
    """
    keep = on_complete == "append"
    try:
        check_size(*[text] * (2 if keep else 1))  # It is signalled, and kept in the same commit.
    except EventTooLarge:
        text = cut(text)
    return SendSignal(
        thread_id=id_of(thread),
        resource_id=resource_id,
        signal_id=about,
        signal=Signal(text=text, type="user"),
        if_active=IfActive("persist" if keep else "deliver"),
        if_idle=IfIdle("persist" if keep else "wake"),
        run_id=digest(b"woken", about.encode()),
        agent_id=agent_id,
        now_ns=now_ns,
        message=message,
    )


def _kept(notes: Notes) -> tuple[Message, ...]:
    return tuple(one for one in notes.said if not getattr(one, "transient", False))


def _small_enough(unread: Iterable[Unread]) -> tuple[Unread, ...]:
    """Return what was not read; what is to be kept and is too large for that begins a run."""
    found, size = list[Unread](), Size()
    for one in unread:
        try:
            size.add(one.appended)
        except EventTooLarge:
            found.append(replace(one, appended=None))
        else:
            found.append(one)
    return tuple(found)


def _that_fit(
    stream: str, messages: tuple[Message, ...], *, beside: tuple[Unread, ...]
) -> tuple[Message, ...]:
    """Return what can be stored in one commit: all of it, or else the last answer, or nothing.

    The run's own stream has all of it.
    """
    appended = [one.appended for one in beside]
    for kept in (messages, messages[-1:], ()):
        if kept is not messages and not all(isinstance(one, AssistantMessage) for one in kept):
            continue
        try:
            check_size(kept, *appended)
        except EventTooLarge:
            _log.warning("messages_too_large_for_thread", stream=stream, messages=len(messages))
        else:
            return kept
    return ()
