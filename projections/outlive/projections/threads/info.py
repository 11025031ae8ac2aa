"""What is told of a thread: whose it is, who is active on it, and how much was said."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from outlive.events import ForkPoint, Message, OpenEntry, Position, RunId, Value, Version
from outlive.projections.lists import utc
from outlive.projections.run_summary import STANDING_STILL
from outlive.projections.threads.view import ThreadRow

THREAD_STATUSES: Final = ("idle", "active", *STANDING_STILL)
"""All statuses that a thread may have."""


class ThreadMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that was said on a thread.

    `version` is that of its event in the thread: the cursor of what comes after it. `run_id` is
    the run in which it was said; None: it came from outside. `at` is in UTC.
    """

    version: Version
    at: datetime
    message: Message
    run_id: RunId | None = None


class ThreadInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A thread.

    `status` is `active` (the run `run_id` works on it; none does while something comes back that
    has found its run over) or `idle`; or `blocked` or `quarantined`, and `reason` tells why.
    `queued` are the runs that wait their turn, those that begin first come first. `agent_id` is
    who answers if nothing else is said, if that was said. `messages` counts them. `version` and
    `position` are those of the last event, and `updated_at` is its time. Times are in UTC.
    """

    thread_id: str
    resource_id: str
    status: str
    title: str
    agent_id: str | None
    metadata: dict[str, Value]
    messages: int
    run_id: RunId | None
    queued: tuple[RunId, ...]
    reason: str
    forked_from: ForkPoint | None
    created_at: datetime
    updated_at: datetime
    version: Version
    position: Position


class ThreadPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some threads; `cursor` leads to the next page, None when there is none."""

    threads: tuple[ThreadInfo, ...]
    cursor: str | None = None


def thread_info(thread_id: str, row: ThreadRow, entry: OpenEntry | None) -> ThreadInfo:
    """Put together what the view and the open table know of a thread."""
    stands = entry is not None and entry.status in STANDING_STILL
    told = entry is not None and (stands or entry.status == "active")
    queued = "" if entry is None else entry.summary.get("queued", "")
    return ThreadInfo(
        thread_id=thread_id,
        resource_id=row.resource_id,
        status=entry.status if told and entry is not None else row.status,
        title=row.title,
        agent_id=row.agent_id or None,
        metadata=dict(row.metadata),
        messages=row.messages,
        run_id=RunId(row.run_id) if row.run_id else None,
        queued=tuple(msgspec.json.decode(queued, type=list[RunId])) if queued else (),
        reason=entry.reason if stands and entry is not None else "",
        forked_from=row.forked_from,
        created_at=utc(row.begun_at_ns),
        updated_at=utc(row.updated_at_ns),
        version=Version(row.version),
        position=Position(row.position),
    )
