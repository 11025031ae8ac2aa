"""Who acts: agents, their tools and models, and the runtime that keeps them going."""

from outlive.actors.agent import Agent
from outlive.actors.background import Background, BackgroundTasks
from outlive.actors.context import DuplicateStep, SyncToolContext, ToolContext
from outlive.actors.cron import Cron
from outlive.actors.heartbeat.declared import Heartbeat
from outlive.actors.heartbeat.hooks import SKIP, HeartbeatContext, HeartbeatHooks, Trigger
from outlive.actors.history import History
from outlive.actors.ids import Ids, RandomIds
from outlive.actors.live import LiveEntity
from outlive.actors.loop_actor import BlockingAskRefused
from outlive.actors.model import (
    Finish,
    Model,
    ModelPart,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallPart,
    ToolSchema,
)
from outlive.actors.model_error import ModelError
from outlive.actors.retry import Retry
from outlive.actors.run.handle import Run
from outlive.actors.run_context import RunContext
from outlive.actors.runtime import Runtime
from outlive.actors.scripted import EchoModel, ScriptedModel, ScriptExhausted, ToolCall, Turn
from outlive.actors.steering import Steering
from outlive.actors.summaries import ToSummarize
from outlive.actors.sync_run import SyncRun
from outlive.actors.sync_runtime import SyncRuntime
from outlive.actors.sync_subscription import SyncSubscription
from outlive.actors.task.hooks import TaskHooks
from outlive.actors.thread.accepted import SignalAccepted
from outlive.actors.thread.signalling import Signalling
from outlive.actors.tool import RepeatedAfterCrash, Tool, tool
from outlive.actors.until_idle import UntilIdle
from outlive.events import (
    FilePart,
    IfActive,
    IfIdle,
    ImagePart,
    StopAfterSteps,
    StopOnText,
    StopOnTool,
    TextPart,
)

__all__ = [
    "Agent",
    "Background",
    "BackgroundTasks",
    "BlockingAskRefused",
    "Cron",
    "DuplicateStep",
    "EchoModel",
    "FilePart",
    "Finish",
    "Heartbeat",
    "HeartbeatContext",
    "HeartbeatHooks",
    "History",
    "Ids",
    "IfActive",
    "IfIdle",
    "ImagePart",
    "LiveEntity",
    "Model",
    "ModelError",
    "ModelPart",
    "ModelRequest",
    "RandomIds",
    "ReasoningDelta",
    "RepeatedAfterCrash",
    "Retry",
    "Run",
    "RunContext",
    "Runtime",
    "SKIP",
    "ScriptExhausted",
    "ScriptedModel",
    "SignalAccepted",
    "Signalling",
    "Steering",
    "StopAfterSteps",
    "StopOnText",
    "StopOnTool",
    "SyncRun",
    "SyncRuntime",
    "SyncSubscription",
    "SyncToolContext",
    "TaskHooks",
    "TextDelta",
    "TextPart",
    "ToSummarize",
    "Tool",
    "ToolCall",
    "ToolCallPart",
    "ToolContext",
    "ToolSchema",
    "Trigger",
    "Turn",
    "UntilIdle",
    "tool",
]
