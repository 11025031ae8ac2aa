"""How often the garbage collector looks, while there is a simulation."""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 50_000


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
