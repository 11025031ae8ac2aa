"""What the tests of a log fill it with, and how they look at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, TypeVar

from outlive.events import (
    Commit,
    Event,
    EventLog,
    ModelDelta,
    OpenEntry,
    Recorded,
    StreamId,
    Subscription,
    Version,
    run_stream,
)

A: Final = run_stream("a")
B: Final = run_stream("b")
C: Final = run_stream("c")
NONE: Final = Version(0)
RUNNING: Final = OpenEntry(kind="run", status="running", owes=True)
WAITING: Final = OpenEntry(kind="run", status="waiting", wake_at_ns=7, summary={"agent": "x"})

T = TypeVar("T")


class Ticks:
    """A clock that goes on by one with each look."""

    def __init__(self, start: int = 1_000) -> None:
        self._now = start

    def now_ns(self) -> int:
        self._now += 1
        return self._now

    def monotonic_ns(self) -> int:
        return self.now_ns()


def delta(*texts: str) -> list[Event]:
    """One event a text: the smallest ones there are."""
    return [ModelDelta(text=text) for text in texts]


def texts(found: Sequence[Recorded]) -> list[str]:
    """The texts of what was read."""
    return [one.event.text for one in found if isinstance(one.event, ModelDelta)]


def versions(found: Sequence[Recorded]) -> list[int]:
    """The versions of what was read."""
    return [one.version for one in found]


def run(work: Coroutine[object, object, T]) -> T:
    """Run `work` on a loop of its own; a test that waits for nothing fails after 20 s."""

    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(bounded())


async def take(subscription: Subscription[Recorded], count: int) -> list[Recorded]:
    """The next events of a subscription."""
    return [await anext(subscription) for _ in range(count)]


def note(order: list[int], number: int) -> Callable[[Commit], None]:
    """A callback that notes that it ran."""
    return lambda _: order.append(number)


class Filler:
    """Appends events of one text each, and knows the version."""

    def __init__(self, log: EventLog, stream: StreamId = A) -> None:
        self._log = log
        self._stream = stream
        self.version = log.version(stream)

    def append(self, *texts: str) -> Commit:
        commit = self._log.append(
            self._stream, delta(*texts), expected_version=Version(self.version)
        )
        self.version = Version(self.version + len(texts))
        return commit

    def numbered(self, count: int) -> None:
        """Append that many events, each with its version as its text; wait for the last."""
        last: Commit | None = None
        for _ in range(count):
            last = self.append(str(self.version + 1))
        if last is not None:
            last.result(20)
