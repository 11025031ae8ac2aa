"""The threads view: a row a thread, and lists of them by resource."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

from outlive.events import (
    Event,
    ForkPoint,
    MessageAppended,
    Record,
    ThreadCreated,
    ThreadEvent,
    ThreadRenamed,
    ThreadRunClaimed,
    ThreadRunReleased,
    Value,
)
from outlive.projections.lists import ListedRow, Lists
from outlive.projections.views.rows import Rows


class ThreadRow(ListedRow, kw_only=True, array_like=True, gc=False):
    """What the view keeps of a thread. Changed in place."""

    resource_id: str
    agent_id: str
    title: str
    metadata: dict[str, Value]
    forked_from: ForkPoint | None = None
    messages: int = 0
    run_id: str = ""  # of the active run


LISTS: Final = Lists("thread", ThreadRow, ("resource_id",), (), over=())


class ThreadsView:
    """The `Projection` of threads."""

    name = "threads"
    version = 1
    events: frozenset[type[Event]] = frozenset(get_args(ThreadEvent))

    def apply(self, records: Sequence[Record], rows: Rows) -> None:
        """Put what happened into the rows of the threads."""
        LISTS.fold(records, rows, begin=_begin, change=_change)


def _begin(record: Record) -> ThreadRow | None:
    created = record.events[0]
    if not isinstance(created, ThreadCreated):
        return None
    return ThreadRow(
        begun_at_ns=record.recorded_at_ns,
        first_position=record.position,
        status="idle",
        resource_id=created.resource_id,
        agent_id=created.agent_id,
        title=created.title,
        metadata=created.metadata,
        forked_from=created.forked_from,
    )


def _change(row: ThreadRow, events: Sequence[Event], at_ns: int) -> None:
    for event in events:
        change = _CHANGE.get(event.__class__)
        if change is not None:
            change(row, event)


def _appended(row: ThreadRow, event: MessageAppended) -> None:
    row.messages += 1


def _renamed(row: ThreadRow, event: ThreadRenamed) -> None:
    row.title = event.title


def _claimed(row: ThreadRow, event: ThreadRunClaimed) -> None:
    row.status, row.run_id = "active", event.run_id


def _released(row: ThreadRow, event: ThreadRunReleased) -> None:
    row.status, row.run_id = "idle", ""


_CHANGE: Final[dict[type[Event], Callable[[ThreadRow, Any], None]]] = {
    MessageAppended: _appended,
    ThreadRenamed: _renamed,
    ThreadRunClaimed: _claimed,
    ThreadRunReleased: _released,
}
