"""The heartbeats view: a row a heartbeat, with its state and its last fire, and lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast, get_args

import msgspec

from outlive.events import (
    Event,
    FireEnded,
    FireResumed,
    FireSuspended,
    HeartbeatCreated,
    HeartbeatEvent,
    HeartbeatFired,
    HeartbeatState,
    Record,
)
from outlive.events.heartbeat import evolve
from outlive.events.heartbeat.state import OVER
from outlive.projections.lists import ListedRow, Lists
from outlive.projections.views.rows import Rows


class LastFire(msgspec.Struct, array_like=True, gc=False):
    """What the view keeps of the fire that was fired last."""

    fire: int
    due_ns: int
    at_ns: int
    run_id: str
    task_id: str
    outcome: str = "running"
    thread_id: str = ""


class HeartbeatRow(ListedRow, kw_only=True, array_like=True, gc=False):
    """What the view keeps of a heartbeat. Changed in place."""

    state: HeartbeatState
    agent_id: str = ""
    tool: str = ""
    name: str = ""
    last: LastFire | None = None
    thread_id: str = ""
    resource_id: str = ""


LISTS: Final = Lists("heartbeat", HeartbeatRow, ("status",), (), over=OVER)
_EVENTS: Final = frozenset(get_args(HeartbeatEvent))


class HeartbeatsView:
    """The `Projection` of heartbeats."""

    name = "heartbeats"
    version = 3
    events: frozenset[type[Event]] = _EVENTS

    def apply(self, records: Sequence[Record], rows: Rows) -> None:
        """Put what happened into the rows of the heartbeats."""
        LISTS.fold(records, rows, begin=_begin, change=_change)


def _begin(record: Record) -> HeartbeatRow | None:
    created = record.events[0]
    if not isinstance(created, HeartbeatCreated):
        return None
    return begin_row(record.recorded_at_ns, record.position)


def begin_row(at_ns: int, position: int) -> HeartbeatRow:
    """Return the row of a heartbeat that begins."""
    return HeartbeatRow(
        begun_at_ns=at_ns, first_position=position, status="none", state=HeartbeatState()
    )


def _change(row: HeartbeatRow, events: Sequence[Event], at_ns: int) -> None:
    for event in events:
        change_row(row, event)


def change_row(row: HeartbeatRow, event: Event) -> None:
    """Put an event into its heartbeat's row."""
    state = row.state = evolve(row.state, cast("HeartbeatEvent", event))
    row.status = state.status
    settings = state.settings
    row.agent_id, row.tool, row.name = settings.agent_id, settings.tool, settings.name
    row.thread_id, row.resource_id = settings.thread_id, settings.resource_id
    match event:
        case HeartbeatFired():
            row.last = LastFire(
                event.fire,
                event.due_ns,
                event.at_ns,
                event.run_id,
                event.task_id,
                thread_id=event.thread_id,
            )
        case FireSuspended(fire=fire) if row.last is not None and row.last.fire == fire:
            row.last.outcome = "suspended"
        case FireResumed(fire=fire) if row.last is not None and row.last.fire == fire:
            row.last.outcome = "running"
        case FireEnded(fire=fire, outcome=outcome) if row.last is not None:
            if row.last.fire == fire:
                row.last.outcome = outcome
                if row.last.thread_id and not event.told_by_itself:
                    row.last.run_id = event.run_id
        case _:
            pass
