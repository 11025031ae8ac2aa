"""What happens in a thread, in the past tense.

A thread is a conversation, and the lock on it: one run at a time works on it. What comes
meanwhile is told to that run, or waits its turn.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from outlive.events.event import Event, Failure, Usage
from outlive.events.fires import FireOf
from outlive.events.mail import MessageDelivered, MessageId
from outlive.events.messages import Message
from outlive.events.run.background import IdlePolicy
from outlive.events.run.parts import InputPart
from outlive.events.signals import IfActive, IfIdle, Signal
from outlive.events.values import Value

SignalAction: TypeAlias = Literal["delivered", "queued", "woken", "persisted", "discarded"]
"""What became of a signal when it was taken."""


class ForkPoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The thread of which another one is a copy, up to a version."""

    thread_id: str
    version: int


class RunWish(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a run is to be started with."""

    agent_id: str
    input: str
    metadata: dict[str, Value] = {}
    request_context: dict[str, Value] = {}
    provider_options: dict[str, Value] = {}
    parts: tuple[InputPart, ...] = ()
    until_idle: IdlePolicy | None = None


class ThreadCreated(Event, tag="thread-created", frozen=True, kw_only=True):
    """A thread began. Always the first event, once."""

    resource_id: str
    agent_id: str = ""  # who answers on it, if nothing else is said
    title: str = ""
    metadata: dict[str, Value] = {}
    forked_from: ForkPoint | None = None


class ThreadRenamed(Event, tag="thread-renamed", frozen=True, kw_only=True):
    """The thread has another title."""

    title: str


class MessageAppended(Event, tag="message-appended", frozen=True, kw_only=True):
    """Something was said on the thread: in a run, or from outside."""

    message: Message
    run_id: str = ""  # none: from outside


class ThreadRunAsked(Event, tag="thread-run-asked", frozen=True, kw_only=True):
    """A run is to work on the thread: at once if it is free, else when its turn has come.

    With `delivered_to` what it was to be asked is told to the run that is active.
    """

    run_id: str
    wish: RunWish
    first: bool = False  # ahead of all that wait
    delivered_to: str = ""


class SignalReceived(Event, tag="signal-received", frozen=True, kw_only=True):
    """Something was signalled, and this is what becomes of it.

    `run_id` is the run that it begins, at once or later; or would, if the run that it was
    delivered to is over before it hears of it. That is the `fire` of a heartbeat then. With
    `coalesced_into` the active run waits for a person and has not read an earlier one from the
    same `source`: one of them is enough.
    """

    signal_id: str
    signal: Signal
    action: SignalAction
    if_active: IfActive = IfActive()
    if_idle: IfIdle = IfIdle()
    run_id: str
    agent_id: str = ""  # who is to read it
    delivered_to: str = ""
    expires_at_ns: int | None = None  # it is dropped if nobody has taken it up by then
    source: str = ""  # what says the like again and again
    coalesced_into: str = ""  # the id of that signal
    fire: FireOf | None = None
    message: MessageId | None = None


class SignalReturned(Event, tag="signal-returned", frozen=True, kw_only=True):
    """What was told to a run, or to be told, it has not read, and is over. The next one is told.

    `version` is that of the event that holds it. With `delivered_to` there is a next one already.
    """

    version: int
    run_id: str
    agent_id: str
    signal_id: str = ""  # none: it was the input of a run
    expires_at_ns: int | None = None
    delivered_to: str = ""


class SignalDropped(Event, tag="signal-dropped", frozen=True, kw_only=True):
    """A signal that waited is not told to anybody any more."""

    signal_id: str
    reason: Literal["expired", "cancelled", "discarded"] = "expired"


class ThreadRunClaimed(Event, tag="thread-run-claimed", frozen=True, kw_only=True):
    """The thread is a run's: it will begin, however often the process dies."""

    run_id: str
    agent_id: str


class ThreadRunCancelled(Event, tag="thread-run-cancelled", frozen=True, kw_only=True):
    """The active run is to be cancelled: another one, or its heartbeat, will not wait for it.

    Or somebody does not want it, and it has not begun yet.
    """

    run_id: str
    reason: str = ""  # none: another one has come
    by: str = ""


class ThreadRunReleased(Event, tag="thread-run-released", frozen=True, kw_only=True):
    """The active run is over, and what was said in it is in the same commit."""

    run_id: str
    status: Literal["completed", "failed", "cancelled", "refused"]
    message: MessageId | None = None  # None: it could not begin


class HistoryCondensed(Event, tag="history-condensed", frozen=True, kw_only=True):
    """What was said up to version `upto` is condensed to a text, along with what was before.

    `messages` counts those that were not condensed before, and the run `run_id` is the first that
    sees it so. With `error` it could not be, and all stays as it was.
    """

    upto: int
    messages: int = 0
    text: str = ""
    run_id: str = ""
    usage: Usage = Usage()
    error: Failure | None = None


class ThreadRunWithdrawn(Event, tag="thread-run-withdrawn", frozen=True, kw_only=True):
    """A run that waited its turn is not wanted any more: it is cancelled before it begins."""

    run_id: str
    reason: str = ""
    by: str = ""


ThreadEvent: TypeAlias = (
    ThreadCreated
    | ThreadRenamed
    | MessageAppended
    | ThreadRunAsked
    | SignalReceived
    | SignalReturned
    | SignalDropped
    | ThreadRunClaimed
    | ThreadRunCancelled
    | ThreadRunReleased
    | ThreadRunWithdrawn
    | HistoryCondensed
    | MessageDelivered
)
