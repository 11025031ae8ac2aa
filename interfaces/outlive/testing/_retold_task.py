"""What people have said to a background task, taken from the log, to be said once more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from outlive.actors import Runtime
from outlive.actors.tool_attempt import idempotency_key
from outlive.events import (
    AlreadyOver,
    Event,
    RequestedToolCall,
    RunId,
    TaskCancelled,
    TaskFailed,
    TaskInDoubt,
    TaskQueued,
    TaskRequeued,
    TaskResolved,
    TaskResumed,
    TaskRetryScheduled,
    TaskSucceeded,
    TaskSuspended,
    Value,
    task_stream,
)
from outlive.events.values import canonical, digest
from outlive.testing._simulation.client import Client

_CALLED_OFF: Final = "it was called off"
NO_THREADS: Final = "no_threads"
"""The kind of error of a call that no thread was left for."""


class RetoldTask:
    """What people have said to one task."""

    def __init__(self, task_id: str, events: Iterable[Event]) -> None:
        self.task_id: Final = task_id
        self.again = 0
        """How often people wanted it to be done again."""
        self.called_off = False
        """Whether it was cancelled at one time or another."""
        self.ends_called_off = False
        """Whether that is how it has ended."""
        self.vouched = False
        """Whether it is a person who has said what came of it."""
        self.without_a_thread = False
        """Whether no thread was left for it, at one time or another."""
        self._queued = TaskQueued(tool="")
        self._answers: dict[str, Value] = {}
        self._resolution: Value = None
        for event in events:
            self._take(event)
        self.key: Final = digest(
            canonical(self._answers), canonical(self._resolution), str(self.called_off).encode()
        )
        """Another one where something else was said."""

    def _take(self, event: Event) -> None:
        match event:
            case TaskQueued():
                self._queued = event
            case TaskResumed():
                self._answers[event.key] = event.value
            case TaskResolved(outcome="retry"):
                self.again += 1
                self._resolution = {"retry": True}
            case TaskResolved(outcome="failed"):
                self._resolution = {"error": event.note}
                self.vouched = True
            case TaskResolved():
                self.vouched = True
            case TaskSucceeded() if self.vouched:
                self._resolution = {"outcome": event.result}
            case TaskRetryScheduled(reason=error) | TaskFailed(error=error):
                self.without_a_thread = self.without_a_thread or error.kind == NO_THREADS
            case TaskCancelled():
                self.called_off = self.ends_called_off = True
            case TaskRequeued():
                self.again += 1
                self.ends_called_off = self.vouched = False
            case _:
                pass

    @property
    def may_not_have_happened(self) -> bool:
        """Whether its effect may be missing, and nothing is wrong with that."""
        return self.vouched or self.called_off or self.without_a_thread

    def idempotency_key(self, log_id: str) -> str:
        """Return the key of the call that the task makes."""
        queued = self._queued
        call = RequestedToolCall(
            call_id=queued.call_id, name=queued.tool, arguments=queued.arguments
        )
        return idempotency_key(log_id, RunId(queued.run_id or task_stream(self.task_id)), call)

    async def say_again(self, client: Client) -> None:
        """Say it to a task that is as this one was, whenever it asks, until it is over.

        One that was called off is when it asks what nobody has answered.
        """
        await client.call(self._say)

    async def _say(self, rt: Runtime) -> None:
        async for recorded in rt.tasks.observe(self.task_id):
            event = recorded.event
            try:
                if isinstance(event, TaskSuspended):
                    await self._answer(rt, event.key)
                elif isinstance(event, TaskInDoubt) and self._resolution is not None:
                    await rt.tasks.resume(self.task_id, self._resolution)
            except AlreadyOver:
                return  # Its run was cancelled.

    async def _answer(self, rt: Runtime, key: str) -> None:
        if key in self._answers:
            await rt.tasks.resume(self.task_id, self._answers[key], key=key)
        elif self.called_off:
            await rt.tasks.cancel(self.task_id, _CALLED_OFF)
