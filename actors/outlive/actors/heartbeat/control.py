"""Heartbeats from outside: `Runtime.heartbeats`. The same in every role."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final, Unpack

from outlive.actors.heartbeat.fields import HeartbeatFields
from outlive.actors.heartbeat.inputs import heartbeat_id, to_create, to_update
from outlive.actors.heartbeat.schedule import Schedule
from outlive.actors.heartbeat.settled import changed
from outlive.actors.heartbeat.submitted import (
    CreateHeartbeatRequest,
    DeleteHeartbeatRequest,
    HeartbeatRequest,
    PauseHeartbeatRequest,
    ResumeHeartbeatRequest,
    RunHeartbeatRequest,
    UpdateHeartbeatRequest,
)
from outlive.actors.ids import Ids
from outlive.actors.run.begun import Inbox, has_begun
from outlive.actors.run.submission import Obeyed, Submission
from outlive.actors.run.submitted import ReleaseRequest, decode_request
from outlive.actors.steering import text_of
from outlive.events import (
    Committed,
    CorruptLog,
    HeartbeatSettings,
    HeartbeatState,
    StreamId,
    heartbeat_stream,
)
from outlive.events.ids import id_of
from outlive.projections import HeartbeatInfo, HeartbeatsQuery, Views, heartbeat_info
from outlive.projections.heartbeats.info import row_info
from outlive.projections.heartbeats.view import begin_row, change_row
from outlive.projections.lists import check_limit, utc
from outlive.projections.to_the_end import Follow

_SHORT: Final = 32  # events of a heartbeat that are folded anew rather than asked of the view


class RuntimeHeartbeats(HeartbeatsQuery):
    """Looks at heartbeats, and steers them. Ids are given as they were at `create`."""

    def __init__(
        self,
        log: Inbox,
        views: Views,
        *,
        ids: Ids,
        obey: Callable[
            [StreamId, HeartbeatRequest | ReleaseRequest], Awaitable[Submission | Obeyed | None]
        ],
        follow: Follow,
    ) -> None:
        super().__init__(
            log,
            views,
            id_of=heartbeat_id,
            follow=follow,
            begun=partial(has_begun, log),
            submitted=partial(_submitted, log),
        )
        self._ids = ids
        self._obey = obey

    async def create(
        self, *, id: str | None = None, by: str = "", **fields: Unpack[HeartbeatFields]
    ) -> HeartbeatInfo:
        """Create a heartbeat, and return it once that is durable: it is due from here on.

        With no owner up that waits in the inbox, and the heartbeat's status is `submitted`.

        Args:
            id: what it is called: the prefix `hb_` is added if it is missing, and the rest made
                lower-case letters, digits, `_` and `-`. Drawn at random if left out.
            by: who says so; recorded.
            fields: see `HeartbeatFields`.

        Raises:
            HeartbeatExists: there is one of this id.
            AgentNotFound, ToolNotFound: what it is to do is not registered with the owner.
            InvalidHeartbeat, InvalidCron: a field that cannot hold, or it would never be due.
            ResourceIdRequired, ThreadlessOption: a thread without its resource, or what is about
                a thread without one.
            OtherResource: the thread belongs to another one.
            InvalidId: nothing is left of the id.
            LogParked: nothing was written.
        """
        changes = to_create(fields)
        stream = heartbeat_stream(heartbeat_id(self._ids.run_id() if id is None else id))
        request = CreateHeartbeatRequest(
            changes=changes, key=self._ids.command_id(), by=text_of("by", by)
        )
        told = await self._obey(stream, request)
        if isinstance(told, Submission):
            return _of_request(stream, request)
        if told is not None and told.committed is not None and told.committed.first_version == 1:
            return _begun(stream, told.state, told.committed)
        return await self._now(stream)

    async def update(
        self, id: str, *, by: str = "", **fields: Unpack[HeartbeatFields]
    ) -> HeartbeatInfo:
        """Have a heartbeat be otherwise; what is not said stays. Returns it once that is durable.

        One of `cron`, `every` and `at` takes the place of the others. When that, the time zone or
        the bounds change, it is due next by them, from now on. With no owner up the change
        waits in the inbox, and what is returned is the heartbeat as it was.

        Raises:
            HeartbeatNotFound: there is none, or it was deleted.
            AgentNotFound, ToolNotFound, InvalidHeartbeat, InvalidCron, LogParked: as `create`.
        """
        changes = to_update(fields)
        stream = heartbeat_stream(heartbeat_id(id))
        await self._obey(stream, UpdateHeartbeatRequest(changes=changes, by=text_of("by", by)))
        return await self._now(stream) if self._log.version(stream) else await self.get(id)

    async def pause(self, id: str, reason: str = "", *, by: str = "") -> bool:
        """Have a heartbeat not be due for the time being. What was fired goes on.

        Of one that is not active it changes nothing.

        Returns:
            True when it is durable; False when it waits in the inbox, until there is an owner.

        Raises:
            HeartbeatNotFound: there is none, or it was deleted.
            LogParked: nothing was written.
        """
        return await self._said(
            id, PauseHeartbeatRequest(reason=text_of("reason", reason), by=text_of("by", by))
        )

    async def resume(self, id: str, *, by: str = "") -> bool:
        """Have a heartbeat be due again, from now on: what has passed is not made up for.

        Of one that is active it changes nothing.

        Returns:
            As `pause`.

        Raises:
            AlreadyOver: it has completed.
            HeartbeatNotFound, LogParked: nothing was written.
        """
        return await self._said(id, ResumeHeartbeatRequest(by=text_of("by", by)))

    async def run(self, id: str, *, by: str = "") -> str:
        """Have a heartbeat fire now, whatever its schedule says, and also when it is paused.

        Returns once that is durable; with no owner up it waits in the inbox.

        Returns:
            The id of the run, or of the task of one that calls a tool. There is none if the
            function that prepares it says `SKIP`, or the thread that it tells needs no new run:
            `fires` tells.

        Raises:
            NotSuspended: it is blocked, or quarantined.
            HeartbeatNotFound, LogParked: nothing was written.
        """
        run_id = str(self._ids.run_id())
        await self._said(id, RunHeartbeatRequest(run_id=run_id, by=text_of("by", by)))
        return run_id

    async def delete(self, id: str, *, by: str = "") -> bool:
        """Have a heartbeat be no more. What was fired goes on, and its history stays readable.

        Of one that was deleted it changes nothing.

        Returns:
            As `pause`.

        Raises:
            HeartbeatNotFound, LogParked: nothing was written.
        """
        return await self._said(id, DeleteHeartbeatRequest(by=text_of("by", by)))

    async def release(self, id: str) -> bool:
        """Try once more with a heartbeat that is quarantined, now that its trouble may be over.

        It may end up in quarantine again. `get` tells the reason before. What was missed meanwhile
        is decided by `misfire`.

        Returns:
            As `pause`.

        Raises:
            NotQuarantined: it is not quarantined; its `status` tells what it is.
            Refused: it cannot be taken up now either, with the reason; it stays as it is.
            HeartbeatNotFound, LogParked: nothing was written.
        """
        return await self._said(id, ReleaseRequest())

    async def upcoming(self, id: str, n: int = 10) -> builtins.list[datetime]:
        """Return the next `n` instants, 1 to 1,000, at which a heartbeat fires, in UTC.

        As far as they are known now: there are none of one that is paused or over. Each is with
        the heartbeat's share of the jitter.

        Raises:
            HeartbeatNotFound: there is none.
            ValueError: `n` is none.
        """
        return await upcoming_of(self, id, n)

    async def _said(self, id: str, request: HeartbeatRequest | ReleaseRequest) -> bool:
        told = await self._obey(heartbeat_stream(heartbeat_id(id)), request)
        return not isinstance(told, Submission)

    async def _now(self, stream: StreamId) -> HeartbeatInfo:
        """Return a heartbeat as it is in the log now."""
        entry, saved, events = self._log.recall(stream, limit=_SHORT)
        if saved is not None or len(events) == _SHORT:
            return await self.get(id_of(stream))
        row = begin_row(events[0].recorded_at_ns, events[0].position)
        for recorded in events:
            change_row(row, recorded.event)
            row.updated_at_ns, row.version = recorded.recorded_at_ns, recorded.version
        return row_info(id_of(stream), row, entry)


def _begun(stream: StreamId, state: HeartbeatState, committed: Committed) -> HeartbeatInfo:
    """Return what is known of a heartbeat by its first commit: nothing has to be read for it."""
    row = begin_row(committed.recorded_at_ns, committed.position)
    row.state, row.status = state, state.status
    row.updated_at_ns, row.version = committed.recorded_at_ns, committed.last_version
    return row_info(id_of(stream), row, None)


def _submitted(log: Inbox, stream: StreamId) -> HeartbeatInfo | None:
    """Return what is known of a heartbeat whose creation is in the inbox; None if it is not."""
    for command in log.submitted():
        if command.stream == stream:
            try:
                request = decode_request(command.data)
            except CorruptLog:
                continue  # Nobody can create it.
            if isinstance(request, CreateHeartbeatRequest):
                return _of_request(stream, request)
    return None


def _of_request(stream: StreamId, request: CreateHeartbeatRequest) -> HeartbeatInfo:
    settings = changed(HeartbeatSettings(agent_id=""), request.changes)
    return heartbeat_info(id_of(stream), HeartbeatState(settings=settings), status="submitted")


async def upcoming_of(query: HeartbeatsQuery, id: str, n: int) -> list[datetime]:
    """Return when a heartbeat fires next. See `RuntimeHeartbeats.upcoming`."""
    check_limit(n)
    state = await query.state(id)
    if state.status != "active" or state.due_ns is None:
        return []
    settings = state.settings
    left = n if settings.max_fires is None else min(n, settings.max_fires - state.fired)
    schedule = Schedule(settings, state.anchor_ns)
    found: list[datetime] = []
    due_ns: int | None = state.due_ns
    while due_ns is not None and len(found) < left:
        found.append(utc(due_ns + state.spread_ns))
        due_ns = schedule.next(due_ns)
    return found
