"""What happens between a run and the child runs that its model has asked for.

A call of a sub-agent is a tool call whose body is a run of its own. The parent owes the child its
start, from the commit that records `ChildRunStarted`; the child owes the parent its end. Both are
messages, and so is the parent's wish that the child be cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from outlive.events.event import ChildRun, Event, Usage
from outlive.events.ids import CallId, RunId, StreamId
from outlive.events.mail import Letter, Mail, MessageId, delivered, post

START: Final = "start"
CANCEL: Final = "cancel"
ENDED: Final = "ended"
"""The subjects of messages between runs; all are about a call of the parent."""


class ParentCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The call of another run that a child run answers."""

    run_id: RunId
    call_id: CallId


class ChildRunStarted(Event, tag="child-run-started", frozen=True, kw_only=True):
    """A sub-agent is called: its run will begin, however often this process dies.

    In the place of `ToolCallStarted`; such a call has one attempt.
    """

    call_id: CallId
    run_id: RunId
    agent_id: str


class ChildRunEnded(Event, tag="child-run-ended", frozen=True, kw_only=True):
    """A child run is over. The result of its call is in the same commit."""

    call_id: CallId
    run_id: RunId
    status: Literal["completed", "failed", "cancelled"]
    usage: Usage = Usage()  # with that of its own child runs
    message: MessageId | None = None  # that has told so; None: it could not begin


ChildEvent: TypeAlias = ChildRunStarted | ChildRunEnded


def child_started(mail: Mail, event: ChildRunStarted) -> Mail:
    """Return the mail of a parent that owes a child its start."""
    return post(mail, Letter(to=_stream(event.run_id), subject=START, about=event.call_id))


def children_cancelled(mail: Mail, open_children: Iterable[tuple[CallId, ChildRun]]) -> Mail:
    """Return the mail of a parent that is over and wants its open children to be so, too.

    A start that was not acknowledged is taken back. It may have arrived all the same: the
    cancellation, which comes later, then ends what it has begun; or finds no run.
    """
    for call_id, child in open_children:
        to = _stream(child.run_id)
        for sequence, letter in mail.outbox.items():
            if letter.to == to:
                mail = delivered(mail, sequence)
        mail = post(mail, Letter(to=to, subject=CANCEL, about=call_id))
    return mail


def child_ended(mail: Mail, parent: ParentCall) -> Mail:
    """Return the mail of a child that owes its parent the news that it is over."""
    return post(mail, Letter(to=_stream(parent.run_id), subject=ENDED, about=parent.call_id))


def _stream(run_id: RunId) -> StreamId:
    return StreamId(f"run-{run_id}")  # Folding never refuses an id.
