"""What a task's effects need of its events besides its state: arguments, and values of steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from outlive.events import (
    CallId,
    Event,
    RequestedToolCall,
    TaskCancelled,
    TaskFailed,
    TaskLimits,
    TaskQueued,
    TaskRejected,
    TaskResumed,
    TaskStepCompleted,
    TaskSucceeded,
    TaskTimedOut,
    Value,
)
from outlive.events.background import OnComplete

End: TypeAlias = TaskSucceeded | TaskFailed | TaskTimedOut | TaskCancelled | TaskRejected


class TaskNotes:
    """Folds a task's events, in order, each once."""

    def __init__(self) -> None:
        self.call = RequestedToolCall(call_id=CallId(""), name="")
        self.agent_id = ""
        self.run_id = ""
        self.thread_id = ""
        self.resource_id = ""
        self.on_complete: OnComplete = "append"
        self.request_context: dict[str, Value] = {}
        self.limits = TaskLimits()
        self.memos: Final[dict[str, Value]] = {}
        self.answers: Final[dict[str, Value]] = {}  # what people have said
        self.ends: Final[list[End]] = []  # several, if it was tried once more

    def apply(self, events: Iterable[Event]) -> None:
        """Take events, in order."""
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case TaskQueued():
                self.call = RequestedToolCall(
                    call_id=event.call_id, name=event.tool, arguments=event.arguments
                )
                self.agent_id = event.agent_id
                self.run_id = event.run_id
                self.thread_id = event.thread_id
                self.resource_id = event.resource_id
                self.on_complete = event.on_complete
                self.request_context = event.request_context
                self.limits = event.limits
            case TaskStepCompleted():
                self.memos[event.key] = event.value
            case TaskResumed():
                self.answers[event.key] = event.value
            case TaskSucceeded() | TaskFailed() | TaskTimedOut() | TaskCancelled() | TaskRejected():
                self.ends.append(event)
            case _:
                pass
