"""What came of a run or task is not what was hoped for."""

from __future__ import annotations

from outlive.events.errors.root import OutliveError


class RunUnsuccessful(OutliveError):
    """A run did not complete: it failed, or stands still. Raised by `RunResult.unwrap()`."""

    def __init__(self, run_id: str, status: str, reason: str) -> None:
        super().__init__(f"run {run_id!r} is {status}: {reason}")
        self.run_id = run_id
        self.status = status
        self.reason = reason


class TaskUnsuccessful(OutliveError):
    """A task did not succeed. Raised by `TaskResult.unwrap()`."""

    def __init__(self, task_id: str, status: str, reason: str) -> None:
        super().__init__(f"task {task_id!r} is {status}: {reason}")
        self.task_id = task_id
        self.status = status
        self.reason = reason
