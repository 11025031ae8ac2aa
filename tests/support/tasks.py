"""A log in which tasks go their way, as their `decide` has it, without anybody who acts."""

from __future__ import annotations

from typing import Any, Final

from outlive.actors import Retry
from outlive.actors.mail import Acknowledge
from outlive.actors.run.commands import (
    CompleteStep,
    CompleteToolCall,
    FailToolCall,
    IgnoreToolResult,
    ReportProgress,
    SuspendToolCall,
)
from outlive.actors.task.commands import (
    CancelTask,
    QueueTask,
    RecoverTask,
    ResumeTask,
    StartTask,
    TaskCommand,
)
from outlive.actors.task.entity import TASK
from outlive.events import EventLog, Failure, TaskState, Value, task_stream
from outlive.testing import fold
from tests.support.virtual import START_NS

BOOM: Final = Failure(kind="error", message="bang", exception="ValueError")
LATE: Final = Failure(kind="timeout", message="no result within 3 s")
FAR_OFF_NS: Final = 1 << 62  # whatever a task waits for, it has come


class TaskLog:
    """Appends what commands cause, and the rows of the open table with it."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._states: dict[str, TaskState] = {}

    def state(self, task_id: str) -> TaskState:
        return self._states.get(task_id, TASK.initial)

    def do(self, task_id: str, command: TaskCommand) -> None:
        stream, state = task_stream(task_id), self.state(task_id)
        events = TASK.decide(state, command)
        assert events, f"{command} changes nothing in {state.status}"
        state = self._states[task_id] = fold(*events, entity=TASK, state=state)
        self.log.append(
            stream,
            events,
            expected_version=self.log.version(stream),
            entry=TASK.open_entry(state),
        ).result(20)

    def queue(self, task_id: str, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "task_id": task_id,
            "tool": "look",
            "arguments": {"at": task_id},
            "agent_id": "looker",
            "request_context": {},
            **changes,
        }
        self.do(task_id, QueueTask(**fields))

    def start(self, task_id: str, *, worker: str = "owner-1") -> None:
        self.do(task_id, StartTask(now_ns=FAR_OFF_NS, turn=1, worker=worker))

    def begin(self, task_id: str, **changes: Any) -> None:
        self.queue(task_id, **changes)
        self.start(task_id)

    def progress(
        self, task_id: str, done: float, total: float | None = None, note: str = ""
    ) -> None:
        of = self._of_attempt(task_id)
        self.do(task_id, ReportProgress(**of, done=done, total=total, note=note))

    def step(self, task_id: str, key: str) -> None:
        self.do(task_id, CompleteStep(**self._of_attempt(task_id), key=key, value=1))

    def succeed(self, task_id: str, result: Value = None) -> None:
        self.do(task_id, CompleteToolCall(**self._of_attempt(task_id), result=result))

    def fail(
        self, task_id: str, error: Failure = BOOM, *, delay: float | None = None, ask: bool = False
    ) -> None:
        """The attempt fails; with a delay it is retried then."""
        retry = Retry(0) if delay is None else Retry(1_000, delay=delay, factor=1, jitter=0)
        of = self._of_attempt(task_id)
        self.do(task_id, FailToolCall(**of, error=error, now_ns=START_NS, retry=retry, ask=ask))

    def ask(self, task_id: str, key: str) -> None:
        self.do(task_id, SuspendToolCall(**self._of_attempt(task_id), key=key))

    def answer(self, task_id: str, value: Value, key: str | None = None) -> None:
        self.do(task_id, ResumeTask(task_id=task_id, value=value, key=key, by="somebody"))

    def recover(self, task_id: str, *, in_doubt: Any = "retry", worker: str = "owner-2") -> None:
        self.do(task_id, RecoverTask(epoch=2, in_doubt=in_doubt, worker=worker))

    def cancel(self, task_id: str, reason: str = "enough") -> None:
        self.do(task_id, CancelTask(task_id=task_id, reason=reason))

    def ignore(self, task_id: str) -> None:
        """An attempt that was given up has come to an end."""
        self.do(task_id, IgnoreToolResult(**self._of_attempt(task_id), outcome="completed"))

    def deliver(self, task_id: str) -> None:
        """Its run has heard of the outcome."""
        self.do(task_id, Acknowledge(sequence=1))

    def _of_attempt(self, task_id: str) -> dict[str, Any]:
        state = self.state(task_id)
        return {"call_id": state.call_id, "attempt": state.attempt}
