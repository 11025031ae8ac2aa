"""Whose turn it is: the actors of a loop that have messages are given their turns together.

On asyncio's own loop a callback costs as much as a message, and where many runs share a commit
their actors' turns come at the same moment. So they are taken in one callback, in the order in
which they were asked for: asyncio would run them in the same round all the same. What they ask
for themselves follows in the same callback, a few times over: between two rounds asyncio lets go
of the GIL, and the log's writer would go off with the end of a task, and without the start of
the next one that follows from it. They have no context variables: those of who asked first are
not the others'. Any other loop is asked for each turn by itself: one in C has cheap callbacks,
and one that simulates decides about their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary, ref

_ROUNDS: Final = 4  # of turns, before the loop's other callbacks have theirs
Turn: TypeAlias = Callable[[], None]


class _Turns:
    """The turns that are due on one loop. Belongs to it, and does not keep it alive."""

    __slots__ = ("_asked", "_due", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._due: deque[Turn] = deque()
        self._asked = False  # the loop, for a callback

    def call_soon(self, turn: Turn) -> None:
        """Call `turn` after those that are due, in the loop's next round at the latest.

        Call it on the loop's thread.
        """
        if not self._asked:
            loop = self._loop()
            assert loop is not None, "it runs: it is called on its thread"
            self._ask(loop)
        self._due.append(turn)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(self._take, loop, context=Context())
        self._asked = True  # After that: a loop that is closed refuses each.

    def _take(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._due
        try:
            for _ in range(_ROUNDS):
                for _ in range(len(due)):
                    try:
                        due.popleft()()
                    except Exception as error:  # noqa: BLE001  # as asyncio does: not the others'
                        told = {"message": "an actor's turn ended in an error", "exception": error}
                        loop.call_exception_handler(told)
        finally:
            self._asked = False
            if due:
                self._ask(loop)


_of_loops: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Callable[[Turn], object]]] = (
    WeakKeyDictionary()
)


def turns_of(loop: asyncio.AbstractEventLoop) -> Callable[[Turn], object]:
    """Return what a turn on `loop` is asked for with, by who runs on it: one for all of them."""
    if not isinstance(loop, asyncio.BaseEventLoop):
        return loop.call_soon
    call_soon = _of_loops.get(loop)
    if call_soon is None:
        call_soon = _of_loops[loop] = _Turns(loop).call_soon
    return call_soon
