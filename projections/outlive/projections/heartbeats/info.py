"""What is told of a heartbeat: what it does and when, and what its last fire came to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from outlive.events import (
    HeartbeatSettings,
    HeartbeatState,
    IfActive,
    IfIdle,
    OpenEntry,
    SignalType,
    Value,
)
from outlive.events.heartbeat import Misfire, Overlap
from outlive.events.run.parts import InputPart
from outlive.projections.heartbeats.view import HeartbeatRow, LastFire
from outlive.projections.lists import utc
from outlive.projections.run_summary import STANDING_STILL

OPEN_STATUSES: Final = ("active", "paused", *STANDING_STILL)
HEARTBEAT_STATUSES: Final = (*OPEN_STATUSES, "completed", "deleted")
"""All statuses that a heartbeat in a list may have."""

Outcome: TypeAlias = Literal["running", "succeeded", "failed", "aborted", "suspended", "timed_out"]


class HeartbeatLastFire(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fire that was fired last, and what it came to so far."""

    fire: int
    due_at: datetime
    fired_at: datetime
    run_id: str | None
    task_id: str | None
    outcome: str


class HeartbeatInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a heartbeat.

    `status` is `active`, `paused`, `completed` (it is due no more), `deleted`, or `blocked` or
    `quarantined`; or `submitted`: it waits for an owner. `reason` says why, where it is not
    active. `next_at` is when it fires next, with its share of the jitter; `fires` counts what
    was claimed, `failures` those in a row, and `running` the fires that go on. `task` is the
    tool that it calls, of the agent, with `args`. With a `thread_id` it signals that thread, and
    what follows that tells how. `hook` names hooks of the runtime. Times are in UTC, durations
    are timedeltas.
    """

    id: str
    status: str
    reason: str = ""
    agent_id: str
    task: str | None = None
    args: dict[str, Value] = {}
    prompt: str = ""
    parts: tuple[InputPart, ...] = ()
    cron: str | None = None
    every: timedelta | None = None
    at: datetime | None = None
    timezone: str
    name: str = ""
    metadata: dict[str, Value] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_fires: int | None = None
    provider_options: dict[str, Value] = {}
    request_context: dict[str, Value] = {}
    misfire: Misfire
    grace: timedelta | None = None
    overlap: Overlap
    jitter: timedelta
    timeout: timedelta | None = None
    max_failures: int | None = None
    tools: tuple[str, ...] | None = None
    thread_id: str | None = None
    resource_id: str | None = None
    signal_type: SignalType | None = None
    tag_name: str | None = None
    attributes: dict[str, Value] = {}
    if_active: IfActive | None = None
    if_idle: IfIdle | None = None
    hook: str | None = None
    declared: bool = False
    next_at: datetime | None = None
    fires: int = 0
    failures: int = 0
    running: int = 0
    last: HeartbeatLastFire | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = 0

    @property
    def over(self) -> bool:
        """Whether it is due no more."""
        return self.status in ("completed", "deleted")


class HeartbeatPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some heartbeats; `cursor` leads to the next page, None when there is none."""

    heartbeats: tuple[HeartbeatInfo, ...]
    cursor: str | None = None


def heartbeat_info(
    heartbeat_id: str,
    state: HeartbeatState,
    *,
    row: HeartbeatRow | None = None,
    entry: OpenEntry | None = None,
    status: str | None = None,
) -> HeartbeatInfo:
    """Put together what is known of a heartbeat: by its state, the view and the open table."""
    settings = state.settings
    reason = state.reason
    status = status or state.status
    if entry is not None and entry.status in STANDING_STILL:
        status, reason = entry.status, entry.reason
    active = state.status == "active" and state.due_ns is not None
    info = HeartbeatInfo(
        id=heartbeat_id,
        status=status,
        reason=reason,
        agent_id=settings.agent_id,
        task=settings.tool or None,
        args=settings.arguments,
        prompt=settings.prompt,
        parts=settings.parts,
        cron=settings.cron or None,
        every=_length(settings.every_ns or None),
        at=_utc(settings.at_ns),
        timezone=settings.timezone,
        name=settings.name,
        metadata=settings.metadata,
        starts_at=_utc(settings.starts_at_ns),
        ends_at=_utc(settings.ends_at_ns),
        max_fires=settings.max_fires,
        provider_options=settings.provider_options,
        request_context=settings.request_context,
        misfire=settings.misfire,
        grace=_length(settings.grace_ns),
        overlap=settings.overlap,
        jitter=timedelta(microseconds=settings.jitter_ns / 1_000),
        timeout=_length(settings.timeout_ns),
        max_failures=settings.max_failures,
        tools=settings.tools,
        hook=settings.hook or None,
        declared=bool(state.declared),
        next_at=_utc(state.due_ns + state.spread_ns) if active and state.due_ns else None,
        fires=state.fires,
        failures=state.failures,
        running=len(state.going),
        last=None if row is None else _last(row.last),
        created_at=None if row is None else utc(row.begun_at_ns),
        updated_at=None if row is None else utc(row.updated_at_ns),
        version=0 if row is None else row.version,
    )
    return _with_thread(info, settings) if settings.thread_id else info


def _with_thread(info: HeartbeatInfo, settings: HeartbeatSettings) -> HeartbeatInfo:
    """Return it along with what its thread is told, and how."""
    signal = settings.signal()
    return replace(
        info,
        thread_id=settings.thread_id,
        resource_id=settings.resource_id,
        signal_type=signal.type,
        tag_name=signal.tag_name,
        attributes=signal.attributes,
        if_active=settings.if_active or IfActive(),
        if_idle=settings.if_idle or IfIdle(),
    )


def row_info(heartbeat_id: str, row: HeartbeatRow, entry: OpenEntry | None) -> HeartbeatInfo:
    """Return what the view and the open table know of a heartbeat."""
    return heartbeat_info(heartbeat_id, row.state, row=row, entry=entry)


def _last(last: LastFire | None) -> HeartbeatLastFire | None:
    if last is None:
        return None
    return HeartbeatLastFire(
        fire=last.fire,
        due_at=utc(last.due_ns),
        fired_at=utc(last.at_ns),
        run_id=last.run_id or None,
        task_id=last.task_id or None,
        outcome=last.outcome,
    )


def _length(length_ns: int | None) -> timedelta | None:
    return None if length_ns is None else timedelta(microseconds=length_ns / 1_000)


def _utc(at_ns: int | None) -> datetime | None:
    return None if at_ns is None else utc(at_ns)
