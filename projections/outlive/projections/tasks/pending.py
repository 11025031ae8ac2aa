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
    TaskRequested,
    TaskResolved,
    TaskResumed,
    TaskSuspended,
    task_stream,
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


def pending_of_tasks(log: LogReader, events: Iterable[Recorded]) -> Iterator[Pending]:
    """Yield what those tasks wait for that a run has asked for; `events` are those of the run."""
    for recorded in events:
        if isinstance(recorded.event, TaskRequested):
            stream = task_stream(recorded.event.task_id)
            entry = log.open_entry(stream)
            if entry is not None and "waiting_for" in entry.summary:
                yield from task_pending(log, stream)
