"""There is no such thing in the log, or in the runtime."""

from __future__ import annotations

from outlive.events.errors.root import OutliveError


class NotFound(OutliveError, LookupError):
    """There is no such thing in this log. Answered at once, never waited for."""


class RunNotFound(NotFound):
    """There is no run with this id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r} in this log")
        self.run_id = run_id


class TaskNotFound(NotFound):
    """There is no task with this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {task_id!r} in this log")
        self.task_id = task_id


class ThreadNotFound(NotFound):
    """There is no thread with this id."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"there is no thread {thread_id!r} in this log")
        self.thread_id = thread_id


class HeartbeatNotFound(NotFound):
    """There is no heartbeat with this id, or none any more."""

    def __init__(self, heartbeat_id: str) -> None:
        super().__init__(f"there is no heartbeat {heartbeat_id!r} in this log")
        self.heartbeat_id = heartbeat_id


class SuspensionNotFound(NotFound):
    """The run has no suspension of this name, and had none. `names` are those that are open.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(
        self, run_id: str, suspension: str, names: tuple[str, ...], kind: str = "run"
    ) -> None:
        known = ", ".join(repr(name) for name in names) or "none"
        super().__init__(f"{kind} {run_id!r} has no suspension {suspension!r} (open: {known})")
        self.run_id = run_id
        self.suspension = suspension
        self.names = names
        self.kind = kind


class ToolNotFound(NotFound):
    """No agent of this runtime has a tool of this name."""

    def __init__(self, tool: str, known: tuple[str, ...]) -> None:
        names = ", ".join(repr(name) for name in known) or "none"
        super().__init__(f"there is no tool {tool!r} here (known: {names})")
        self.tool = tool
        self.known = known


class HookNotFound(NotFound):
    """The runtime has no heartbeat hooks of this name."""

    def __init__(self, hook: str, known: tuple[str, ...]) -> None:
        names = ", ".join(repr(name) for name in known) or "none"
        super().__init__(f"this runtime has no heartbeat hooks {hook!r} (known: {names})")
        self.hook = hook
        self.known = known


class AgentNotFound(NotFound):
    """No agent with this id is registered with the runtime."""

    def __init__(self, agent_id: str, known: tuple[str, ...]) -> None:
        names = ", ".join(repr(name) for name in known) or "none"
        super().__init__(f"no agent {agent_id!r} is registered with this runtime (known: {names})")
        self.agent_id = agent_id
        self.known = known
