"""Pages of a log, for views that catch up: each is read once, for all who are at its place.

One view at a time reads or folds a page, the one that is furthest behind: so views that began
at different places are soon at the same one, and the log is decoded for all of them once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Final, Protocol

from outlive.events import LogReader, Position, Record

_position_of: Final[Callable[[Record], Position]] = attrgetter("position")


class Follower(Protocol):
    """Who reads pages."""

    @property
    def at(self) -> Position:
        """How far it has got."""
        ...

    @property
    def waited_for(self) -> bool:
        """Whether it comes before the others."""
        ...


def _place(follower: Follower) -> tuple[bool, Position]:
    return not follower.waited_for, follower.at


class Pages:
    """The page that was read last, and whose turn it is. Belongs to the running event loop."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._after = Position(0)
        self._page: list[Record] = []
        self._taken = False
        self._waiting: dict[Follower, asyncio.Future[None]] = {}
        self._resting: asyncio.Future[None] | None = None

    @property
    def waited_for(self) -> bool:
        """Whether there is one who comes before the others and waits for its turn."""
        return any(follower.waited_for for follower in self._waiting)

    @asynccontextmanager
    async def turn(self, follower: Follower) -> AsyncGenerator[None]:
        """Come after who is waited for, and after who is further behind."""
        if self._taken:
            mine = self._waiting[follower] = asyncio.get_running_loop().create_future()
            try:
                await mine
            except BaseException:
                if self._waiting.pop(follower, None) is None:
                    self._pass_on()  # It had come to its turn already.
                raise
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.pop(min(self._waiting, key=_place)).set_result(None)
        else:
            self._taken = False
            self._page = []

    def comes_first(self, follower: Follower) -> bool:
        """Whether it is the turn of the one that has it for another page, too."""
        here = _place(follower)
        return all(_place(other) > here for other in self._waiting)

    def at_hand(self, after: Position) -> list[Record]:
        """Return what the last page has beyond a position that is in it."""
        page = self._page
        if not page or not self._after <= after < page[-1].position:
            return []
        return page[bisect_right(page, after, key=_position_of) :]

    def read(self, after: Position, limit: int) -> list[Record]:
        """Return what follows a position; empty at the end. From any thread, in one's turn."""
        self._page, self._after = [], after
        self._page = self._log.read_all(after=after, limit=limit)
        return self._page

    async def rest(self, seconds: float) -> None:
        """Wait, in one's turn, unless it is ended."""
        loop = asyncio.get_running_loop()
        self._resting = loop.create_future()
        timer = loop.call_later(seconds, self.end_rest)
        try:
            await self._resting
        finally:
            self._resting = None
            timer.cancel()

    def end_rest(self) -> None:
        """Let who rests go on."""
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)
