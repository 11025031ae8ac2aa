"""What may be wished of a thread. Everything that `decide` needs is in the command."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from outlive.actors.mail import Acknowledge, Deliver
from outlive.actors.run.commands import Command
from outlive.actors.thread.submitted import OnBusy
from outlive.events import (
    Failure,
    FireOf,
    ForkPoint,
    IfActive,
    IfIdle,
    Message,
    MessageId,
    RunWish,
    Signal,
    Usage,
    Value,
)


class Copied(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """What was said on the thread of which another one is a copy.

    `condensed` of the messages, the first ones, are condensed to `summary`.
    """

    messages: tuple[Message, ...] = ()
    condensed: int = 0
    summary: str = ""


NOTHING_SAID: Final = Copied()


class CreateThread(Command, kw_only=True, frozen=True, gc=False):
    """Begin the thread; the same again changes nothing."""

    thread_id: str
    resource_id: str
    agent_id: str = ""
    title: str = ""
    metadata: dict[str, Value]
    forked_from: ForkPoint | None = None
    copied: Copied = NOTHING_SAID


class RenameThread(Command, kw_only=True, frozen=True, gc=False):
    """Give the thread another title."""

    thread_id: str
    title: str


class AppendMessages(Command, kw_only=True, frozen=True, gc=False):
    """Keep what was said outside of any run."""

    thread_id: str
    messages: tuple[Message, ...]


class AskRun(Command, kw_only=True, frozen=True, gc=False):
    """A run is to work on the thread; the same again changes nothing."""

    thread_id: str
    resource_id: str = ""
    run_id: str
    wish: RunWish
    on_busy: OnBusy = "queue"
    now_ns: int


class SendSignal(Command, kw_only=True, frozen=True, gc=False):
    """Something is signalled; the same again changes nothing.

    Args:
        run_id: of the run that it begins, if it does.
        agent_id: who is to read it; empty: who is active, or has answered last.
        after: it is not told to the active run, but waits its turn.
        suspended: the active run waits for a person.
        source: what says the like again and again: while the active run waits for a person, it
            is told the first of them only.
        unread: the signals that it has not read yet, if it waits for a person.
        fire: the fire of a heartbeat that it is.
        message: by which another entity says it.
    """

    thread_id: str
    resource_id: str = ""
    signal_id: str
    signal: Signal
    if_active: IfActive = IfActive()
    if_idle: IfIdle = IfIdle()
    run_id: str
    agent_id: str = ""
    after: bool = False
    suspended: bool = False
    source: str = ""
    unread: tuple[str, ...] = ()
    expires_at_ns: int | None = None
    now_ns: int
    fire: FireOf | None = None
    message: MessageId | None = None


class StopFire(Command, kw_only=True, frozen=True, gc=False):
    """What a heartbeat has begun here is not wanted any more, or is not to begin."""

    heartbeat_id: str
    fire: int
    reason: str


class CancelQueued(Command, kw_only=True, frozen=True, gc=False):
    """Take back what waits; all of it if no ids are given."""

    thread_id: str
    run_ids: tuple[str, ...] | None = None
    reason: str = ""
    by: str = ""


class Unread(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """What was told, or was to be, to a run that is over and has not read it.

    Args:
        version: of the event that holds it.
        run_id: of the run that it begins, if it does.
        agent_id: who is to read it.
        signal_id: empty: it was the input of a run.
        expires_at_ns: it is dropped if that has come.
        if_idle: what becomes of it, if nobody is active who could read it.
        appended: what the thread keeps of it then, if it is to be kept. Without, as it is too large
            for the commit, somebody is told.
    """

    version: int
    run_id: str
    agent_id: str
    signal_id: str = ""
    expires_at_ns: int | None = None
    if_idle: Literal["wake", "persist", "discard"] = "wake"
    appended: Message | None = None


class EndRun(Command, kw_only=True, frozen=True, gc=False):
    """A run on the thread is over: this was said in it, and that it has not read."""

    message: MessageId
    run_id: str
    status: Literal["completed", "failed", "cancelled"]
    messages: tuple[Message, ...] = ()
    unread: tuple[Unread, ...] = ()
    now_ns: int


class RefuseBegin(Command, kw_only=True, frozen=True, gc=False):
    """A run cannot begin: there is another one of its id, say."""

    sequence: int  # of the message by which it was to begin
    run_id: str
    now_ns: int


class ReturnSignal(Command, kw_only=True, frozen=True, gc=False):
    """What was to be told to a run has found it over.

    Args:
        sequence: of the message by which it was to be told.
        over: that run.
        unread: what it is.
    """

    sequence: int
    over: str
    unread: Unread
    now_ns: int


class CondenseHistory(Command, kw_only=True, frozen=True, gc=False):
    """What runs do not see any more is condensed, or could not be: see `HistoryCondensed`.

    `run_id`: the run that is about to begin.
    """

    run_id: str
    upto: int
    messages: int
    text: str = ""
    usage: Usage = Usage()
    error: Failure | None = None


class WakeThread(Command, kw_only=True, frozen=True, gc=False):
    """An instant that the thread waits for may have come."""

    now_ns: int


Effect: TypeAlias = Deliver

ThreadCommand: TypeAlias = (
    CreateThread
    | RenameThread
    | AppendMessages
    | AskRun
    | SendSignal
    | StopFire
    | CancelQueued
    | EndRun
    | RefuseBegin
    | ReturnSignal
    | CondenseHistory
    | WakeThread
    | Acknowledge
)
