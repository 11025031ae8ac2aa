"""How a tool is called in the background: what the run that asks for it and the task both keep."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

TaskMode: TypeAlias = Literal["deferred", "awaited"]
OnComplete: TypeAlias = Literal["append", "wake", "ignore"]
"""What a thread is told of a task that ends when no run waits for it any more."""


class TaskLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an attempt may take and when it is tried again, as it was when the task was queued."""

    timeout_ns: int | None = None
    stall_timeout_ns: int | None = None  # without any progress
    max_retries: int = 0
    delay_ns: int = 0  # before the first retry, and so on: see `outlive.actors.Retry`
    factor: float = 1.0
    max_delay_ns: int = 0
    jitter: float = 0.0
    retry_on: tuple[str, ...] | None = None


class BackgroundCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The task that answers a tool call.

    `deferred`: the model is told at once that it has been queued, and of its result later.
    `awaited`: the step waits for the result. A `detached` one goes on if its run is cancelled.
    `on_complete` is what becomes of a result that comes when the run is over, and was on a thread.
    """

    task_id: str
    mode: TaskMode = "deferred"
    limits: TaskLimits = TaskLimits()
    priority: int = 0
    detached: bool = False
    on_complete: OnComplete = "append"
