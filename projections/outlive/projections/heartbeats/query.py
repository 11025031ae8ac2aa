"""Asking for heartbeats, in the process that owns the log and in any other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from outlive.events import (
    HeartbeatDeleted,
    HeartbeatNotFound,
    HeartbeatState,
    LogReader,
    Recorded,
    StreamId,
    heartbeat_stream,
)
from outlive.projections.heartbeats.fires import FirePage, read_fires
from outlive.projections.heartbeats.info import (
    HEARTBEAT_STATUSES,
    OPEN_STATUSES,
    HeartbeatInfo,
    HeartbeatPage,
    row_info,
)
from outlive.projections.heartbeats.view import LISTS, HeartbeatsView
from outlive.projections.lists import Catalogue, Order
from outlive.projections.to_the_end import Follow, follow_to_end
from outlive.projections.views.runner import Views


class HeartbeatsQuery:
    """What a log knows of its heartbeats. Ids are given as they were at `create`."""

    def __init__(
        self,
        log: LogReader,
        views: Views,
        *,
        id_of: Callable[[str], str],
        follow: Follow | None = None,
        begun: Callable[[StreamId], Awaitable[object]] | None = None,
        submitted: Callable[[StreamId], HeartbeatInfo | None] = lambda _: None,
    ) -> None:
        """Ask `views` of `log`.

        `id_of` makes an id of what is given for one, and `follow` stands in for that of the log.
        `begun` waits for a heartbeat whose creation is known, but not carried out, and
        `submitted` tells of such a one.
        """
        self._log = log
        self._id_of = id_of
        self._follow = follow
        self._begun = begun
        self._submitted = submitted
        self._heartbeats = Catalogue(
            log,
            views,
            LISTS,
            view=HeartbeatsView.name,
            statuses=HEARTBEAT_STATUSES,
            open_statuses=OPEN_STATUSES,
            hidden=("deleted",),
            tell=row_info,
        )

    def _stream(self, id: str) -> StreamId:
        """Return the stream of a heartbeat that exists. Raises HeartbeatNotFound, InvalidId."""
        stream = heartbeat_stream(self._id_of(id))
        if not self._log.version(stream):
            raise HeartbeatNotFound(self._id_of(id))
        return stream

    async def get(self, id: str) -> HeartbeatInfo:
        """Return what is known of a heartbeat, also of one that was deleted.

        Raises:
            HeartbeatNotFound: at once, when there is no such heartbeat.
            InvalidId: that can be no id.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        stream = heartbeat_stream(self._id_of(id))
        if not self._log.version(stream):
            waiting = self._submitted(stream)
            if waiting is not None:
                return waiting
        found = await self._heartbeats.get(self._stream(id))
        if found is None:
            raise HeartbeatNotFound(self._id_of(id))
        return found

    async def state(self, id: str) -> HeartbeatState:
        """Return a heartbeat's state, as the view has it.

        Raises:
            HeartbeatNotFound: at once, when there is no such heartbeat.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        row = await self._heartbeats.row(self._stream(id))
        return HeartbeatState() if row is None else row.state

    async def list(
        self,
        *,
        status: str | None = None,
        agent_id: str | None = None,
        tool: str | None = None,
        name: str | None = None,
        thread_id: str | None = None,
        resource_id: str | None = None,
        order: Order = "newest",
        limit: int = 50,
        cursor: str | None = None,
    ) -> HeartbeatPage:
        """Return heartbeats, those that were created last first.

        Args:
            status: only those that are `active`, `paused`, `blocked`, `quarantined`, `completed`
                or `deleted`. None: all but those that were deleted.
            agent_id, tool, name, thread_id, resource_id: only those of this one.
            order: which come first, the `newest` or the `oldest`.
            limit: 1 to 1,000.
            cursor: where to go on: the `cursor` of the page before, with the same filters.

        Raises:
            ValueError: an unknown status or order, a limit that is none.
            InvalidId: a filter that is no text, or empty.
            InvalidCursor: no page of this log has handed out this cursor.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        heartbeats, cursor = await self._heartbeats.list(
            status=status,
            fields={
                "agent_id": agent_id,
                "tool": tool,
                "name": name,
                "thread_id": thread_id,
                "resource_id": resource_id,
            },
            since=None,
            until=None,
            order=order,
            limit=limit,
            cursor=cursor,
        )
        return HeartbeatPage(heartbeats=heartbeats, cursor=cursor)

    async def fires(
        self,
        id: str,
        *,
        decision: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> FirePage:
        """Return what has become of the instants of a heartbeat, the last decisions first.

        Args:
            id: the heartbeat; it may have been deleted.
            decision: only those that were `fired`, `skipped`, `coalesced` or `missed`.
            limit: 1 to 1,000.
            cursor: where to go on: the `cursor` of the page before.

        Raises:
            HeartbeatNotFound: there is no such heartbeat.
            ValueError: a decision or a limit that is none.
            InvalidCursor: no page has handed out this cursor.
        """
        return await read_fires(
            self._log, self._stream(id), decision=decision, limit=limit, cursor=cursor
        )

    def observe(self, id: str, *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield a heartbeat's events beyond version `after`, then live, until it is deleted.

        Raises:
            InvalidId: that can be no id.
            HeartbeatNotFound: with the first event, when there is no such heartbeat.
            InvalidOffset: with the first event; `after` is beyond the head of the heartbeat,
                negative, or no whole number.
            LogClosed: the log was closed.
        """
        heartbeat_id = self._id_of(id)
        return follow_to_end(
            self._log,
            heartbeat_stream(heartbeat_id),
            (HeartbeatDeleted,),
            after=after,
            not_found=HeartbeatNotFound(heartbeat_id),
            follow=self._follow,
            begun=self._begun,
        )
