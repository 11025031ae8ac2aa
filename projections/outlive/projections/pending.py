"""What waits for a person, with what the person needs to know to say something."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    CallId,
    ModelCallCompleted,
    Recorded,
    RequestedToolCall,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunId,
    RunResumed,
    RunStarted,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallSuspended,
    Value,
)
from outlive.events.run.state import suspension
from outlive.events.values import canonical, digest

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Pending(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that a run, or a background task, waits for a person to say.

    `kind` tells what can be done: an `approval` is approved or declined, a `suspension` is
    resumed with an answer, what is `in_doubt` is resolved. `suspension` is its full name, `key`
    the tool's own name for its question. `digest` is that of `arguments`. `answer_schema` is the
    JSON Schema of an answer, None for anything. Times are in UTC.

    With a `task_id` it is the task that waits: tell it to `Runtime.tasks.resume`, with the `key`
    if there is one. `run_id` and `call_id` are those that have asked for the task; `run_id` is
    empty if no run has.
    """

    run_id: RunId
    agent_id: str
    kind: Literal["approval", "suspension", "in_doubt"]
    call_id: CallId
    tool: str
    arguments: dict[str, Value]
    digest: str
    suspension: str
    since: datetime
    key: str = ""
    payload: Value = None
    answer_schema: dict[str, Value] | None = None
    expires_at: datetime | None = None
    cause: str = ""  # of a doubt: crash or timeout
    task_id: str = ""


def pending_of(run_id: str, events: Iterable[Recorded]) -> tuple[Pending, ...]:
    """Return what a run waits for, in the order in which it began to. Pure.

    `events` are all events of the run.
    """
    found: dict[str, Pending] = {}
    calls: dict[CallId, RequestedToolCall] = {}
    agent_id = ""
    for recorded in events:
        event = recorded.event
        match event:
            case RunStarted():
                agent_id = event.agent_id
            case ModelCallCompleted():
                calls = {call.call_id: call for call in event.tool_calls}
            case ApprovalRequested() | ToolCallSuspended() | ToolCallInDoubt():
                item = _pending(run_id, agent_id, recorded, calls)
                if item is not None:
                    found[item.suspension] = item
            case ApprovalGranted(arguments=dict() as arguments):
                found.pop(event.call_id, None)
                if event.call_id in calls:
                    before = calls[event.call_id]
                    calls[event.call_id] = msgspec.structs.replace(before, arguments=arguments)
            case ApprovalGranted() | ApprovalDenied() | ToolCallResolved():
                found.pop(event.call_id, None)
            case RunResumed():
                found.pop(suspension(event.call_id, event.key), None)
            case RunCompleted() | RunFailed() | RunCancelled():
                found.clear()
            case _:
                pass
    return tuple(found.values())


def _pending(
    run_id: str, agent_id: str, recorded: Recorded, calls: dict[CallId, RequestedToolCall]
) -> Pending | None:
    event = recorded.event
    assert isinstance(event, ApprovalRequested | ToolCallSuspended | ToolCallInDoubt)
    call = calls.get(event.call_id)
    if call is None:
        return None
    common = Pending(
        run_id=RunId(run_id),
        agent_id=agent_id,
        kind="in_doubt",
        call_id=event.call_id,
        tool=call.name,
        arguments=call.arguments,
        digest=digest(canonical(call.arguments)),
        suspension=event.call_id,
        since=_utc(recorded.recorded_at_ns),
    )
    match event:
        case ToolCallInDoubt():
            return msgspec.structs.replace(common, cause=event.cause)
        case ApprovalRequested(expires_at_ns=expires):
            expires_at = None if expires is None else _utc(expires)
            return msgspec.structs.replace(common, kind="approval", expires_at=expires_at)
        case ToolCallSuspended():
            return msgspec.structs.replace(
                common,
                kind="suspension",
                suspension=suspension(event.call_id, event.key),
                key=event.key,
                payload=event.payload,
                answer_schema=event.answer_schema,
            )


def _utc(at_ns: int) -> datetime:
    return _START + timedelta(microseconds=at_ns // 1_000)
