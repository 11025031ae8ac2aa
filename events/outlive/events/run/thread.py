"""What happens between a run and the thread that it works on.

The thread owes the run its start, what it is told meanwhile, and the wish that it be cancelled;
the run owes the thread its end, with all that was said. All of it are messages.
"""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.events.background import OnComplete
from outlive.events.event import Event
from outlive.events.ids import CallId, StreamId
from outlive.events.mail import Letter, Mail, MessageId, post
from outlive.events.signals import Signal

BEGIN: Final = "begin"
TELL: Final = "tell"
CANCEL: Final = "cancel"
"""The subjects of a thread's messages to runs; all but the last are about an event of its own."""
ENDED: Final = "run-on-thread-ended"
RESULT: Final = "late-result"
"""The subjects of a run's messages to its thread: it is over; a task of it has ended since.

That one is about the call that the task was to answer.
"""


class ThreadPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The thread that a run works on, and what it sees of it: the last of its messages.

    `until` is the version of the thread up to which they are. Its own messages come after them.
    """

    thread_id: str
    resource_id: str
    until: int = 0
    max_messages: int | None = None
    max_tokens: int | None = None
    summary: int = 0  # the version of the thread's event with what comes first
    transient: bool = False  # what it was started with is not kept in the thread


class RunSignalled(Event, tag="run-signalled", frozen=True, kw_only=True):
    """Something was said to the run from outside: its next model call sees it."""

    signal_id: str
    signal: Signal
    message: MessageId | None = None  # of its thread


def result_came_late(
    mail: Mail, place: ThreadPlace | None, call_id: CallId, on_complete: OnComplete
) -> Mail:
    """Return the mail of a run that is over and has heard of a task: its thread is told."""
    if place is None or on_complete == "ignore":
        return mail
    to = StreamId(f"thread-{place.thread_id}")
    return post(mail, Letter(to=to, subject=RESULT, about=call_id))


def run_on_thread_ended(mail: Mail, place: ThreadPlace | None) -> Mail:
    """Return the mail of a run that owes its thread the news that it is over."""
    if place is None:
        return mail
    return post(mail, Letter(to=StreamId(f"thread-{place.thread_id}"), subject=ENDED))
