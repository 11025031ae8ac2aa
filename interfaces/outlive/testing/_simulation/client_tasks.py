"""Background tasks, for who uses the runtime from outside, over all deaths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from outlive.actors import Runtime
from outlive.events import (
    Event,
    TaskCancelled,
    TaskEvent,
    TaskQueued,
    TaskRequeued,
    TaskResolved,
    TaskResumed,
    TaskState,
)
from outlive.events.task import evolve
from outlive.projections import TaskInfo

if TYPE_CHECKING:
    from outlive.testing._simulation.client import Client
    from outlive.testing._simulation.simulation import Simulation


class ClientTasks:
    """`Client.tasks`: as `Runtime.tasks`. What is acknowledged has to be in the log."""

    def __init__(self, client: Client, simulation: Simulation) -> None:
        self._client = client
        self._simulation = simulation

    async def enqueue(
        self,
        tool: str,
        args: Mapping[str, object] | None = None,
        *,
        agent: str | None = None,
        idempotency_key: str | None = None,
        priority: int = 0,
    ) -> str:
        """Have a tool called in the background; return the task's id. See `RuntimeTasks.enqueue`.

        Over deaths it is one task, also without a key.
        """
        key = str(self._simulation.ids.run_id()) if idempotency_key is None else idempotency_key

        async def enqueue(rt: Runtime) -> str:
            task_id = await rt.tasks.enqueue(
                tool, args, agent=agent, idempotency_key=key, priority=priority
            )
            self._require("request", task_id, TaskQueued)
            return task_id

        return await self._client.call(enqueue)

    async def get(self, task_id: str) -> TaskInfo:
        """Return all that is known of a task. See `RuntimeTasks.get`."""
        return await self._client.call(lambda rt: rt.tasks.get(task_id))

    async def wait(self, ids: str | Sequence[str]) -> list[TaskInfo]:
        """Wait until these tasks are over; return what became of them. See `RuntimeTasks.wait`."""
        return await self._client.call(lambda rt: rt.tasks.wait(ids))

    async def resume(
        self, task_id: str, value: object = None, *, key: str | None = None, by: str = ""
    ) -> None:
        """Answer what a task asks. See `RuntimeTasks.resume`."""

        async def resume(rt: Runtime) -> None:
            asked = self._state(task_id).status == "suspended"
            await rt.tasks.resume(task_id, value, key=key, by=by)
            if asked:
                self._require("answer", task_id, TaskResumed, TaskResolved)

        await self._client.call(resume)

    async def cancel(self, task_id: str, reason: str = "", *, by: str = "") -> None:
        """End a task. See `RuntimeTasks.cancel`."""

        async def cancel(rt: Runtime) -> None:
            await rt.tasks.cancel(task_id, reason, by=by)
            self._require("end", task_id, TaskCancelled)

        await self._client.call(cancel)

    async def retry(self, task_id: str, *, by: str = "") -> None:
        """Try a task once more that has not succeeded; over deaths it is once.

        See `RuntimeTasks.retry`.
        """
        before = self._requeued(task_id)

        async def retry(rt: Runtime) -> None:
            if self._requeued(task_id) > before:
                return  # It was heard, and its process died before it said so.
            over = self._state(task_id).over
            await rt.tasks.retry(task_id, by=by)
            if over:
                self._require("retry", task_id, TaskRequeued)

        await self._client.call(retry)

    def _requeued(self, task_id: str) -> int:
        return sum(isinstance(e, TaskRequeued) for e in self._simulation.task_events(task_id))

    def _state(self, task_id: str) -> TaskState:
        state = TaskState()
        for event in self._simulation.task_events(task_id):
            state = evolve(state, cast("TaskEvent", event))
        return state

    def _require(self, what: str, task_id: str, *kinds: type[Event]) -> None:
        """What was just acknowledged is in the log."""
        if not any(isinstance(event, kinds) for event in self._simulation.task_events(task_id)):
            raise AssertionError(
                f"the {what} of task {task_id} was acknowledged, and is not in the log"
            )
