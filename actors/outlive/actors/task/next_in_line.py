"""Who is next in line is in memory before its turn comes.

Bringing a task in means reading its stream. When a slot gets free, that would be done while
nobody uses the slot; so it is done while all of them are busy. Who is next is a guess, made by
what admission knows now, and nothing depends on it: one who is in memory is told to start by
admission alone, as is one who is not, and hears in order what else it is told, a cancellation
say. At most as many are kept in memory as there are slots, and never more than 64.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from outlive.actors.task.admission import Admission
from outlive.events import StreamId

_MOST: Final = 64
_CHUNK: Final = 4  # tasks brought in before the loop gets its turn


class NextInLine:
    """The tasks that wait in memory, as they are likely to start soon. Belongs to the loop.

    `bring_in` is asked for those that are to be there, and `let_go` for those that need not be
    any more. Who is `in` this object stays in memory meanwhile.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        slots: int,
        bring_in: Callable[[StreamId], None],
        let_go: Callable[[StreamId], None],
    ) -> None:
        self._admission = admission
        self._most = min(slots, _MOST)
        self._bring_in = bring_in
        self._let_go = let_go
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[StreamId, None] = {}
        self._coming: deque[StreamId] = deque()  # to be brought in
        self._surprised = False  # one has started that was not in memory
        self._looking = False
        self._closed = False

    def __contains__(self, task: object) -> bool:
        """Whether the task is to stay in memory until its turn comes."""
        return task in self._tasks

    def hear(self, task: StreamId) -> None:
        """Something has become of a task in memory: it stays if it waits, and there is room."""
        if not self._admission.waits(task):
            self._tasks.pop(task, None)
        elif len(self._tasks) < self._most:
            self._tasks[task] = None

    def begins(self, task: StreamId) -> None:
        """The task is told to start."""
        if task in self._tasks:
            del self._tasks[task]
        else:
            self._surprised = True

    def look(self) -> None:
        """Some have started: see who comes next, once these are at work."""
        if self._looking or not self._is_short():
            return
        self._looking = True
        # Their tools are entered in the next round of the loop, and come first.
        self._loop.call_soon(self._loop.call_soon, self._look)

    def close(self) -> None:
        """Bring nobody in any more."""
        self._closed = True

    def _is_short(self) -> bool:
        """Whether others wait, and few are left here of those that were expected."""
        here = len(self._tasks)
        return here < self._admission.queued and (self._surprised or 2 * here <= self._most)

    def _look(self) -> None:
        upcoming = dict.fromkeys(self._admission.upcoming(self._most))
        self._surprised = False
        for task in [task for task in self._tasks if task not in upcoming]:
            del self._tasks[task]
            self._let_go(task)
        self._coming = deque(task for task in upcoming if task not in self._tasks)
        self._bring_some_in()

    def _bring_some_in(self) -> None:
        for _ in range(min(_CHUNK, len(self._coming))):
            task = self._coming.popleft()
            if self._admission.waits(task) and not self._closed:
                self._tasks[task] = None
                self._bring_in(task)
        if self._coming and not self._closed:
            self._loop.call_soon(self._bring_some_in)
        else:
            self._looking = False
