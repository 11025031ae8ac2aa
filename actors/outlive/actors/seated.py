"""Whether a runtime is open, and what it may do from where it is called."""

from __future__ import annotations

import asyncio
from typing import Literal

from outlive.actors.run.submission import Obeyed, Submission
from outlive.actors.run.submitted import Request, checked_request
from outlive.actors.seat import Seat
from outlive.events import LogClosed, LogError, LogReader, OutliveError, StreamId
from outlive.events.forks import Birthplace


class Seated:
    """The part of a runtime that has a seat on a log, in one process and on one event loop."""

    _loop: asyncio.AbstractEventLoop  # Both are there once it was entered.
    _entered_in: Birthplace

    def __init__(self) -> None:
        self._seat: Seat | None = None

    @property
    def _open(self) -> Seat:
        if self._seat is None:
            raise LogClosed("the runtime is not open: use it in `async with`")
        self._entered_in.check("the runtime")
        return self._seat

    @property
    def _here(self) -> Seat:
        """The seat, for what is done with actors: on their own event loop, or not at all."""
        seat = self._open
        self._check_loop()
        return seat

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise OutliveError(
                "this runtime lives on another event loop: use it there (from here by "
                "asyncio.run_coroutine_threadsafe), or use SyncRuntime"
            )

    @property
    def log(self) -> LogReader:
        """The log of this runtime. Raises LogClosed unless the runtime is open."""
        return self._open.side.log

    @property
    def role(self) -> Literal["owner", "visitor"]:
        """What this process is at this moment. Raises LogClosed unless the runtime is open."""
        return self._open.role

    async def _obey(self, stream: StreamId, request: Request) -> Submission | None:
        """Have a request carried out, by whoever owns the log; None once that is durable."""
        told = await self._have_obeyed(stream, request)
        return told if isinstance(told, Submission) else None

    async def _have_obeyed(self, stream: StreamId, request: Request) -> Submission | Obeyed | None:
        """Have a request carried out, and return what came of it if it was in this process."""
        request, side = checked_request(request), self._here.side
        while True:
            try:
                return await side.obey(stream, request)
            except LogError as error:
                side = await self._open.after(side, error)
