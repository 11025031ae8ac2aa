"""The processes of a simulation, one after the other: they start, die, freeze and go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Final

from outlive.actors import Runtime
from outlive.events import LogError
from outlive.testing._simulation.clock import SimulatedClock
from outlive.testing._simulation.disk import Disk, SimulatedLog
from outlive.testing._simulation.life import Life
from outlive.testing._simulation.loop import SimulationLoop
from outlive.testing._simulation.points import Fate, Points
from outlive.testing._simulation.process import Process

_LOOK_AFTER_S: Final = 0.1
"""Seconds after which a process that goes on finds out that it is the owner no more."""


class Processes:
    """Sees to it that a process serves, as a supervisor would.

    One that dies is followed by the next one, `restart_after` seconds later; so is one that
    freezes, which goes on after a while, and finds that it is the log's owner no more.
    """

    def __init__(
        self,
        loop: SimulationLoop,
        *,
        disk: Disk,
        clock: SimulatedClock,
        points: Points,
        make: Callable[[SimulatedLog], Runtime],
        restart_after: float,
    ) -> None:
        self._loop = loop
        self._disk = disk
        self._clock = clock
        self._points = points
        self._make = make
        self._restart_after = restart_after
        self._lives: list[Life] = []  # that are not over, and the newest one
        self._begun = 0
        self._context: Final = copy_context()
        self._booting = False
        self._stopping = False  # a process is being closed: the next one starts after that
        self.deaths = 0
        self.over = False
        points.meet = self._meet

    @property
    def outside(self) -> Context:
        """A context in which no process is."""
        return self._context.copy()

    @property
    def life(self) -> Life | None:
        """The process that serves now, with its runtime; None while there is none."""
        newest = self._lives[-1] if self._lives else None
        return newest if newest is not None and newest.serves else None

    def runtime(self) -> Runtime | None:
        """Return the runtime that takes calls now, if there is one."""
        life = self.life
        opened = life is not None and life.opened.done() and not life.opened.exception()
        return life.runtime if life is not None and opened else None

    async def up(self) -> Life:
        """Return the process that serves, once it does."""
        while True:
            life = self.life
            if self.over:
                await self._loop.create_future()  # There will be none any more.
            if life is None:
                if not self._booting and not self._stopping:
                    self._boot()
                    continue
                await asyncio.sleep(self._restart_after)
                continue
            if life.opened.done():
                life.opened.result()
                return life
            waiter = self._loop.create_future()

            def wake(_: object = None, waiter: asyncio.Future[None] = waiter) -> None:
                if not waiter.done():
                    waiter.set_result(None)

            life.opened.add_done_callback(wake)
            life.process.when_dead(wake)
            await waiter

    def _boot(self) -> None:
        """Start the next process."""
        self._booting = False
        if self.life is not None or self._stopping or self.over:
            return
        self._begun += 1
        life = Life(
            Process(self._begun, self._points),
            loop=self._loop,
            disk=self._disk,
            clock=self._clock,
            make=self._make,
        )
        life.log.on_failure(lambda error: self._lost(life, error))
        self._lives = [*(one for one in self._lives if one.process.alive), life]

    def _boot_later(self) -> None:
        if not self._booting and not self.over:
            self._booting = True
            # Scheduled from within a process that dies, it must not die with it.
            self._loop.call_later(self._restart_after, self._boot, context=self.outside)

    def _meet(self, process: Process, fate: Fate) -> None:
        """A process has come to a point that was chosen for it."""
        if fate == "kill":
            self._kill(process)
        else:
            process.frozen = True
            self._boot_later()
            self._loop.call_later(
                20 * self._restart_after, self._thaw, process, context=self.outside
            )

    def _thaw(self, process: Process) -> None:
        self._loop.thaw(process)
        for life in self._lives:
            if life.process is process:
                # As the thread does that keeps an owner's lease.
                context = process.context.copy()
                self._loop.call_later(_LOOK_AFTER_S, life.log.look_who_owns_it, context=context)

    def _kill(self, process: Process) -> None:
        self.deaths += 1
        self._end(process)
        self._boot_later()

    def _lost(self, life: Life, error: LogError) -> None:
        """A process cannot write its log any more: it is fenced, or its disk has failed."""
        life.ended = True
        if life is self._lives[-1]:
            self._kill(life.process)  # A supervisor would restart it.
        else:  # One that was frozen: it has a while to do what it must not.
            self._loop.call_later(
                20 * self._restart_after, self._give_way, life.process, context=self.outside
            )

    def _give_way(self, process: Process) -> None:
        if process.alive:
            self._end(process)

    def _end(self, process: Process) -> None:
        self._loop.bury(process)
        process.die()

    def kill(self) -> None:
        """Kill those that are alive, as SIGKILL does; another one starts after a while."""
        for life in self._lives:
            if life.process.alive:
                self._kill(life.process)

    def freeze(self) -> None:
        """Stop the process that serves, as SIGSTOP does. Raises RuntimeError if none does."""
        life = self.life
        if life is None:
            raise RuntimeError("no process is up that could be frozen")
        life.process.frozen = True

    @property
    def frozen(self) -> int:
        """How many are frozen."""
        return sum(life.process.alive and life.process.frozen for life in self._lives)

    def thaw(self) -> None:
        """Let those that are frozen go on."""
        for life in self._lives:
            if life.process.frozen:
                self._thaw(life.process)

    @contextmanager
    def closing(self, life: Life) -> Generator[None, None, None]:
        """Within, a process is closed in good order, and no other one starts."""
        life.ended, self._stopping = True, True
        try:
            yield
        finally:
            self._stopping = False
        if life.process.alive:
            self._end(life.process)

    def end(self) -> None:
        """End those that are alive, as with a kill; no other one starts."""
        self.over = True
        for life in self._lives:
            if life.process.alive:
                self._end(life.process)
