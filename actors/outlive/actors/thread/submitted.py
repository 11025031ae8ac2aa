"""What is asked of a thread, as it lies in the inbox: ids and data, nothing more."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from outlive.events import ForkPoint, IfActive, IfIdle, Message, RunWish, Signal, Value

OnBusy: TypeAlias = Literal["queue", "deliver", "reject", "cancel_previous"]
"""What becomes of a run while another one is active on its thread."""


class CreateThreadRequest(msgspec.Struct, frozen=True, kw_only=True, tag="create-thread", gc=False):
    """A thread is to be there."""

    resource_id: str
    agent_id: str = ""
    title: str = ""
    metadata: dict[str, Value] = {}
    forked_from: ForkPoint | None = None


class RenameThreadRequest(msgspec.Struct, frozen=True, kw_only=True, tag="rename-thread", gc=False):
    """The thread is to have another title."""

    title: str


class AppendRequest(msgspec.Struct, frozen=True, kw_only=True, tag="append-messages", gc=False):
    """Something was said on the thread, and nobody is to answer."""

    messages: tuple[Message, ...]


class AskRunRequest(msgspec.Struct, frozen=True, kw_only=True, tag="ask-run", gc=False):
    """A run is to work on the thread."""

    run_id: str
    wish: RunWish
    resource_id: str = ""
    on_busy: OnBusy = "queue"


class SignalRequest(msgspec.Struct, frozen=True, kw_only=True, tag="signal-thread", gc=False):
    """Something is signalled to the thread."""

    signal_id: str
    signal: Signal
    run_id: str  # of the run that it may begin
    if_active: IfActive = IfActive()
    if_idle: IfIdle = IfIdle()
    agent_id: str = ""
    resource_id: str = ""
    after: bool = False  # not told to the active run: it waits its turn
    expires_at_ns: int | None = None


class CancelQueuedRequest(msgspec.Struct, frozen=True, kw_only=True, tag="cancel-queued", gc=False):
    """What waits is not wanted any more."""

    run_ids: tuple[str, ...] | None = None  # None: all of it
    reason: str = ""
    by: str = ""


ThreadRequest: TypeAlias = (
    CreateThreadRequest
    | RenameThreadRequest
    | AppendRequest
    | AskRunRequest
    | SignalRequest
    | CancelQueuedRequest
)
