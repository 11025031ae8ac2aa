"""What is asked of a task, as it lies in the inbox: ids and data, nothing that one process has."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from outlive.events import Value
from outlive.events.background import OnComplete


class EnqueueRequest(msgspec.Struct, frozen=True, kw_only=True, tag="enqueue-task", gc=False):
    """A tool is to be called in the background, though no model has asked for it."""

    tool: str
    arguments: dict[str, Value]
    agent_id: str = ""  # empty: a tool of the runtime
    priority: int = 0
    request_context: dict[str, Value] = {}
    thread_id: str = ""
    resource_id: str = ""
    on_complete: OnComplete = "append"


class ResumeTaskRequest(msgspec.Struct, frozen=True, kw_only=True, tag="resume-task", gc=False):
    """A person answers what a task asks."""

    value: Value = None
    key: str | None = None
    by: str = ""


class CancelTaskRequest(msgspec.Struct, frozen=True, kw_only=True, tag="cancel-task", gc=False):
    """The task is not wanted any more."""

    reason: str = ""
    by: str = ""


class RetryTaskRequest(msgspec.Struct, frozen=True, kw_only=True, tag="retry-task", gc=False):
    """A task that was over without success is to be tried once more."""

    by: str = ""


SteerRequest: TypeAlias = ResumeTaskRequest | CancelTaskRequest | RetryTaskRequest
TaskRequest: TypeAlias = EnqueueRequest | SteerRequest
