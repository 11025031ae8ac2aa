"""The runs view: a row a run, and lists of them by status and agent.

Runs that are not over are found by their rows in the log's open table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

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
from outlive.projections.lists import ListedRow, Lists
from outlive.projections.views.rows import Rows

INPUT_CHARS: Final = 200
MESSAGE_CHARS: Final = 500


class RunRow(ListedRow, kw_only=True, array_like=True, gc=False):
    """What the view keeps of a run. Changed in place."""

    agent_id: str
    input: str
    metadata: dict[str, Value]
    steps: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    recoveries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    parent_id: str = ""
    thread_id: str = ""
    resource_id: str = ""


LISTS: Final = Lists(
    "run",
    RunRow,
    ("thread_id",),
    ("resource_id",),
    ("agent_id", "status"),
    ("agent_id",),
    ("status",),
    (),
    over=("completed", "failed", "cancelled"),
)


class RunsView:
    """The `Projection` of runs."""

    name = "runs"
    version = 4
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

    def apply(self, records: Sequence[Record], rows: Rows) -> None:
        """Count what happened into the rows of the runs."""
        LISTS.fold(records, rows, begin=_begin, change=_change)


def _begin(record: Record) -> RunRow | None:
    begun = record.events[0]
    if not isinstance(begun, RunStarted):
        return None
    return RunRow(
        begun_at_ns=record.recorded_at_ns,
        first_position=record.position,
        status="running",
        agent_id=begun.agent_id,
        input=begun.input[:INPUT_CHARS],
        metadata=begun.metadata,
        parent_id="" if begun.parent is None else begun.parent.run_id,
        thread_id="" if begun.thread is None else begun.thread.thread_id,
        resource_id="" if begun.thread is None else begun.thread.resource_id,
    )


def _change(row: RunRow, events: Sequence[Event], at_ns: int) -> None:
    for event in events:
        count = _COUNT.get(event.__class__)
        if count is not None:
            count(row, event)


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
