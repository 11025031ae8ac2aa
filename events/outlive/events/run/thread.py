"""What happens between a run and the thread that it works on.

The thread owes the run its start, what it is told meanwhile, and the wish that it be cancelled;
the run owes the thread its end, with all that was said. All of it are messages.
"""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.events.event import Event
from outlive.events.ids import StreamId
from outlive.events.mail import Letter, Mail, MessageId, post
from outlive.events.signals import Signal

BEGIN: Final = "begin"
TELL: Final = "tell"
CANCEL: Final = "cancel"
"""The subjects of a thread's messages to runs; all but the last are about an event of its own."""
ENDED: Final = "run-on-thread-ended"
"""The subject of the message by which a run tells its thread that it is over."""


class ThreadPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The thread that a run works on, and what it sees of it: the last of its messages.

    `until` is the version of the thread up to which they are. Its own messages come after them.
    """

    thread_id: str
    resource_id: str
    until: int = 0
    max_messages: int | None = None
    max_tokens: int | None = None
    transient: bool = False  # what it was started with is not kept in the thread


class RunSignalled(Event, tag="run-signalled", frozen=True, kw_only=True):
    """Something was said to the run from outside: its next model call sees it."""

    signal_id: str
    signal: Signal
    message: MessageId | None = None  # of its thread


def run_on_thread_ended(mail: Mail, place: ThreadPlace | None) -> Mail:
    """Return the mail of a run that owes its thread the news that it is over."""
    if place is None:
        return mail
    return post(mail, Letter(to=StreamId(f"thread-{place.thread_id}"), subject=ENDED))
