"""Asking for threads, in the process that owns the log and in any other."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final

from outlive.events import (
    InvalidOffset,
    LogReader,
    MessageAppended,
    Recorded,
    RunId,
    ThreadNotFound,
    Version,
    thread_stream,
)
from outlive.projections.lists import Catalogue, Order, check_limit, utc
from outlive.projections.threads.info import (
    THREAD_STATUSES,
    ThreadInfo,
    ThreadMessage,
    ThreadPage,
    thread_info,
)
from outlive.projections.threads.view import LISTS, ThreadsView
from outlive.projections.to_the_end import Follow, following
from outlive.projections.turn import let_others_go_on
from outlive.projections.views.runner import Views

_PAGE: Final = 256  # events, at least


class ThreadsQuery:
    """What a log knows of its threads: one by its id, lists, messages, events live.

    Answers hold all that was in the log when they were asked for, whoever wrote it.
    """

    def __init__(self, log: LogReader, views: Views, *, follow: Follow | None = None) -> None:
        """Ask `views` of `log`; `follow` stands in for that of the log."""
        self._log = log
        self._follow = follow or following(log)
        self._threads = Catalogue(
            log,
            views,
            LISTS,
            view=ThreadsView.name,
            statuses=THREAD_STATUSES,
            open_statuses=(),
            tell=thread_info,
        )

    async def get(self, thread_id: str) -> ThreadInfo:
        """Return what is known of a thread.

        Raises:
            ThreadNotFound: at once, when there is no such thread.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        self._require(thread_id)
        found = await self._threads.get(thread_stream(thread_id))
        if found is None:
            raise ThreadNotFound(thread_id)
        return found

    async def list(
        self,
        *,
        resource_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: Order = "newest",
        limit: int = 50,
        cursor: str | None = None,
    ) -> ThreadPage:
        """Return threads, in the order in which they were created.

        Pages are stable: no thread is on two of them.

        Args:
            resource_id: only those of this one.
            since: only threads that were created then or later. Times have a time zone.
            until: only threads that were created before then.
            order: which come first, the `newest` or the `oldest`.
            limit: 1 to 1,000 threads.
            cursor: where to go on: the `cursor` of the page before, with the same filters and
                order.

        Raises:
            ValueError: an unknown order, a time without a zone, a limit that is none.
            TypeError: a time that is none.
            InvalidId: a resource that is no text, or empty.
            InvalidCursor: no page of this log has handed out this cursor.
            ViewBehind, ViewFailed: the view cannot tell now.
        """
        threads, cursor = await self._threads.list(
            status=None,
            fields={"resource_id": resource_id},
            since=since,
            until=until,
            order=order,
            limit=limit,
            cursor=cursor,
        )
        return ThreadPage(threads=threads, cursor=cursor)

    async def messages(
        self, thread_id: str, *, after: int = 0, limit: int = 100
    ) -> builtins.list[ThreadMessage]:
        """Return what was said on a thread beyond version `after`, the oldest first.

        Args:
            thread_id: the thread.
            after: the `version` of the last message that was seen; 0: from the start.
            limit: 1 to 1,000 messages.

        Raises:
            ThreadNotFound: at once, when there is no such thread.
            InvalidOffset: `after` is beyond the head, negative, or no whole number.
            ValueError: a limit that is none.
        """
        check_limit(limit)
        head = self._require(thread_id)
        _check_after(after, head)
        stream, found = thread_stream(thread_id), builtins.list[ThreadMessage]()
        while after < head and len(found) < limit:
            page = self._log.read(stream, after=Version(after), limit=max(limit, _PAGE))
            if not page:
                break
            found += map(_message, (one for one in page if isinstance(one.event, MessageAppended)))
            after = page[-1].version
            await let_others_go_on()  # Much may happen on a thread on which nothing is said.
        return found[:limit]

    def observe(self, thread_id: str, *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Yield a thread's events beyond version `after`, in order, once, then live.

        A thread has no end: it goes on until the loop is left, or the log is closed.

        Raises:
            ThreadNotFound: with the first event, when there is no such thread.
            InvalidOffset: with the first event; `after` is beyond the head, negative, or no whole
                number.
            LogClosed: the log was closed.
        """
        return self._observe(thread_id, after)

    async def _observe(self, thread_id: str, after: int) -> AsyncGenerator[Recorded, None]:
        _check_after(after, self._require(thread_id))
        async with self._follow(thread_stream(thread_id), Version(after)) as subscription:
            async for recorded in subscription:
                yield recorded

    def _require(self, thread_id: str) -> Version:
        head = self._log.version(thread_stream(thread_id))
        if not head:
            raise ThreadNotFound(thread_id)
        return head


def _check_after(after: int, head: int) -> None:
    if type(after) is not int or not 0 <= after <= head:
        raise InvalidOffset(after, head)


def _message(recorded: Recorded) -> ThreadMessage:
    event = recorded.event
    assert isinstance(event, MessageAppended), "a message is appended"
    return ThreadMessage(
        version=recorded.version,
        at=utc(recorded.recorded_at_ns),
        message=event.message,
        run_id=RunId(event.run_id) if event.run_id else None,
    )
