"""Heartbeats for code without an event loop."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Unpack

from outlive.actors.heartbeat.control import RuntimeHeartbeats
from outlive.actors.heartbeat.fields import HeartbeatFields
from outlive.actors.sync_runs import Await
from outlive.events import Recorded
from outlive.projections import FirePage, HeartbeatInfo, HeartbeatPage
from outlive.projections.lists import Order


class SyncHeartbeats:
    """The same as `Runtime.heartbeats`, without `await`."""

    def __init__(
        self,
        heartbeats: RuntimeHeartbeats,
        wait_for: Await,
        iterate: Callable[[AsyncIterator[Recorded]], Iterator[Recorded]],
    ) -> None:
        self._heartbeats = heartbeats
        self._wait_for = wait_for
        self._iterate = iterate

    def create(
        self, *, id: str | None = None, by: str = "", **fields: Unpack[HeartbeatFields]
    ) -> HeartbeatInfo:
        """Create a heartbeat. See `RuntimeHeartbeats.create`."""
        return self._wait_for(self._heartbeats.create(id=id, by=by, **fields))

    def update(self, id: str, *, by: str = "", **fields: Unpack[HeartbeatFields]) -> HeartbeatInfo:
        """Have a heartbeat be otherwise. See `RuntimeHeartbeats.update`."""
        return self._wait_for(self._heartbeats.update(id, by=by, **fields))

    def get(self, id: str) -> HeartbeatInfo:
        """Return what is known of a heartbeat. See `HeartbeatsQuery.get`."""
        return self._wait_for(self._heartbeats.get(id))

    def list(
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
        """Return heartbeats in the order of their creation. See `HeartbeatsQuery.list`."""
        return self._wait_for(
            self._heartbeats.list(
                status=status,
                agent_id=agent_id,
                tool=tool,
                name=name,
                thread_id=thread_id,
                resource_id=resource_id,
                order=order,
                limit=limit,
                cursor=cursor,
            )
        )

    def pause(self, id: str, reason: str = "", *, by: str = "") -> bool:
        """Have a heartbeat not be due. See `RuntimeHeartbeats.pause`."""
        return self._wait_for(self._heartbeats.pause(id, reason, by=by))

    def resume(self, id: str, *, by: str = "") -> bool:
        """Have a heartbeat be due again. See `RuntimeHeartbeats.resume`."""
        return self._wait_for(self._heartbeats.resume(id, by=by))

    def run(self, id: str, *, by: str = "") -> str:
        """Have a heartbeat fire now. See `RuntimeHeartbeats.run`."""
        return self._wait_for(self._heartbeats.run(id, by=by))

    def delete(self, id: str, *, by: str = "") -> bool:
        """Have a heartbeat be no more. See `RuntimeHeartbeats.delete`."""
        return self._wait_for(self._heartbeats.delete(id, by=by))

    def release(self, id: str) -> bool:
        """Try once more with one that is quarantined. See `RuntimeHeartbeats.release`."""
        return self._wait_for(self._heartbeats.release(id))

    def fires(
        self,
        id: str,
        *,
        decision: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> FirePage:
        """Return what has become of its instants. See `HeartbeatsQuery.fires`."""
        return self._wait_for(
            self._heartbeats.fires(id, decision=decision, limit=limit, cursor=cursor)
        )

    def upcoming(self, id: str, n: int = 10) -> builtins.list[datetime]:
        """Return when it fires next. See `RuntimeHeartbeats.upcoming`."""
        return self._wait_for(self._heartbeats.upcoming(id, n))

    def observe(self, id: str, *, after: int = 0) -> Iterator[Recorded]:
        """Yield what happens to it, then live. See `HeartbeatsQuery.observe`."""
        return self._iterate(self._heartbeats.observe(id, after=after))
