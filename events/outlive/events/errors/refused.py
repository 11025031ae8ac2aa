"""The command cannot be obeyed in the present state: what holds for any entity."""

from __future__ import annotations

from outlive.events.errors.root import OutliveError


class Refused(OutliveError):
    """The command cannot be obeyed in the present state. Nothing was written."""


class RunExists(Refused):
    """A run with this id was started with another agent or input."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id!r} exists already, with another agent or input")
        self.run_id = run_id


class TaskExists(Refused):
    """A task with this id was queued with another tool or arguments."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"task {task_id!r} exists already, with another tool or arguments")
        self.task_id = task_id


class HeartbeatExists(Refused):
    """There is a heartbeat with this id already: update that one, or choose another id."""

    def __init__(self, heartbeat_id: str) -> None:
        super().__init__(f"heartbeat {heartbeat_id!r} exists already")
        self.heartbeat_id = heartbeat_id


class AlreadyOver(Refused):
    """The run has come to its end. `status` is which.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, status: str, kind: str = "run") -> None:
        super().__init__(f"{kind} {run_id!r} is over already: {status}")
        self.run_id = run_id
        self.status = status
        self.kind = kind


class NotQuarantined(Refused):
    """There is nothing to release: the run does not stand still for its failures.

    `run_id` is that of the thread or heartbeat, if its `kind` is that.
    """

    def __init__(self, run_id: str, status: str, kind: str = "run") -> None:
        super().__init__(f"{kind} {run_id!r} is not quarantined: it is {status}")
        self.kind = kind
        self.run_id = run_id
        self.status = status


class AttemptEnded(Refused):
    """The tool's attempt is over (timed out or replaced); what it does now is not recorded."""

    def __init__(self, call_id: str, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of tool call {call_id!r} is over")
        self.call_id = call_id
        self.attempt = attempt


class MailboxFull(Refused):
    """As many commands wait for one run as may. Nothing was queued; try again later."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit:,} commands wait already, and no more may: try again later")
        self.limit = limit
