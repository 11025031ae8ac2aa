"""One process of a simulation with the runtime in it, from start to death."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from outlive.actors import Runtime
from outlive.events import Clock, RunId
from outlive.testing._simulation.disk import Disk, SimulatedLog
from outlive.testing._simulation.loop import SimulationLoop
from outlive.testing._simulation.process import Process

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = [first + second for first in _LETTERS for second in _LETTERS]


class SeededIds:
    """Draws ids from a seed, as `RandomIds` looks."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def run_id(self) -> RunId:
        """Return a run id that was not drawn before."""
        return RunId(self._drawn())

    def command_id(self) -> str:
        """Return a command id that was not drawn before."""
        return f"command-{self._drawn()}"

    def _drawn(self) -> str:
        # Base 32, ten bits at a time: each run of a simulation has one.
        bits = int.from_bytes(self._random.randbytes(10), "big")
        return "".join([_PAIRS[bits >> shift & 1023] for shift in range(70, -1, -10)])


class Life:
    """A process, its log and its runtime. `opened` is set once it takes calls."""

    def __init__(
        self,
        process: Process,
        *,
        loop: SimulationLoop,
        disk: Disk,
        clock: Clock,
        make: Callable[[SimulatedLog], Runtime],
    ) -> None:
        self.process: Final = process
        self._loop = loop
        self.opened: Final[asyncio.Future[None]] = loop.create_future()
        self.log: Final = SimulatedLog(disk, self.process, loop, clock)
        self.runtime: Final = self.process.context.copy().run(make, self.log)
        self.ended = False  # it has lost the log, or was closed
        self._opening = loop.create_task(self._open(), context=self.process.context.copy())

    async def _open(self) -> None:
        try:
            await self.runtime.__aenter__()
        except BaseException as error:
            if not self.opened.done():
                self.opened.set_exception(error)
            raise
        if not self.opened.done():
            self.opened.set_result(None)

    async def close(self) -> None:
        """Close the runtime and the log, in good order; or return when the process dies of it."""
        closing = self._loop.create_task(self._close(), context=self.process.context.copy())
        waiter = self._loop.create_future()

        def wake(_: object = None) -> None:
            if not waiter.done():
                waiter.set_result(None)

        closing.add_done_callback(wake)
        self.process.when_dead(wake)
        await waiter
        if closing.done():
            closing.result()

    async def _close(self) -> None:
        await self.opened
        await self.runtime.close()
        self.log.close()

    @property
    def serves(self) -> bool:
        """Whether calls can be made to it, now or after a moment."""
        return self.process.alive and not self.process.frozen and not self.ended
