"""What the tests of views share: a log with runs, a fresh fold, and what a view holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from outlive.events import (
    Event,
    EventLog,
    Failure,
    LogReader,
    ModelCallCompleted,
    ModelCallStarted,
    OpenEntry,
    Position,
    Record,
    RunCompleted,
    RunFailed,
    RunStarted,
    ThreadCreated,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
    Version,
    run_stream,
    thread_stream,
)
from outlive.events.ids import CallId
from outlive.projections import Projection, Rows, RunsView, ViewRows
from outlive.projections.views.store import MemoryStore

Dump = list[tuple[bytes, object]]

OPEN = OpenEntry(kind="run", status="running")


def start_run(log: EventLog, run_id: str, *, agent_id: str = "poet", input: str = "a line") -> None:
    """Append the start of a run, and its row of the open table."""
    log.append(
        run_stream(run_id),
        [RunStarted(agent_id=agent_id, input=input), ModelCallStarted(model="m", messages=1)],
        expected_version=Version(0),
        entry=OPEN,
    ).result(20)


def start_thread(log: EventLog, thread_id: str) -> None:
    """Append the beginning of a thread."""
    log.append(
        thread_stream(thread_id), [ThreadCreated(resource_id="u")], expected_version=Version(0)
    ).result(20)


def go_on(log: EventLog, run_id: str, *events: Event, entry: OpenEntry | None = OPEN) -> None:
    """Append events to a run."""
    stream = run_stream(run_id)
    log.append(stream, events, expected_version=log.version(stream), entry=entry).result(20)


def end_run(log: EventLog, run_id: str, *, failed: bool = False) -> None:
    """Append a model's answer, a tool call and the end of a run."""
    call = CallId("0.0")
    end = RunFailed(error=Failure(kind="error", message="no luck")) if failed else RunCompleted()
    go_on(
        log,
        run_id,
        ModelCallCompleted(text="ok", usage=Usage(input_tokens=3, output_tokens=2)),
        ToolCallStarted(call_id=call, name="look"),
        ToolCallCompleted(call_id=call),
        end,
        entry=None,
    )


def records_of(log: LogReader) -> list[Record]:
    """Return all records of a log."""
    found: list[Record] = []
    after = Position(0)
    while page := log.read_all(after=after, limit=10_000):
        found += page
        after = page[-1].position
    return found


def fold(records: Sequence[Record], projection: Projection) -> Dump:
    """Return the rows of a projection over records, folded here and now."""
    rows = Rows(MemoryStore())
    for record in records:
        if any(type(event) in projection.events for event in record.events):
            projection.apply([record], rows)
    return dump(rows)


def fresh(log: LogReader, projection: Projection | None = None) -> Dump:
    """Return what a view of the log has to hold."""
    return fold(records_of(log), projection or RunsView())


def dump(rows: ViewRows) -> Dump:
    """Return all rows of a view, as plain values."""
    return [(key, _plain(value)) for key, value in rows.scan(object)]


def _plain(value: object) -> object:
    import msgspec

    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


def view_file(folder: Path, name: str = "runs") -> Path:
    """Return the data file of a view in a log's folder."""
    (newest,) = (folder / "views" / name).iterdir()
    return newest / "data.mdb"
