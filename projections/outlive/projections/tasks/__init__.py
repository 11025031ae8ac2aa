"""Background tasks, as they are looked at from outside."""

from outlive.projections.tasks.info import (
    TaskAttempt,
    TaskInfo,
    TaskProgress,
    TaskQuestion,
    fold_task,
    read_task,
    task_info,
)
from outlive.projections.tasks.observe import observe_task

__all__ = [
    "TaskAttempt",
    "TaskInfo",
    "TaskProgress",
    "TaskQuestion",
    "fold_task",
    "observe_task",
    "read_task",
    "task_info",
]
