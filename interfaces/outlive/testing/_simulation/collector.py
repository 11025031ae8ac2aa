"""How often the garbage collector looks, while there is a simulation, and when it does so."""

from __future__ import annotations

import gc
import threading
from typing import Any, Final

_YOUNG: Final = 50_000
_at_work = 0  # the thread in which it looks, one at a time; 0: in none


def begin_to_notice() -> None:
    """Know of each time that it looks from now on. Once for this interpreter, for good."""
    if _note not in gc.callbacks:
        gc.callbacks.append(_note)


def _note(phase: str, _: dict[str, Any]) -> None:
    global _at_work  # noqa: PLW0603  # there is one collector
    _at_work = threading.get_ident() if phase == "start" else 0


def is_collecting() -> bool:
    """Whether what is let go of in this thread now is so by the collector.

    When it looks depends on all that was made in this interpreter before, in any thread.
    """
    return _at_work == threading.get_ident()


class CollectorAtRest:
    """Has it look after 50,000 new objects in the place of 700, from now on until `go_on`.

    A simulation has many runs in flight at once, and no cycles among them: a few of them have
    more than 700 objects alive, and all that it would do is to go through these again and again.
    Who has switched it off, or chosen more, is left that, meanwhile too. Of several at a time the
    first one decides, in whatever order they end.
    """

    def __init__(self) -> None:
        self._before: Final = gc.get_threshold()
        self._rests: Final = 0 < self._before[0] < _YOUNG
        if self._rests:
            gc.set_threshold(_YOUNG, *self._before[1:])

    def go_on(self) -> None:
        """It looks as often as before."""
        if self._rests and gc.get_threshold()[0] == _YOUNG:
            gc.set_threshold(*self._before)
