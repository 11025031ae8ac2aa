"""Asking for tasks, in the process that owns the log and in any other."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from functools import partial

from outlive.events import (
    LogReader,
    OutliveError,
    Position,
    Recorded,
    RunNotFound,
    StreamId,
    Subscription,
    TaskNotFound,
    ThreadNotFound,
    Version,
    run_stream,
    task_stream,
    thread_stream,
)
from outlive.projections.lists import Catalogue, Order, check_text
from outlive.projections.run_summary import STANDING_STILL
from outlive.projections.tasks.fold import task_info
from outlive.projections.tasks.info import (
    OPEN_STATUSES,
    TASK_STATUSES,
    TaskInfo,
    TaskPage,
    task_summary,
)
from outlive.projections.tasks.observe import (
    Begun,
    FollowAll,
    belongs,
    check_position,
    observe_all,
    observe_task,
)
from outlive.projections.tasks.standing import StandingWatch, row_stands_still
from outlive.projections.tasks.view import LISTS, TaskRow, TasksView
from outlive.projections.to_the_end import Follow, following
from outlive.projections.views.runner import Views


class _StandsStill(OutliveError):
    """Ends the waiting for a task."""


class TasksQuery:
    """What a log knows of its background tasks: one by its id, lists, results, events live.

    Answers hold all that was in the log when they were asked for, whoever wrote it.
    """

    def __init__(
        self,
        log: LogReader,
        views: Views,
        *,
        follow: Follow | None = None,
        follow_all: FollowAll | None = None,
        begun: Callable[[StreamId], Awaitable[object]] | None = None,
        submitted: Callable[[StreamId], TaskInfo | None] = lambda _: None,
        stands_still: Callable[[StreamId], bool] | None = None,
        standing: StandingWatch | None = None,
    ) -> None:
        """Ask `views` of `log`.

        `follow` and `follow_all` stand in for those of the log. `begun` waits for a run or task
        whose beginning is known, but not carried out, and `submitted` tells of such a task.
        `stands_still` says so of a task, and `standing` tells of those that come to it.
        """
        self._log = log
        self._follow = follow
        self._follow_all = follow_all
        self._begun = begun
        self._submitted = submitted
        self._stands_still = stands_still or partial(row_stands_still, log)
        self._standing = standing or StandingWatch(self._stands_still)
        self._tasks = Catalogue(
            log,
            views,
            LISTS,
            view=TasksView.name,
            statuses=TASK_STATUSES,
            open_statuses=OPEN_STATUSES,
            tell=task_summary,
        )

    async def get(self, task_id: str) -> TaskInfo:
        """Return all that is known of a task, with its attempts.

        One that was enqueued while no owner is up has the status `submitted` until one is.

        Raises:
            TaskNotFound: at once, when there is no such task.
        """
        stream = task_stream(task_id)
        if not self._log.version(stream):
            waits = self._submitted(stream)
            if waits is not None:
                return waits
        return task_info(self._log, task_id)

    async def list(
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
        """Return tasks that are all of what is asked for, in the order in which they were queued.

        Pages are stable: with the newest first, a task that is queued meanwhile is on none of
        the pages that follow; with the oldest first it comes last. No task is on two pages. One
        whose status changes meanwhile may be on none of a list by status.

        Args:
            status: only tasks that are `queued`, `running`, `suspended`, `blocked`,
                `quarantined`, `succeeded`, `failed`, `timed_out`, `cancelled` or `rejected`.
            agent_id, tool, run_id, thread_id, resource_id: only tasks of this one.
            since: only tasks that were queued then or later. Times have a time zone.
            until: only tasks that were queued before then.
            order: which come first, the `newest` or the `oldest`.
            limit: 1 to 1,000 tasks.
            cursor: where to go on: the `cursor` of the page before, with the same filters and
                order.

        Raises:
            ValueError: an unknown status or order, a time without a zone, a limit that is none.
            TypeError: a time that is none.
            InvalidId: an id that is no text, or empty.
            InvalidCursor: no page of this log has handed out this cursor.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        fields = {
            "agent_id": agent_id,
            "tool": tool,
            "run_id": run_id,
            "thread_id": thread_id,
            "resource_id": resource_id,
        }
        tasks, cursor = await self._tasks.list(
            status=status,
            fields=fields,
            since=since,
            until=until,
            order=order,
            limit=limit,
            cursor=cursor,
        )
        return TaskPage(tasks=tasks, cursor=cursor)

    async def wait(
        self, ids: str | Sequence[str], *, timeout: float | None = None
    ) -> builtins.list[TaskInfo]:
        """Wait until these tasks are over; return what became of them, in this order.

        One that is `blocked` or `quarantined` is not waited for: it does not go on by itself. One
        that is suspended is: a person will answer.

        Raises:
            TaskNotFound: at once, when one of them does not exist.
            TimeoutError: they are not all over within `timeout` seconds; they go on.
            TypeError: `ids` are no ids, or `timeout` is no number.
            LogClosed: the log was closed first.
        """
        if not isinstance(ids, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"ids are a list of ids, not of type {type(ids).__name__}")
        if not isinstance(timeout, int | float | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a timeout is in seconds, not of type {type(timeout).__name__}")
        task_ids = [ids] if isinstance(ids, str) else builtins.list(ids)
        for task_id in task_ids:
            stream = task_stream(task_id)
            if not self._log.version(stream) and self._submitted(stream) is None:
                raise TaskNotFound(task_id)
        async with asyncio.timeout(timeout):
            while True:
                for task_id in task_ids:
                    await self._until_it_rests(task_id)
                found = [await self.get(task_id) for task_id in task_ids]
                if all(task.over or task.status in STANDING_STILL for task in found):
                    return found

    async def _until_it_rests(self, task_id: str) -> None:
        """Return when a task is over, or stands still."""
        stream = task_stream(task_id)
        follow = self._follow or following(self._log)
        live: list[Subscription[Recorded]] = []

        def end() -> None:
            for subscription in live:
                subscription.end(_StandsStill())

        def follow_while_it_goes_on(stream: StreamId, after: Version) -> Subscription[Recorded]:
            live.append(follow(stream, after))
            if self._stands_still(stream):
                end()
            return live[0]

        events = observe_task(
            self._log,
            task_id,
            after=self._log.version(stream),
            follow=follow_while_it_goes_on,
            begun=self._begun,
        )
        with self._standing.of(stream, end), suppress(_StandsStill):
            async with aclosing(events):
                async for _ in events:
                    pass

    def observe(
        self,
        id: str | None = None,
        *,
        agent_id: str | None = None,
        thread_id: str | None = None,
        run_id: str | None = None,
        after: int = 0,
    ) -> AsyncGenerator[Recorded, None]:
        """Yield what happened in one task, or in all tasks of an agent, thread or run, then live.

        Of one task: its events beyond version `after`, until it is over. Of several: the events
        of all of them beyond position `after` of the log, in order of position, and then for as
        long as the log is open, of tasks that are queued later too. Go on where you were with
        the `version`, or the `position`, of the last event that you have dealt with; a commit
        may have several events of the same position, so deal with all of them first.

        Raises:
            ValueError: not one of the four was said, or several were.
            InvalidId: an id that can name nothing.
            TaskNotFound, RunNotFound, ThreadNotFound: with the first event, when there is no such
                task, run or thread. An agent without tasks is waited for.
            InvalidOffset: with the first event; `after` is beyond the head of the task or log,
                negative, or no whole number.
            ViewBehind, ViewFailed: of several; the view cannot tell now.
            LogClosed: the log was closed.
        """
        asked = {"id": id, "agent_id": agent_id, "thread_id": thread_id, "run_id": run_id}
        said = {name: value for name, value in asked.items() if value is not None}
        if len(said) != 1:
            raise ValueError(f"say one of {', '.join(asked)}, not {len(said)} of them")
        ((name, value),) = said.items()
        if name == "id":
            return self._observe_one(value, after)
        check_text(name, value)
        return self._observe_all(name, value, after)

    def _observe_one(self, task_id: str, after: int) -> AsyncGenerator[Recorded, None]:
        return observe_task(self._log, task_id, after=after, follow=self._follow, begun=self._begun)

    async def _observe_all(
        self, name: str, value: str, after: int
    ) -> AsyncGenerator[Recorded, None]:
        log = self._log
        if name == "run_id":
            await self._require(run_stream(value), RunNotFound(value))
        elif name == "thread_id":
            await self._require(thread_stream(value), ThreadNotFound(value))
        head = check_position(log, after)

        def begun(task_id: str, row: TaskRow) -> Begun | None:
            """Return where to find a task that something has happened in since."""
            if row.position <= after or row.first_position > head:
                return None
            return Begun(Position(row.first_position), task_stream(task_id))

        there = await self._tasks.each({name: value}, begun) if after < head else []
        events = observe_all(
            log,
            there,
            belongs(log, name, value),
            after=Position(after),
            head=head,
            follow_all=self._follow_all,
        )
        async with aclosing(events):
            async for recorded in events:
                yield recorded

    async def _require(self, stream: StreamId, not_found: OutliveError) -> None:
        if self._begun is not None:
            await self._begun(stream)
        if not self._log.version(stream):
            raise not_found
