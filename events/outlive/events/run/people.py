"""What happens in a run that waits for a person, and what the person says.

A suspension is named by its call: `0.1` for an approval, `0.1/which-account` for what a tool
asks under a key of its own.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from outlive.events.event import Event
from outlive.events.ids import CallId
from outlive.events.mail import MessageId
from outlive.events.values import Value


class ToolCallSuspended(Event, tag="tool-call-suspended", frozen=True, kw_only=True):
    """A tool asks a person and has let go of everything. Its attempt is over.

    Once all that it asks is answered it is called again, and finds the answers.
    """

    call_id: CallId
    attempt: int = 1
    key: str
    payload: Value = None  # what the person is shown
    answer_schema: dict[str, Value] | None = None  # JSON Schema of an answer; None: anything


class ApprovalRequested(Event, tag="approval-requested", frozen=True, kw_only=True):
    """A tool call waits for a person's consent. It has not begun."""

    call_id: CallId
    name: str
    digest: str  # of the arguments
    expires_at_ns: int | None = None  # no answer until then is a denial


class ApprovalGranted(Event, tag="approval-granted", frozen=True, kw_only=True):
    """A person has agreed. `arguments` are those that the person has put in their place."""

    call_id: CallId
    digest: str  # of the arguments that were agreed to
    arguments: dict[str, Value] | None = None
    note: str = ""
    by: str = ""


class ApprovalDenied(Event, tag="approval-denied", frozen=True, kw_only=True):
    """A person has not agreed, or nobody has answered in time. The model is told."""

    call_id: CallId
    reason: str = ""
    by: str = ""
    expired: bool = False


class ToolCallInDoubt(Event, tag="tool-call-in-doubt", frozen=True, kw_only=True):
    """An attempt ended and nobody knows what it has done. A person must say."""

    call_id: CallId
    attempt: int = 1
    cause: Literal["crash", "timeout"] = "crash"


class ToolCallResolved(Event, tag="tool-call-resolved", frozen=True, kw_only=True):
    """A person has said what became of an attempt in doubt, or that it is to be made again."""

    call_id: CallId
    attempt: int = 1
    outcome: Literal["completed", "failed", "retry"]
    note: str = ""
    by: str = ""


class RunSuspended(Event, tag="run-suspended", frozen=True, kw_only=True):
    """All that is open waits for a person: the run is at rest."""

    waiting: tuple[str, ...] = ()  # the names of its suspensions


class RunResumed(Event, tag="run-resumed", frozen=True, kw_only=True):
    """A person has answered what a tool asked."""

    call_id: CallId
    key: str
    value: Value = None
    by: str = ""


class RunCancelled(Event, tag="run-cancelled", frozen=True, kw_only=True):
    """The run is over because somebody wanted it so. What comes in later is not applied."""

    reason: str = ""
    by: str = ""
    message: MessageId | None = None  # of its parent, which is over


PeopleEvent: TypeAlias = (
    ToolCallSuspended
    | ApprovalRequested
    | ApprovalGranted
    | ApprovalDenied
    | ToolCallInDoubt
    | ToolCallResolved
    | RunSuspended
    | RunResumed
    | RunCancelled
)
