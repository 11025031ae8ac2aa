"""Background tasks, as they are looked at from outside: one, lists of them, and followed live."""

from outlive.projections.tasks.fold import TaskFold, read_task, task_info
from outlive.projections.tasks.info import (
    TASK_STATUSES,
    TaskAttempt,
    TaskInfo,
    TaskPage,
    TaskProgress,
    TaskQuestion,
    TaskSummary,
)
from outlive.projections.tasks.observe import observe_task
from outlive.projections.tasks.pending import pending_of_tasks, task_pending, task_pending_of
from outlive.projections.tasks.query import TasksQuery
from outlive.projections.tasks.view import TasksView

__all__ = [
    "TASK_STATUSES",
    "TaskAttempt",
    "TaskFold",
    "TaskInfo",
    "TaskPage",
    "TaskProgress",
    "TaskQuestion",
    "TaskSummary",
    "TasksQuery",
    "TasksView",
    "observe_task",
    "pending_of_tasks",
    "read_task",
    "task_info",
    "task_pending",
    "task_pending_of",
]
