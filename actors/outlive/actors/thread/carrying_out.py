"""From a request to the command that carries it out."""

from __future__ import annotations

from typing import assert_never

from outlive.actors.thread.commands import (
    NOTHING_SAID,
    AppendMessages,
    AskRun,
    CancelQueued,
    Copied,
    CreateThread,
    RenameThread,
    SendSignal,
    ThreadCommand,
)
from outlive.actors.thread.moment import NOTHING_SPECIAL, Moment
from outlive.actors.thread.submitted import (
    AppendRequest,
    AskRunRequest,
    CancelQueuedRequest,
    CreateThreadRequest,
    RenameThreadRequest,
    SignalRequest,
    ThreadRequest,
)


def thread_command(
    thread_id: str,
    request: ThreadRequest,
    *,
    now_ns: int,
    moment: Moment = NOTHING_SPECIAL,
    copied: Copied = NOTHING_SAID,
) -> ThreadCommand:
    """Return the command that carries out a request.

    Args:
        thread_id: the thread.
        request: what is asked of it.
        now_ns: when.
        moment: what the run does that is active on it.
        copied: what was said on the thread that it is forked from.
    """
    match request:
        case CreateThreadRequest():
            return CreateThread(
                thread_id=thread_id,
                resource_id=request.resource_id,
                agent_id=request.agent_id,
                title=request.title,
                metadata=request.metadata,
                forked_from=request.forked_from,
                copied=copied,
            )
        case RenameThreadRequest():
            return RenameThread(thread_id=thread_id, title=request.title)
        case AppendRequest():
            return AppendMessages(thread_id=thread_id, messages=request.messages)
        case AskRunRequest():
            return AskRun(
                thread_id=thread_id,
                resource_id=request.resource_id,
                run_id=request.run_id,
                wish=request.wish,
                on_busy=request.on_busy,
                now_ns=now_ns,
            )
        case SignalRequest():
            return SendSignal(
                thread_id=thread_id,
                resource_id=request.resource_id,
                signal_id=request.signal_id,
                signal=request.signal,
                if_active=request.if_active,
                if_idle=request.if_idle,
                run_id=request.run_id,
                agent_id=request.agent_id,
                after=request.after,
                suspended=moment.suspended,
                unread=moment.unread,
                expires_at_ns=request.expires_at_ns,
                now_ns=now_ns,
            )
        case CancelQueuedRequest():
            return CancelQueued(
                thread_id=thread_id,
                run_ids=request.run_ids,
                reason=request.reason,
                by=request.by,
            )
        case _:
            assert_never(request)
