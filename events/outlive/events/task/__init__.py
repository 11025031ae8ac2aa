"""The task: a tool call in the background. Its events and the state they fold into."""

from outlive.events.background import TaskLimits
from outlive.events.task.events import (
    TaskCancelled,
    TaskEvent,
    TaskFailed,
    TaskHooksCalled,
    TaskInDoubt,
    TaskProgressed,
    TaskQueued,
    TaskRecovered,
    TaskRejected,
    TaskResolved,
    TaskResultIgnored,
    TaskResumed,
    TaskRetryScheduled,
    TaskStarted,
    TaskStepCompleted,
    TaskSucceeded,
    TaskSuspended,
    TaskTimedOut,
)
from outlive.events.task.state import TaskState, evolve

__all__ = [
    "TaskCancelled",
    "TaskEvent",
    "TaskFailed",
    "TaskHooksCalled",
    "TaskInDoubt",
    "TaskLimits",
    "TaskProgressed",
    "TaskQueued",
    "TaskRecovered",
    "TaskRejected",
    "TaskResolved",
    "TaskResultIgnored",
    "TaskResumed",
    "TaskRetryScheduled",
    "TaskStarted",
    "TaskState",
    "TaskStepCompleted",
    "TaskSucceeded",
    "TaskSuspended",
    "TaskTimedOut",
    "evolve",
]
