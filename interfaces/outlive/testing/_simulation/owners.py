"""Futures and tasks whose hash is drawn, and what a callback belongs to.

A set is gone through in the order of its hashes: one by the place in memory would be another
order each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from outlive.testing._simulation.process import Process


class SimulatedFuture(asyncio.Future[Any]):
    """A future whose place in a set does not depend on where it lies in memory."""

    __slots__ = ("seeded",)

    seeded: int

    def __hash__(self) -> int:
        """Return a hash drawn from the seed."""
        return self.seeded


class SimulatedTask(asyncio.Task[Any]):
    """A task that knows its process, with a hash drawn from the seed. See `create_task`."""

    __slots__ = ("process", "seeded")

    seeded: int
    process: Process | None

    def __hash__(self) -> int:
        """Return a hash drawn from the seed."""
        return self.seeded


address: Final[Callable[[object], int]] = object.__hash__
"""As `id`, which is told to the audit hook at each call."""


def owner_of_function(callback: Any) -> object:
    """Return what a callback belongs to that is no method: those of one owner keep their order."""
    code = getattr(callback, "__code__", None)
    if code is not None:
        return code
    inner = getattr(callback, "func", None)
    if inner is None:
        return callback
    owner = getattr(inner, "__self__", None)
    return owner_of_function(inner) if owner is None or type(owner) is ModuleType else owner
