"""Threads from outside: `Runtime.threads`. The same in every role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

from outlive.actors.agent import Agent
from outlive.actors.ids import Ids
from outlive.actors.run.submitted import ReleaseRequest
from outlive.actors.thread.submitted import (
    AppendRequest,
    CancelQueuedRequest,
    CreateThreadRequest,
    RenameThreadRequest,
    ThreadRequest,
)
from outlive.events import (
    AssistantMessage,
    ForkPoint,
    InvalidOffset,
    LogReader,
    Message,
    StreamId,
    ThreadNotFound,
    UserMessage,
    Value,
    thread_stream,
    to_plain,
)
from outlive.events.ids import stream_id
from outlive.events.run.parts import check_parts
from outlive.events.sizes import check_size
from outlive.projections import ThreadsQuery, Views
from outlive.projections.lists import check_text
from outlive.projections.to_the_end import Follow


class RuntimeThreads(ThreadsQuery):
    """Looks at threads, begins them, and says something on them."""

    def __init__(
        self,
        log: LogReader,
        views: Views,
        *,
        ids: Ids,
        obey: Callable[[StreamId, ThreadRequest | ReleaseRequest], Awaitable[object | None]],
        follow: Follow,
    ) -> None:
        super().__init__(log, views, follow=follow)
        self._ids = ids
        self._obey = obey

    async def create(
        self,
        *,
        resource_id: str,
        thread_id: str | None = None,
        agent: str | Agent | None = None,
        title: str = "",
        metadata: Mapping[str, object] | None = None,
    ) -> str:
        """Create a thread, and return its id once that is durable.

        With no owner up it waits in the inbox, and is there as soon as there is an owner.

        Args:
            resource_id: to whom it belongs: a user, a ticket, ...
            thread_id: makes it idempotent: the same again is the same thread. Drawn at random if
                left out.
            agent: who answers on it when nothing else is said; else the one that did last.
            title: for lists.
            metadata: JSON kept with the thread.

        Raises:
            ThreadExists: there is a thread with this id that was created otherwise.
            InvalidId, UnserialisableValue, EventTooLarge, LogParked: nothing was written.
        """
        check_text("resource_id", resource_id)
        agent_id = agent.id if isinstance(agent, Agent) else agent or ""
        if agent_id:
            stream_id("agent", agent_id)
        plain = cast("dict[str, Value]", to_plain(dict(metadata or {})))
        request = CreateThreadRequest(
            resource_id=resource_id, agent_id=agent_id, title=_text(title), metadata=plain
        )
        check_size(request)
        id = str(self._ids.run_id()) if thread_id is None else thread_id
        await self._obey(thread_stream(id), request)
        return id

    async def fork(
        self, thread_id: str, *, at: int | None = None, new_id: str | None = None, title: str = ""
    ) -> str:
        """Create a thread that begins with what was said on another one; return its id.

        What is said on either of them later is not said on the other. Its summary by then is taken
        along, if it has one (see `History`).

        Args:
            thread_id: the other one. Its resource, agent and metadata are those of the new one.
            at: the version of the last event that is taken over, as `messages` tells it; all of
                it if left out. A step whose tools had not all answered by then is left out.
            new_id: as `thread_id` of `create`.
            title: that of the other one if left out.

        Raises:
            ThreadNotFound: at once, when there is no such thread.
            InvalidOffset: `at` is beyond its head, negative, or no whole number.
            ThreadExists, InvalidId, EventTooLarge, LogParked: nothing was written.
        """
        info = await self.get(thread_id)
        version = info.version if at is None else at
        if type(version) is not int or not 0 <= version <= info.version:
            raise InvalidOffset(at, info.version)
        request = CreateThreadRequest(
            resource_id=info.resource_id,
            agent_id=info.agent_id or "",
            title=_text(title) or info.title,
            metadata=info.metadata,
            forked_from=ForkPoint(thread_id=thread_id, version=version),
        )
        id = str(self._ids.run_id()) if new_id is None else new_id
        await self._obey(thread_stream(id), request)
        return id

    async def append(
        self, thread_id: str, messages: Sequence[UserMessage | AssistantMessage]
    ) -> bool:
        """Keep what was said elsewhere: the next run on the thread sees it. Nobody answers.

        Args:
            thread_id: the thread.
            messages: of users and of assistants, without tool calls; in order.

        Returns:
            True when it is durable; False when it waits in the inbox, until there is an owner.

        Raises:
            ThreadNotFound: at once, when there is no such thread.
            TypeError, ValueError: no messages, or of another kind.
            UnserialisableValue, EventTooLarge, LogParked: nothing was written.
        """
        said: list[Message] = []
        for message in messages:
            match message:
                case UserMessage(text=str(), transient=False):
                    check_parts(message.parts)
                case AssistantMessage(text=str(), tool_calls=()):
                    to_plain(message.reasoning)
                case _:
                    raise TypeError(
                        "what is appended is what a user or an assistant has said, without tool "
                        f"calls, not {message!r:.80}"
                    )
            to_plain(message.text)
            said.append(message)
        if not said:
            raise ValueError("there is nothing to append")
        request = AppendRequest(messages=tuple(said))
        check_size(request)
        return await self._obey(thread_stream(thread_id), request) is None

    async def rename(self, thread_id: str, title: str) -> bool:
        """Give a thread another title. See `append` for what comes back.

        Raises:
            ThreadNotFound: at once, when there is no such thread.
            UnserialisableValue, LogParked: nothing was written.
        """
        request = RenameThreadRequest(title=_text(title))
        return await self._obey(thread_stream(thread_id), request) is None

    async def cancel_queued(
        self, thread_id: str, *run_ids: str, reason: str = "", by: str = ""
    ) -> bool:
        """Take back runs and signals that wait their turn; all of them if none are named.

        A run that was asked for is cancelled before it begins. See `append` for what comes back.

        Args:
            thread_id: the thread.
            run_ids: of runs, as `get` tells them in `queued`.
            reason: why; recorded.
            by: who says so; recorded.

        Raises:
            ThreadNotFound: at once, when there is no such thread.
            NotQueued: one of them does not wait; then none is taken back.
            LogParked: nothing was written.
        """
        stream = thread_stream(thread_id)
        if not self._log.version(stream):
            raise ThreadNotFound(thread_id)
        request = CancelQueuedRequest(run_ids=run_ids or None, reason=_text(reason), by=_text(by))
        return await self._obey(stream, request) is None

    async def release(self, thread_id: str) -> bool:
        """Try once more with a thread that is quarantined, now that its trouble may be over.

        It may end up in quarantine again. `get` tells the reason before. See `append` for what
        comes back.

        Raises:
            ThreadNotFound: at once, when there is no such thread.
            NotQuarantined: it is not quarantined; its `status` tells what it is.
            Refused: it cannot be taken up now either, with the reason; it stays as it is.
            LogParked: nothing was written.
        """
        return await self._obey(thread_stream(thread_id), ReleaseRequest()) is None


def _text(text: str) -> str:
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"text is meant, not {type(text).__name__}")
    to_plain(text)
    return text
