"""Threads for code without an event loop."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime

from outlive.actors.agent import Agent
from outlive.actors.sync_runs import Await
from outlive.actors.thread.control import RuntimeThreads
from outlive.events import AssistantMessage, Recorded, UserMessage
from outlive.projections import ThreadInfo, ThreadMessage, ThreadPage
from outlive.projections.lists import Order


class SyncThreads:
    """The same as `Runtime.threads`, without `await`."""

    def __init__(
        self,
        threads: RuntimeThreads,
        wait_for: Await,
        iterate: Callable[[AsyncIterator[Recorded]], Iterator[Recorded]],
    ) -> None:
        self._threads = threads
        self._wait_for = wait_for
        self._iterate = iterate

    def create(
        self,
        *,
        resource_id: str,
        thread_id: str | None = None,
        agent: str | Agent | None = None,
        title: str = "",
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """Create a thread, and return its id. See `RuntimeThreads.create`."""
        return self._wait_for(
            self._threads.create(
                resource_id=resource_id,
                thread_id=thread_id,
                agent=agent,
                title=title,
                metadata=metadata,
            )
        )

    def get(self, thread_id: str) -> ThreadInfo:
        """Return what is known of a thread. See `ThreadsQuery.get`."""
        return self._wait_for(self._threads.get(thread_id))

    def list(
        self,
        *,
        resource_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: Order = "newest",
        limit: int = 50,
        cursor: str | None = None,
    ) -> ThreadPage:
        """Return threads in the order in which they were created. See `ThreadsQuery.list`."""
        return self._wait_for(
            self._threads.list(
                resource_id=resource_id,
                since=since,
                until=until,
                order=order,
                limit=limit,
                cursor=cursor,
            )
        )

    def messages(
        self, thread_id: str, *, after: int = 0, limit: int = 100
    ) -> builtins.list[ThreadMessage]:
        """Return what was said on a thread. See `ThreadsQuery.messages`."""
        return self._wait_for(self._threads.messages(thread_id, after=after, limit=limit))

    def observe(self, thread_id: str, *, after: int = 0) -> Iterator[Recorded]:
        """Yield a thread's events, then live. See `ThreadsQuery.observe`."""
        return self._iterate(self._threads.observe(thread_id, after=after))

    def append(self, thread_id: str, messages: Sequence[UserMessage | AssistantMessage]) -> bool:
        """Keep what was said elsewhere. See `RuntimeThreads.append`."""
        return self._wait_for(self._threads.append(thread_id, messages))

    def rename(self, thread_id: str, title: str) -> bool:
        """Give a thread another title. See `RuntimeThreads.rename`."""
        return self._wait_for(self._threads.rename(thread_id, title))

    def fork(
        self, thread_id: str, *, at: int | None = None, new_id: str | None = None, title: str = ""
    ) -> str:
        """Create a thread that begins as another one. See `RuntimeThreads.fork`."""
        return self._wait_for(self._threads.fork(thread_id, at=at, new_id=new_id, title=title))

    def cancel_queued(self, thread_id: str, *run_ids: str, reason: str = "", by: str = "") -> bool:
        """Take back what waits its turn. See `RuntimeThreads.cancel_queued`."""
        return self._wait_for(
            self._threads.cancel_queued(thread_id, *run_ids, reason=reason, by=by)
        )

    def release(self, thread_id: str) -> bool:
        """Try once more with one that is quarantined. See `RuntimeThreads.release`."""
        return self._wait_for(self._threads.release(thread_id))
