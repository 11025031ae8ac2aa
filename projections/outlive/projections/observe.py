"""Following one run: what it did so far, then live, until it is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, Literal

import msgspec

from outlive.events import (
    LogReader,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallStarted,
    ModelDelta,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunNotFound,
    RunSuspended,
    StreamId,
    run_stream,
)
from outlive.projections.to_the_end import Follow, follow_to_end

_ENDS: Final = (RunCompleted, RunFailed, RunCancelled)


class TextReset(msgspec.Struct, frozen=True):
    """What was yielded of this answer is void: it was cut off, and begins anew."""


def observe_run(
    log: LogReader,
    run_id: str,
    *,
    after: int = 0,
    until: Literal["end", "rest"] = "end",
    follow: Follow | None = None,
    begun: Callable[[StreamId], Awaitable[object]] | None = None,
) -> AsyncGenerator[Recorded, None]:
    """Yield a run's events beyond version `after`, in order, once, then live, until its end.

    With `until="rest"` also until it is suspended: until what it waits for a person to say is
    the last that the log has of it.

    Works in the owner's process and in any other, for running and finished runs alike. Any
    number may observe at the same time; leaving the loop touches nobody else. `follow` stands
    in for `log.follow`; `begun` waits for a run whose start is known, but not carried out.

    Raises:
        RunNotFound: at once, when there is no such run.
        InvalidOffset: `after` is beyond the head of the run, negative, or no whole number.
        LogClosed: the log was closed before the run was over.
    """
    if until not in ("end", "rest"):
        raise ValueError(f"until is 'end' or 'rest', not {until!r}")
    rests = until == "rest"
    return follow_to_end(
        log,
        run_stream(run_id),
        _ENDS,
        after=after,
        not_found=RunNotFound(run_id),
        resting="suspended" if rests else "",
        rests=(RunSuspended,) if rests else (),
        follow=follow,
        begun=begun,
    )


async def text_of(events: AsyncIterator[Recorded]) -> AsyncGenerator[str | TextReset, None]:
    """Yield the text of a run's answers as it comes in, from events of `observe_run`.

    When a crash cut an answer off, or its call failed and is made again, `TextReset` comes before
    it begins anew. Begin at the start of the run, or between two answers: of an answer that is
    joined in the middle, what was told before is guessed from the text.
    """
    told = ""
    async for recorded in events:
        match recorded.event:
            case ModelDelta(kind="text", text=text):
                told += text
                yield text
            case ModelAttemptAbandoned() | ModelCallStarted():  # a retry, if something was told
                if told:
                    yield TextReset()
                told = ""
            case ModelCallCompleted(text=text):
                # Who came in the middle of the answer has seen a part of it from there on.
                rest = text[max(text.find(told), 0) + len(told) :]
                if rest:
                    yield rest
                told = ""
            case _:
                pass
