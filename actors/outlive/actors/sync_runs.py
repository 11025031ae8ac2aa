"""Asking for runs without an event loop."""

from __future__ import annotations

import builtins
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, Protocol, TypeVar

from outlive.projections import Pending, RunInfo, RunPage, RunsQuery

T = TypeVar("T")


class Await(Protocol):
    """Waits for a coroutine that runs on the runtime's loop."""

    def __call__(self, body: Coroutine[Any, Any, T], /) -> T:
        """Return what it returns."""
        ...


class SyncRunsQuery:
    """The same as `outlive.projections.RunsQuery`, without `await`."""

    def __init__(self, query: RunsQuery, wait_for: Await) -> None:
        self._query = query
        self._wait_for = wait_for

    def get(self, run_id: str) -> RunInfo:
        """Return what is known of a run. See `RunsQuery.get`."""
        return self._wait_for(self._query.get(run_id))

    def pending(self, *, limit: int = 100) -> builtins.list[Pending]:
        """Return what waits for a person. See `RunsQuery.pending`."""
        return self._wait_for(self._query.pending(limit=limit))

    def list(
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
        """Return runs, those that started last first. See `RunsQuery.list`."""
        return self._wait_for(
            self._query.list(
                status=status,
                agent_id=agent_id,
                thread_id=thread_id,
                resource_id=resource_id,
                since=since,
                until=until,
                limit=limit,
                cursor=cursor,
            )
        )
