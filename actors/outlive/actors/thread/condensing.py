"""Condensing what falls out of what runs on a thread see, before the next one begins.

It happens while the message is packed by which a run begins, so it is owed for as long as that
is. What it comes to is an event of the thread, and the run is told which: however often a process
dies from then on, nothing is condensed again, and the run sees the same. A run that is to be
cancelled does not wait for it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from outlive.actors.agent import Agent
from outlive.actors.history import History
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture
from outlive.actors.patience import within
from outlive.actors.run.model_call import failure
from outlive.actors.summaries import Summary, ToSummarize, summary_of
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.commands import CondenseHistory
from outlive.events import Failure, ThreadRunCancelled, ToolMessage, thread_stream
from outlive.events.logger import get_logger
from outlive.projections.threads.history import (
    Said,
    SinceSummary,
    since_summary,
    summary_message,
    tokens_of,
)

PATIENCE_S: Final = 120.0
"""A run begins without a summary that takes longer."""
MOST_AT_ONCE: Final = 400
MOST_TOKENS_AT_ONCE: Final = 50_000
"""What is longer is condensed in several steps, each recorded."""
_log: Final = get_logger()


def falls_out(history: History, since: SinceSummary) -> list[Said]:
    """Return what is to be condensed next, the oldest first; nothing if all of it is seen.

    Pure. The last half of the bounds stays as it is, so that this is not so for each run; an
    answer of a tool does not stay without its call.
    """
    said, most, tokens = since.said, history.max_messages, history.max_tokens
    half = history.summary_tokens
    if tokens is not None and half is not None and since.version:
        tokens = max(tokens - tokens_of(summary_message(since.text)), 0)
        half = min(half, tokens)  # That of another agent may leave less room.
    if _fit(said, most, tokens) == len(said):
        return []
    kept = _fit(said, None if most is None else most // 2, half)
    upto = len(said) - kept
    while upto < len(said) and isinstance(said[upto].message, ToolMessage):
        upto += 1
    size = 0
    for number, one in enumerate(said[:upto]):
        size += tokens_of(one.message)
        if number and (number >= MOST_AT_ONCE or size > MOST_TOKENS_AT_ONCE):
            return said[:number]
    return said[:upto]


def _fit(said: list[Said], most: int | None, tokens: int | None) -> int:
    """Return how many of the last messages are within the bounds."""
    count = 0
    for one in reversed(said):
        if tokens is not None:
            tokens -= tokens_of(one.message)
        if (most is not None and count >= most) or (tokens is not None and tokens < 0):
            break
        count += 1
    return count


class Condenser:
    """Condenses one thread. Belongs to the loop."""

    def __init__(self, thread_id: str, surroundings: Surroundings) -> None:
        self._thread_id = thread_id
        self._all = surroundings
        self._asking: dict[str, asyncio.Task[Summary]] = {}  # by run

    def cancelled(self, run_id: str) -> None:
        """Nobody waits any more for what a run would see: it is to be cancelled."""
        asking = self._asking.get(run_id)
        if asking is not None:
            asking.cancel()

    async def summary_for(
        self, agent: Agent, run_id: str, *, resource_id: str, until: int
    ) -> int | ThreadRunCancelled:
        """Return the version of the event with what a run sees first; 0 if there is none.

        Or that it was cancelled meanwhile: then it need not see anything.

        Args:
            agent: that of the run.
            run_id: the run, which is about to begin.
            resource_id: to whom the thread belongs.
            until: the run sees nothing beyond this version.

        Raises:
            LogError: the thread cannot be read.
            MailboxClosed: it takes no commands now.
        """
        gave_up, since = False, None
        while True:
            since = since_summary(self._all.log, self._thread_id, until, known=since)
            if run_id in since.cancelled:
                return since.cancelled[run_id]
            part = falls_out(agent.history, since)
            if not part or gave_up:
                return since.version
            asked = ToSummarize(
                thread_id=self._thread_id,
                resource_id=resource_id,
                agent_id=agent.id,
                run_id=run_id,
                summary=since.text,
                messages=tuple(one.message for one in part),
                max_tokens=agent.history.summary_tokens,
            )
            found = await self._ask(agent.history, asked)
            if found is not None:
                await self._record(run_id, part, found)
            gave_up = not isinstance(found, Summary)

    async def _ask(self, history: History, asked: ToSummarize) -> Summary | Failure | None:
        """Return the summary, or why there is none; None if nobody waits for it any more."""
        assert history.summarize is not None, "something condenses"
        body = partial(summary_of, history.summarize, asked)
        loop = asyncio.get_running_loop()
        task = self._asking[asked.run_id] = loop.create_task(within(PATIENCE_S, body))
        try:
            return await task
        except asyncio.CancelledError:
            ours = asyncio.current_task()
            if ours is not None and ours.cancelling():
                raise
            return None
        except Exception as error:  # noqa: BLE001  # a function's end is not the thread's
            _log.error("summary_failed", stream=thread_stream(self._thread_id), error=told(error))
            return failure("error", error)
        finally:
            del self._asking[asked.run_id]

    async def _record(self, run_id: str, part: list[Said], found: Summary | Failure) -> None:
        summary, error = (Summary(""), found) if isinstance(found, Failure) else (found, None)
        command = CondenseHistory(
            run_id=run_id,
            upto=part[-1].version,
            messages=len(part),
            text=summary.text,
            usage=summary.usage,
            error=error,
        )
        reply: LoopFuture[object] = LoopFuture()
        self._all.post.send(thread_stream(self._thread_id), command, reply=reply)
        await reply
