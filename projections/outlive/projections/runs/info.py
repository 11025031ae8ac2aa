"""What is told of a run in a list: ids, counters and short texts, no messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

from outlive.events import Failure, OpenEntry, Position, RunId, Usage, Value, Version
from outlive.projections.lists import utc
from outlive.projections.run_summary import STANDING_STILL
from outlive.projections.runs.view import INPUT_CHARS, MESSAGE_CHARS, RunRow

OPEN_STATUSES: Final = ("running", "waiting", "suspended", *STANDING_STILL)
RUN_STATUSES: Final = (*OPEN_STATUSES, "completed", "failed", "cancelled")
"""All statuses that a run in a list may have."""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run, as far as its events have been counted.

    `status` is `running`, `waiting` (for child runs, and maybe for people besides), `suspended` (it
    waits for a person), `blocked` or `quarantined` (then `error` tells why), `completed`, `failed`
    or `cancelled`; or `submitted`: its start waits for an owner, since `started_at`, and no event
    has been counted; or `queued`: it waits its turn on a thread (`get` tells of these, `list` does
    not). `input` holds the first 200
    characters. `steps` counts model answers, `model_calls` and `tool_calls` the attempts that were
    started (a child run is one of a tool call), `recoveries` how often a process took the run up.
    `usage` includes that of child runs that are over. `version` and `position` are those of the
    last event that was counted, and `updated_at` its time: pieces of answers and progress do not
    count. `parent_id` is the run that a child run works for, and `thread_id` the thread that a run
    works on, which is `resource_id`'s. Times are in UTC.
    """

    run_id: RunId
    agent_id: str
    status: str
    input: str
    metadata: dict[str, Value]
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    steps: int
    model_calls: int
    tool_calls: int
    recoveries: int
    usage: Usage
    error: Failure | None
    version: Version
    position: Position
    parent_id: RunId | None = None
    thread_id: str | None = None
    resource_id: str | None = None


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some runs, newest first; `cursor` leads to the next page, None when there is none."""

    runs: tuple[RunInfo, ...]
    cursor: str | None = None


def run_info(run_id: str, row: RunRow, entry: OpenEntry | None) -> RunInfo:
    """Put together what the view and the open table know of a run."""
    status, error = row.status, None
    if row.ended_at_ns is not None:
        if row.error_kind:
            error = Failure(kind=row.error_kind, message=row.error_message)
    elif entry is not None and entry.status in OPEN_STATUSES:
        status = entry.status
    if row.ended_at_ns is None and status in STANDING_STILL and entry is not None:
        error = Failure(kind=status, message=entry.reason[:MESSAGE_CHARS])
    return RunInfo(
        run_id=RunId(run_id),
        agent_id=row.agent_id,
        status=status,
        input=row.input,
        metadata=dict(row.metadata),
        started_at=utc(row.begun_at_ns),
        updated_at=utc(row.updated_at_ns),
        ended_at=None if row.ended_at_ns is None else utc(row.ended_at_ns),
        steps=row.steps,
        model_calls=row.model_calls,
        tool_calls=row.tool_calls,
        recoveries=row.recoveries,
        usage=Usage(input_tokens=row.input_tokens, output_tokens=row.output_tokens),
        error=error,
        version=Version(row.version),
        position=Position(row.position),
        parent_id=RunId(row.parent_id) if row.parent_id else None,
        thread_id=row.thread_id or None,
        resource_id=row.resource_id or None,
    )


def submitted_run(
    run_id: str,
    agent_id: str,
    input: str,
    metadata: Mapping[str, Value],
    submitted_at_ns: int,
    *,
    status: Literal["submitted", "queued"] = "submitted",
) -> RunInfo:
    """Return what is known of a run that no owner has begun."""
    at = utc(submitted_at_ns)
    return RunInfo(
        run_id=RunId(run_id),
        agent_id=agent_id,
        status=status,
        input=input[:INPUT_CHARS],
        metadata=dict(metadata),
        started_at=at,
        updated_at=at,
        ended_at=None,
        steps=0,
        model_calls=0,
        tool_calls=0,
        recoveries=0,
        usage=Usage(),
        error=None,
        version=Version(0),
        position=Position(0),
    )
