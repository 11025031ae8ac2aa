"""A simulated process: whatever it has set going dies with it, at one instant."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Final

from outlive.events import OutliveError

if TYPE_CHECKING:
    from outlive.testing._simulation.points import Points

HERE: Final[ContextVar[Process | None]] = ContextVar("outlive_simulated_process", default=None)
"""The process in which code runs; None outside of all, where a test and its clients are."""


class ProcessDied(BaseException):
    """The simulated process in which this is raised has just died. Nothing it does counts."""


class NotSimulable(OutliveError):
    """Code under simulation did what a simulation has no power over; `call` names it.

    Raised where it is tried, and again where the simulation is driven, caught or not.
    """

    def __init__(self, call: str, instead: str = "") -> None:
        hint = instead or "hand in a stand-in for it, or use `World`"
        super().__init__(f"{call} cannot be simulated: {hint}")
        self.call = call


class Process:
    """One life of a program, from its start to its end or its death."""

    def __init__(self, number: int, points: Points) -> None:
        self.number: Final = number
        self.points: Final = points  # which it comes by
        self.alive = True
        self.frozen = False
        self.told = 0  # how often code in it was told that it is dead
        self.held: deque[asyncio.Handle] = deque()  # what waits until it is thawed
        self.context: Final[Context] = copy_context()
        self.context.run(HERE.set, self)
        self._mourners: dict[Callable[[], None], None] = {}

    @property
    def goes_on(self) -> bool:
        """Whether it is neither dead nor frozen."""
        return self.alive and not self.frozen

    def when_dead(self, callback: Callable[[], None]) -> None:
        """Call `callback` at its death; at once if it is dead."""
        if self.alive:
            self._mourners[callback] = None
        else:
            callback()

    def never_mind(self, callback: Callable[[], None]) -> None:
        """Do not call `callback` any more: a process may live long and be called often."""
        self._mourners.pop(callback, None)

    def die(self) -> None:
        """From now on nothing that it has set going happens."""
        if self.alive:
            self.alive = False
            self.held.clear()
            mourners, self._mourners = self._mourners, {}
            for mourner in mourners:
                mourner()

    def __repr__(self) -> str:
        """Name the process."""
        state = "frozen" if self.frozen else "alive" if self.alive else "dead"
        return f"<process {self.number}, {state}>"


def here() -> Process | None:
    """Return the process in which this is called."""
    return HERE.get()
