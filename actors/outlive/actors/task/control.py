"""Background tasks from outside: `Runtime.tasks`. The same in every role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from outlive.actors.agent import Agent
from outlive.actors.ids import Ids
from outlive.actors.run.begun import Inbox, has_begun
from outlive.actors.run.submitted import decode_request
from outlive.actors.steering import text_of, text_or_none
from outlive.actors.task.submitted import (
    CancelTaskRequest,
    EnqueueRequest,
    ResumeTaskRequest,
    RetryTaskRequest,
    TaskRequest,
)
from outlive.actors.thread.asking import check_told
from outlive.actors.tool import Tool
from outlive.events import (
    CorruptLog,
    StreamId,
    Value,
    task_stream,
    to_plain,
)
from outlive.events.background import OnComplete
from outlive.events.ids import stream_id
from outlive.events.sizes import check_size
from outlive.events.values import digest
from outlive.projections import TaskInfo, TasksQuery, Views
from outlive.projections.tasks.info import submitted_task
from outlive.projections.tasks.observe import FollowAll
from outlive.projections.tasks.standing import StandingWatch
from outlive.projections.to_the_end import Follow

_LARGEST = 2**31


class RuntimeTasks(TasksQuery):
    """Looks at tasks, and steers them."""

    def __init__(
        self,
        log: Inbox,
        views: Views,
        *,
        ids: Ids,
        obey: Callable[[StreamId, TaskRequest], Awaitable[object | None]],
        follow: Follow,
        follow_all: FollowAll,
        stands_still: Callable[[StreamId], bool],
        standing: StandingWatch,
    ) -> None:
        super().__init__(
            log,
            views,
            follow=follow,
            follow_all=follow_all,
            begun=partial(has_begun, log),
            submitted=partial(_submitted, log),
            stands_still=stands_still,
            standing=standing,
        )
        self._ids = ids
        self._obey = obey

    async def enqueue(
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
        """Have a tool called in the background, though no model has asked for it.

        Its timeout and retries are those that it has as a task of this agent. Nobody is asked for
        consent. Returns once that is durable, as `Runtime.start` does; with no owner up it waits
        in the inbox.

        Args:
            tool: the tool, or its name.
            args: what it is called with.
            agent: the agent whose tool it is, or its id. None: one of `Runtime(tools=)`.
            idempotency_key: the same again is the same task.
            priority: of the tasks of one agent the highest one starts first.
            request_context: JSON that the tool is given.
            thread_id: the thread that is told how it has ended.
            resource_id: to whom the thread belongs. One that does not exist is created for it.
            on_complete: what is told. `append`: the thread keeps it, and the next run sees it.
                `wake`: whoever is active is told, or the agent's run begins. `ignore`: nothing.

        Returns:
            The task's id.

        Raises:
            AgentNotFound, Refused: there is no such agent or tool, or the arguments do not fit.
            TaskExists: a task of this key has another tool or other arguments.
            ThreadNotFound, OtherResource: there is no such thread, or it is somebody else's.
            InvalidId, UnserialisableValue, EventTooLarge, LogParked, TypeError, ValueError:
                nothing was written.
        """
        if type(priority) is not int or abs(priority) > _LARGEST:
            raise ValueError(f"a priority is a whole number, not {priority!r}")
        agent_id = agent.id if isinstance(agent, Agent) else agent
        if agent_id is not None:
            stream_id("agent", agent_id)  # It is the owner's to know, but can it be one at all?
        check_told(thread_id, resource_id, on_complete, agent_id)
        request = EnqueueRequest(
            thread_id=thread_id or "",
            resource_id=resource_id or "",
            on_complete=on_complete,
            tool=tool.name if isinstance(tool, Tool) else text_of("a tool", tool),
            arguments=_plain("args", args),
            agent_id=agent_id or "",
            priority=priority,
            request_context=_plain("request_context", request_context),
        )
        if idempotency_key is None:
            task_id = str(self._ids.run_id())
        elif text_of("idempotency_key", idempotency_key):
            task_id = digest(b"enqueued", idempotency_key.encode())
        else:
            raise ValueError("an idempotency key is not empty")
        await self._obey(task_stream(task_id), request)
        return task_id

    async def cancel(self, task_id: str, reason: str = "", *, by: str = "") -> bool:
        """End a task that is not wanted any more, whatever it does. The same again is nothing.

        The run that has asked for it is told. What comes of an attempt all the same is recorded,
        and not applied.

        Returns:
            True when it is durable; False when it waits in the inbox, until there is an owner.

        Raises:
            AlreadyOver: it has ended otherwise.
            TaskNotFound, LogParked: nothing was written.
        """
        return (
            await self._obey(
                task_stream(task_id),
                CancelTaskRequest(reason=text_of("reason", reason), by=text_of("by", by)),
            )
            is None
        )

    async def retry(self, task_id: str, *, by: str = "") -> bool:
        """Try a task once more that has failed, timed out or was cancelled, or is quarantined.

        One that was over is queued again, with its history, the values of its steps, what people
        have answered, and its retries anew. What comes of it stands in the task, and is told to
        the hooks, and to the thread, as `on_complete` says; the run that has asked for it has gone
        on from the first end, and is not told. A task that goes on is left as it is.

        Returns:
            As `cancel`.

        Raises:
            AlreadyOver: it has succeeded, or was rejected.
            NotSuspended: it is blocked; what it needs is in its `error`.
            AgentNotFound, Refused: its agent or tool is not registered any more; or it is
                quarantined, and cannot be taken up now either.
            TaskNotFound, LogParked: nothing was written.
        """
        return (
            await self._obey(task_stream(task_id), RetryTaskRequest(by=text_of("by", by))) is None
        )

    async def resume(
        self, task_id: str, value: object = None, *, key: str | None = None, by: str = ""
    ) -> bool:
        """Answer what a task asks. When all is answered it is queued again, at its old place.

        Of a task in doubt, the value says what became of its attempt: `{"outcome": ...}`,
        `{"error": "..."}` or `{"retry": True}`. On a task that is queued or runs it changes
        nothing.

        Args:
            task_id: the task.
            value: the answer.
            key: which question; needed when there are several.
            by: who says so; recorded.

        Returns:
            As `cancel`.

        Raises:
            InvalidResumeValue: the answer does not fit, or the tool cannot have returned that;
                the task is still suspended.
            AlreadyResumed: it was answered before, otherwise.
            SuspensionNotFound, AmbiguousSuspension: no question of this name; or several.
            AlreadyOver, TaskNotFound, LogParked: nothing was written.
        """
        plain = to_plain(value)
        check_size(plain)
        request = ResumeTaskRequest(value=plain, key=text_or_none("key", key), by=text_of("by", by))
        return await self._obey(task_stream(task_id), request) is None


def _submitted(log: Inbox, stream: StreamId) -> TaskInfo | None:
    """Return what is known of a task that waits in the inbox; None if there is no such."""
    for command in log.submitted():
        if command.stream != stream:
            continue
        try:
            request = decode_request(command.data)
        except CorruptLog:
            continue  # Nobody can begin it.
        if isinstance(request, EnqueueRequest):
            return submitted_task(
                stream,
                tool=request.tool,
                arguments=request.arguments,
                agent_id=request.agent_id,
                priority=request.priority,
                submitted_at_ns=command.submitted_at_ns,
            )
    return None


def _plain(name: str, values: Mapping[str, object] | None) -> dict[str, Value]:
    if not isinstance(values, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} is a mapping, not {type(values).__name__}")
    if not values:
        return {}
    plain = cast("dict[str, Value]", to_plain(dict(values)))
    check_size(plain)
    return plain
