"""The outside world of a test: whatever happens there is counted, and no crash undoes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from outlive.testing._simulation.baton import in_thread, sleep_in_thread
from outlive.testing._simulation.guard import is_alive
from outlive.testing._simulation.process import ProcessDied, here

T = TypeVar("T")


@dataclass(frozen=True)
class Happened:
    """One effect on the world: what, under which idempotency key, and which process did it."""

    name: str
    key: str
    value: object
    process: int


class World:
    """A ledger of what tools have done to the world outside.

    In a simulation, processes die before and after each effect, and what a process does after
    its death does not happen. Used without one, it just counts. Not for several threads at once,
    but those of a simulation. Simulations may share one, one after the other or side by side.
    """

    def __init__(self) -> None:
        self._sinks: dict[tuple[str, str], object] = {}
        self.ledger: Final[list[Happened]] = []
        """All that has happened, in order."""

    def record(self, name: str, key: str, value: object = None) -> None:
        """Something happens outside that happens again when it is repeated: a mail is sent.

        Args:
            name: what it is, as `"mail"`.
            key: what tells a repeat from another one: `ctx.idempotency_key`.
            value: anything worth keeping.
        """
        self._do(name, lambda: self._note(name, key, value), None)

    def put(self, name: str, key: str, value: T) -> T:
        """Something happens outside where repeats are known by their key; it happens once.

        Returns the value of the first time, as a payment service does that is given an
        idempotency key.
        """

        def keep() -> T:
            if (name, key) not in self._sinks:
                self._sinks[name, key] = value
                self._note(name, key, value)
            return self._sinks[name, key]  # type: ignore[return-value]  # what was put first

        return self._do(name, keep, value)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass in a sync tool. An async one awaits `asyncio.sleep`.

        Raises:
            RuntimeError: not in a sync tool of a simulation.
        """
        if not in_thread():
            raise RuntimeError("World.sleep is for sync tools in a simulation")
        if is_alive():
            sleep_in_thread(seconds)
            is_alive()

    def counts(self, name: str) -> dict[str, int]:
        """Return how often each key of `name` has happened."""
        return dict(Counter(entry.key for entry in self.ledger if entry.name == name))

    def count(self, name: str, key: str | None = None) -> int:
        """Return how often `name` has happened, under one key or in all."""
        return sum(e.name == name and key in (None, e.key) for e in self.ledger)

    def _note(self, name: str, key: str, value: object) -> None:
        process = here()
        self.ledger.append(Happened(name, key, value, 0 if process is None else process.number))

    def _do(self, name: str, act: Callable[[], T], otherwise: T) -> T:
        process = here()
        if process is None:
            return act()
        if not is_alive():
            return otherwise
        what = f"effect {name!r}"
        if not process.points.come_by(process, "before", what):
            raise ProcessDied
        if process.frozen and in_thread():
            self.sleep(0)  # It goes on from here. An async tool cannot be stopped amid its code.
        result = act()
        if not process.points.come_by(process, "after", what):
            raise ProcessDied
        return result
