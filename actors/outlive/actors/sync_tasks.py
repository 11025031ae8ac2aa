"""Background tasks for code without an event loop."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from outlive.actors.agent import Agent
from outlive.actors.sync_runs import Await
from outlive.actors.task.control import RuntimeTasks
from outlive.actors.tool import Tool
from outlive.events import Recorded
from outlive.events.background import OnComplete
from outlive.projections import TaskInfo, TaskPage
from outlive.projections.lists import Order


class SyncTasks:
    """The same as `Runtime.tasks`, without `await`."""

    def __init__(
        self,
        tasks: RuntimeTasks,
        wait_for: Await,
        iterate: Callable[[AsyncIterator[Recorded]], Iterator[Recorded]],
    ) -> None:
        self._tasks = tasks
        self._wait_for = wait_for
        self._iterate = iterate

    def get(self, task_id: str) -> TaskInfo:
        """Return all that is known of a task. See `TasksQuery.get`."""
        return self._wait_for(self._tasks.get(task_id))

    def wait(
        self, ids: str | Sequence[str], *, timeout: float | None = None
    ) -> builtins.list[TaskInfo]:
        """Wait until these tasks are over. See `TasksQuery.wait`."""
        return self._wait_for(self._tasks.wait(ids, timeout=timeout))

    def observe(
        self,
        id: str | None = None,
        *,
        agent_id: str | None = None,
        thread_id: str | None = None,
        run_id: str | None = None,
        after: int = 0,
    ) -> Iterator[Recorded]:
        """Yield what happened in one task or several, then live. See `TasksQuery.observe`."""
        return self._iterate(
            self._tasks.observe(
                id, agent_id=agent_id, thread_id=thread_id, run_id=run_id, after=after
            )
        )

    def list(
        self,
        *,
        status: str | None = None,
        agent_id: str | None = None,
        tool: str | None = None,
        run_id: str | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: Order = "newest",
        limit: int = 50,
        cursor: str | None = None,
    ) -> TaskPage:
        """Return tasks in the order in which they were queued. See `TasksQuery.list`."""
        return self._wait_for(
            self._tasks.list(
                status=status,
                agent_id=agent_id,
                tool=tool,
                run_id=run_id,
                thread_id=thread_id,
                resource_id=resource_id,
                since=since,
                until=until,
                order=order,
                limit=limit,
                cursor=cursor,
            )
        )

    def enqueue(
        self,
        tool: str | Tool[..., Any],
        args: Mapping[str, object] | None = None,
        *,
        agent: str | Agent | None = None,
        idempotency_key: str | None = None,
        priority: int = 0,
        request_context: Mapping[str, object] | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        on_complete: OnComplete = "append",
    ) -> str:
        """Have a tool called in the background. See `RuntimeTasks.enqueue`."""
        return self._wait_for(
            self._tasks.enqueue(
                tool,
                args,
                agent=agent,
                idempotency_key=idempotency_key,
                priority=priority,
                request_context=request_context,
                thread_id=thread_id,
                resource_id=resource_id,
                on_complete=on_complete,
            )
        )

    def cancel(self, task_id: str, reason: str = "", *, by: str = "") -> bool:
        """End a task that is not wanted any more. See `RuntimeTasks.cancel`."""
        return self._wait_for(self._tasks.cancel(task_id, reason, by=by))

    def retry(self, task_id: str, *, by: str = "") -> bool:
        """Try a task once more that was over without success. See `RuntimeTasks.retry`."""
        return self._wait_for(self._tasks.retry(task_id, by=by))

    def resume(
        self, task_id: str, value: object = None, *, key: str | None = None, by: str = ""
    ) -> bool:
        """Answer what a task asks. See `RuntimeTasks.resume`."""
        return self._wait_for(self._tasks.resume(task_id, value, key=key, by=by))
