"""The runs view: a row a run, and rows that lead to runs by time, status and agent.

    `run-`, run id                                   the run: `RunRow`
    t, started at (8), position (8)                  run id
    a, agent (16), started at, position              run id
    s, status (16), started at, position             run id; once the run is over
    b, agent (16), status (16), started at, position run id; once the run is over

Agent and status are digests, so that keys have a fixed length whatever they are called.
`started at` is in nanoseconds, and with the position of the run's first record it is unique.
Runs that are not over are found by their rows in the log's open table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Any, Final

import msgspec

from outlive.events import (
    ChildRunEnded,
    ChildRunStarted,
    Event,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    Record,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    RunStarted,
    TaskRequested,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    ToolResultIgnored,
    ToolStepCompleted,
    Value,
)
from outlive.events.ids import id_of
from outlive.projections.views.rows import Rows

INPUT_CHARS: Final = 200
MESSAGE_CHARS: Final = 500
_STREAMS: Final = "run-"
_WHEN: Final = Struct(">QQ")
_DIGEST_BYTES: Final = 16
_LAST_NS: Final = (1 << 63) - 1


class RunRow(msgspec.Struct, array_like=True, gc=False):
    """What the view keeps of a run. Changed in place; fields are only ever added at the end."""

    agent_id: str
    input: str
    metadata: dict[str, Value]
    started_at_ns: int
    first_position: int
    status: str = "running"
    updated_at_ns: int = 0
    ended_at_ns: int | None = None
    steps: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    recoveries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    error_kind: str = ""
    error_message: str = ""
    version: int = 0
    position: int = 0
    parent_id: str = ""


def run_key(run_id: str) -> bytes:
    """Return the key of a run's row."""
    return b"run-" + run_id.encode()


def when_key(started_at_ns: int, first_position: int) -> bytes:
    """Return the end of a key by time: what a list is ordered by."""
    return _WHEN.pack(min(max(started_at_ns, 0), _LAST_NS), first_position)


def list_key(*, status: str | None, agent_id: str | None) -> bytes:
    """Return what the keys of a list begin with; the time follows."""
    if agent_id is None:
        return b"t" if status is None else b"s" + _digest(status)
    return (
        b"a" + _digest(agent_id) if status is None else b"b" + _digest(agent_id) + _digest(status)
    )


@lru_cache(maxsize=1_024)
def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


class RunsView:
    """The `Projection` of runs."""

    name = "runs"
    version = 2
    events: frozenset[type[Event]] = frozenset(
        {
            RunStarted,
            RunRecovered,
            ModelCallStarted,
            ModelCallCompleted,
            ModelCallFailed,
            ModelAttemptAbandoned,
            ToolCallStarted,
            ToolStepCompleted,
            ToolCallCompleted,
            ToolCallFailed,
            ToolResultIgnored,
            ChildRunStarted,
            ChildRunEnded,
            TaskRequested,
            RunCompleted,
            RunFailed,
            RunCancelled,
        }
    )

    def apply(self, record: Record, rows: Rows) -> None:
        """Count what happened into the run's row."""
        stream, events, first_version = record.stream, record.events, record.first_version
        if not stream.startswith(_STREAMS):
            return
        key = stream.encode()
        # A new run has no row: not to look for it in the file spares the loop half of the cost.
        row = None if first_version == 1 else rows.get(key, RunRow)
        if row is None:
            begun = events[0]
            if not isinstance(begun, RunStarted):
                return
            row = _begin(id_of(stream), begun, record, rows)
        for event in events:
            count = _COUNT.get(event.__class__)
            if count is not None:
                count(row, event)
        if row.ended_at_ns is None and row.status != "running":
            _end(id_of(stream), row, record, rows)
        row.updated_at_ns = record.recorded_at_ns
        row.version = first_version + len(events) - 1
        row.position = record.position
        rows.put(key, row)


def _begin(run_id: str, begun: RunStarted, record: Record, rows: Rows) -> RunRow:
    row = RunRow(
        begun.agent_id,
        begun.input[:INPUT_CHARS],
        begun.metadata,
        record.recorded_at_ns,
        record.position,
        parent_id="" if begun.parent is None else begun.parent.run_id,
    )
    when = when_key(row.started_at_ns, row.first_position)
    rows.put(list_key(status=None, agent_id=None) + when, run_id)
    rows.put(list_key(status=None, agent_id=row.agent_id) + when, run_id)
    return row


def _end(run_id: str, row: RunRow, record: Record, rows: Rows) -> None:
    row.ended_at_ns = record.recorded_at_ns
    when = when_key(row.started_at_ns, row.first_position)
    rows.put(list_key(status=row.status, agent_id=None) + when, run_id)
    rows.put(list_key(status=row.status, agent_id=row.agent_id) + when, run_id)


def _tool_called(row: RunRow, event: ToolCallStarted) -> None:
    row.tool_calls += 1


def _handed_on(row: RunRow, event: ChildRunStarted | TaskRequested) -> None:
    row.tool_calls += 1


def _child_ended(row: RunRow, event: ChildRunEnded) -> None:
    row.input_tokens += event.usage.input_tokens
    row.output_tokens += event.usage.output_tokens


def _model_called(row: RunRow, event: ModelCallStarted) -> None:
    row.model_calls += 1


def _answered(row: RunRow, event: ModelCallCompleted) -> None:
    row.steps += 1
    usage = event.usage
    row.input_tokens += usage.input_tokens
    row.output_tokens += usage.output_tokens


def _recovered(row: RunRow, event: RunRecovered) -> None:
    row.recoveries += 1


def _completed(row: RunRow, event: RunCompleted) -> None:
    row.status = "completed"


def _failed(row: RunRow, event: RunFailed) -> None:
    row.status = "failed"
    row.error_kind = event.error.kind
    row.error_message = event.error.message[:MESSAGE_CHARS]


def _cancelled(row: RunRow, event: RunCancelled) -> None:
    row.status = "cancelled"
    row.error_kind = "cancelled"
    row.error_message = event.reason[:MESSAGE_CHARS]


_COUNT: Final[dict[type[Event], Callable[[RunRow, Any], None]]] = {
    ToolCallStarted: _tool_called,
    ModelCallStarted: _model_called,
    ChildRunStarted: _handed_on,
    TaskRequested: _handed_on,
    ChildRunEnded: _child_ended,
    ModelCallCompleted: _answered,
    RunRecovered: _recovered,
    RunCompleted: _completed,
    RunFailed: _failed,
    RunCancelled: _cancelled,
}
"""What counts an event. A dict, not a `match`: each event of each run comes through here."""
