"""The run: one agent working on one input. Its events and the state they fold into."""

from outlive.events.run.events import (
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunStarted,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
)
from outlive.events.run.state import Call, ModelAttempt, RunState, evolve

__all__ = [
    "Call",
    "ModelAttempt",
    "ModelAttemptAbandoned",
    "ModelCallCompleted",
    "ModelCallFailed",
    "ModelCallStarted",
    "ModelDelta",
    "RunCompleted",
    "RunEvent",
    "RunFailed",
    "RunRecovered",
    "RunStarted",
    "RunState",
    "ToolCallCompleted",
    "ToolCallFailed",
    "ToolCallStarted",
    "ToolProgressed",
    "ToolResultIgnored",
    "ToolStepCompleted",
    "evolve",
]
