"""What background tasks wait for a person to say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from outlive.events import (
    LogReader,
    Recorded,
    RunId,
    StreamId,
    TaskInDoubt,
    TaskQueued,
    TaskResolved,
    TaskResumed,
    TaskSuspended,
)
from outlive.events.ids import id_of
from outlive.events.values import canonical, digest
from outlive.projections.lists import utc
from outlive.projections.pending import Pending
from outlive.projections.tasks.observe import ENDS
from outlive.projections.to_the_end import read_stream


def task_pending_of(events: Iterable[Recorded]) -> tuple[Pending, ...]:
    """Return what a task waits for, in the order in which it began to. Pure.

    `events` are all events of the task.
    """
    found: dict[str, Pending] = {}
    asked: Pending | None = None
    for recorded in events:
        event, since = recorded.event, utc(recorded.recorded_at_ns)
        if isinstance(event, TaskQueued):
            asked = Pending(
                task_id=id_of(recorded.stream),
                run_id=RunId(event.run_id),
                agent_id=event.agent_id,
                kind="in_doubt",
                call_id=event.call_id,
                tool=event.tool,
                arguments=event.arguments,
                digest=digest(canonical(event.arguments)),
                suspension="",
                since=since,
            )
        if asked is None:
            continue
        match event:
            case TaskSuspended():
                found[event.key] = replace(
                    asked,
                    kind="suspension",
                    suspension=event.key,
                    since=since,
                    key=event.key,
                    payload=event.payload,
                    answer_schema=event.answer_schema,
                )
            case TaskInDoubt():
                found[""] = replace(asked, since=since, cause=event.cause)
            case TaskResumed():
                found.pop(event.key, None)
            case TaskResolved():
                found.pop("", None)
            case _:
                if isinstance(event, ENDS):
                    found.clear()
    return tuple(found.values())


def task_pending(log: LogReader, stream: StreamId) -> tuple[Pending, ...]:
    """Return what the task of this stream waits for. Raises CorruptLog, UnknownEvent."""
    return task_pending_of(read_stream(log, stream))


def pending_of_tasks(log: LogReader, run_id: str) -> Iterator[Pending]:
    """Yield what the tasks wait for that a run has asked for."""
    for stream, entry in log.open_entries():
        if (
            entry.kind == "task"
            and "waiting_for" in entry.summary
            and entry.summary.get("run_id") == run_id
        ):
            yield from task_pending(log, stream)
