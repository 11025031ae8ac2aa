"""Asking for runs, in the process that owns the log and in any other."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import datetime

from outlive.events import LogReader, NewerFormat, RunId, RunNotFound, UnknownEvent, run_stream
from outlive.events.ids import id_of
from outlive.events.logger import get_logger
from outlive.projections.lists import Catalogue, check_limit
from outlive.projections.pending import Pending, pending_of
from outlive.projections.run_summary import read_run
from outlive.projections.runs.info import (
    OPEN_STATUSES,
    RUN_STATUSES,
    RunInfo,
    RunPage,
    run_info,
)
from outlive.projections.runs.view import LISTS, RunsView
from outlive.projections.tasks.pending import task_pending
from outlive.projections.views.runner import Views

_log = get_logger()


class RunsQuery:
    """What a log knows of its runs: one of them by its id, or lists of them.

    Answers hold all that was in the log when they were asked for, whoever wrote it. Which runs
    stand still, and why, is read from the log's open table.
    """

    def __init__(
        self,
        log: LogReader,
        views: Views,
        *,
        submitted: Callable[[RunId], RunInfo | None] = lambda _: None,
    ) -> None:
        """Ask `views` of `log`; `submitted` tells of a run whose start nobody has taken up yet."""
        self._log = log
        self._submitted = submitted
        self._runs = Catalogue(
            log,
            views,
            LISTS,
            view=RunsView.name,
            statuses=RUN_STATUSES,
            open_statuses=OPEN_STATUSES,
            tell=run_info,
        )

    async def get(self, run_id: str) -> RunInfo:
        """Return what is known of a run; of one that waits for an owner, what it was started with.

        Raises:
            RunNotFound: at once, when there is no such run.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        stream = run_stream(run_id)
        if not self._log.version(stream):
            waiting = self._submitted(RunId(run_id))
            if waiting is not None:
                return waiting
            if not self._log.version(stream):  # It may have begun just now.
                raise RunNotFound(run_id)
        found = await self._runs.get(stream)
        if found is None:
            raise RunNotFound(run_id)
        return found

    async def list(
        self,
        *,
        status: str | None = None,
        agent_id: str | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Return runs, those that started last first.

        Pages are stable: a run that starts meanwhile is on none of the pages that follow, and
        no run is on two of them. One whose status changes meanwhile may be on none of a list
        by status.

        Args:
            status: only runs that are `running`, `waiting`, `suspended`, `blocked`, `quarantined`,
                `completed`, `failed` or `cancelled`.
            agent_id, thread_id, resource_id: only runs of this agent, or on this thread, or on
                threads of this resource.
            since: only runs that started then or later. Times have a time zone.
            until: only runs that started before then.
            limit: 1 to 1,000 runs.
            cursor: where to go on: the `cursor` of the page before, with the same filters.

        Raises:
            ValueError: an unknown status, a time without a zone, a limit that is none.
            TypeError: a time that is none.
            InvalidId: an id that is no text, or empty.
            InvalidCursor: no page of this log has handed out this cursor.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        runs, cursor = await self._runs.list(
            status=status,
            fields={"agent_id": agent_id, "thread_id": thread_id, "resource_id": resource_id},
            since=since,
            until=until,
            order="newest",
            limit=limit,
            cursor=cursor,
        )
        return RunPage(runs=runs, cursor=cursor)

    async def pending(self, *, limit: int = 100) -> builtins.list[Pending]:
        """Return what waits for a person, in all runs and tasks: what began first comes first.

        What a background task waits for has its `task_id`. Of a run or task that waits for several
        things all are returned, so there may be a few more than `limit`. Answer them and ask again
        for the rest.

        What is quarantined takes no answer and is left out. So is what a later release wrote, and
        is logged as `pending_unreadable`: it keeps nobody from answering the others.

        Args:
            limit: 1 to 1,000.

        Raises:
            ValueError: a limit that is none.
            CorruptLog: what waits cannot be read.
        """
        check_limit(limit)
        found: builtins.list[Pending] = []
        for stream, entry in self._log.open_entries():
            if "waiting_for" not in entry.summary or entry.status == "quarantined":
                continue
            try:
                match entry.kind:
                    case "run":
                        run_id = id_of(stream)
                        found += pending_of(run_id, read_run(self._log, run_id))
                    case "task":
                        found += task_pending(self._log, stream)
                    case _:
                        continue
            except (NewerFormat, UnknownEvent) as error:
                # Its owner finds out when it next takes the stream up: until then the row says
                # that it waits.
                _log.warning("pending_unreadable", stream=stream, reason=str(error))
            if len(found) >= limit:
                break
        return found
