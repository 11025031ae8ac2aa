"""From a request to the command that carries it out, and whether it can be, in any process."""

from __future__ import annotations

from typing import Any, assert_never

from outlive.actors.task.commands import CancelTask, ResumeTask, RetryTask, TaskCommand
from outlive.actors.task.decide import resolution
from outlive.actors.task.entity import TASK
from outlive.actors.task.submitted import (
    CancelTaskRequest,
    EnqueueRequest,
    ResumeTaskRequest,
    RetryTaskRequest,
    SteerRequest,
)
from outlive.actors.tool import Tool
from outlive.events import (
    InvalidResumeValue,
    LogReader,
    StreamId,
    TaskExists,
    TaskQueued,
    UnserialisableValue,
    Value,
)
from outlive.events.ids import id_of
from outlive.events.task.state import request_digest
from outlive.projections.tasks import read_task


def steer_command(request: SteerRequest, task_id: str, *, worker: str = "") -> TaskCommand:
    """Return the command that carries out what is wanted of a task. `worker` is this process."""
    match request:
        case ResumeTaskRequest():
            return ResumeTask(
                task_id=task_id, value=request.value, key=request.key, by=request.by, worker=worker
            )
        case CancelTaskRequest():
            return CancelTask(task_id=task_id, reason=request.reason, by=request.by)
        case RetryTaskRequest():
            return RetryTask(task_id=task_id, by=request.by)
        case _:
            assert_never(request)


def require_same(log: LogReader, stream: StreamId, request: EnqueueRequest) -> None:
    """Raise TaskExists if there is a task under this id that was asked for otherwise."""
    state = TASK.initial
    for recorded in read_task(log, id_of(stream)):
        state = TASK.evolve(state, recorded.event)
    asked = TaskQueued(
        tool=request.tool,
        arguments=request.arguments,
        agent_id=request.agent_id,
        thread_id=request.thread_id,
    )
    if request_digest(asked) != state.request:
        raise TaskExists(id_of(stream))


def check_outcome(task_id: str, tool: Tool[..., Any], value: Value) -> None:
    """Raise InvalidResumeValue if the tool cannot have returned what somebody says it has."""
    match resolution(value):
        case ("completed", outcome):
            try:
                tool.signature.check_output(outcome)
            except UnserialisableValue as error:
                raise InvalidResumeValue(task_id, "", str(error), "task") from None
        case _:
            pass
