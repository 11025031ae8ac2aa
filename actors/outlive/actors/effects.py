"""Running effects, kept outside the actors, keyed by stream and effect.

An actor that is rebuilt while its tool runs finds it here and does not start it twice. An
effect stays until the commit that records its outcome is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextvars import copy_context
from typing import Any, Final

from outlive.actors.logs import told
from outlive.events import StreamId
from outlive.events.logger import get_logger

_log = get_logger()
_PATIENCE: Final = 1.0  # seconds that cancelled effects have to let go, and their loop to end


class Running:
    """One effect being performed."""

    __slots__ = ("awaited", "given_up", "outcome", "task")

    task: asyncio.Task[None]

    def __init__(self, *, awaited: bool) -> None:
        self.awaited = awaited  # by who closes
        self.outcome: object = None  # the command that records how it ended
        self.given_up = False  # its outcome is of no use any more


class EffectTable:
    """What is being performed in this process, with the context variables of where this is made.

    Not with those of whoever has asked for it: there is nobody like that after a crash, and an
    actor's turn comes together with those of others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = copy_context()
        self._running: dict[StreamId, dict[Hashable, Running]] = {}
        self.closing = False
        self.closed = False
        self._settled: asyncio.Future[None] | None = None  # what `drain` waits for
        self._when_none: dict[StreamId, Callable[[], None]] = {}

    def __len__(self) -> int:
        """How many effects run."""
        return sum(len(effects) for effects in self._running.values())

    def of(self, stream: StreamId) -> frozenset[Any]:
        """Return the effects of `stream` that are being performed and not given up."""
        return frozenset(self.in_order(stream))

    def in_order(self, stream: StreamId) -> list[Any]:
        """Return the same, in the order in which they were begun."""
        effects = self._running.get(stream, {})
        return [effect for effect, entry in effects.items() if not entry.given_up]

    def any(self, stream: StreamId) -> bool:
        """Whether an effect of `stream` runs, be it one that was given up and has not ended."""
        return stream in self._running

    def when_none(self, stream: StreamId, callback: Callable[[], None]) -> None:
        """Call `callback` once no effect of `stream` runs any more; one a stream, the last one."""
        self._when_none[stream] = callback

    def start(
        self,
        stream: StreamId,
        effect: Hashable,
        body: Callable[[], Coroutine[Any, Any, None]],
        *,
        failed: Callable[[str], None],
        awaited: bool = True,
    ) -> None:
        """Perform `effect` by running `body()` as a task. Once closed: leave it to recovery.

        So is what is not `awaited`, from the moment on at which closing begins.

        `failed` is told why, when the body ends without having told an outcome. If somebody
        else has cancelled the task, that is a second later: at the end of its loop all tasks
        are cancelled, and that is no more an outcome than a crash.
        """
        if self.closed or (self.closing and not awaited):
            return
        effects = self._running.setdefault(stream, {})
        assert effect not in effects, f"{effect} of {stream} is running already"
        entry = effects[effect] = Running(awaited=awaited)
        task = self.perform(stream, entry, body, failed)
        entry.task = self._context.copy().run(self._loop.create_task, task)

    async def perform(
        self,
        stream: StreamId,
        entry: Running,
        body: Callable[[], Coroutine[Any, Any, None]],
        failed: Callable[[str], None],
    ) -> None:
        """Run `body()`, as the task that `start` has made: see there."""
        try:
            await body()
        except asyncio.CancelledError:
            if not (self.closed or entry.given_up):
                self._loop.call_later(_PATIENCE, failed, "its task was cancelled")
            raise
        except BaseException as error:  # ours: nobody is left waiting for it
            if isinstance(error, GeneratorExit) and running_task() is not entry.task:
                raise  # Destroyed with its loop.
            _log.error("effect_broken", stream=stream, error=told(error))
            failed(f"{type(error).__name__}: {error}")

    def given_up(self, stream: StreamId, effect: Hashable) -> bool:
        """Whether nobody waits for the effect's outcome any more."""
        entry = self.get(stream, effect)
        return self.closed or entry is None or entry.given_up

    def conclude(self, stream: StreamId, effect: Hashable, outcome: object) -> None:
        """Keep how the effect ended, for an actor that is brought in before that is recorded."""
        entry = self.get(stream, effect)
        if entry is not None:
            entry.outcome = outcome

    def outcomes(self, stream: StreamId) -> list[Any]:
        """Return how effects of `stream` ended that nobody has recorded yet."""
        entries = self._running.get(stream, {}).values()
        return [entry.outcome for entry in entries if entry.outcome is not None]

    def get(self, stream: StreamId, effect: Hashable) -> Running | None:
        """Return the running effect, if it is there."""
        effects = self._running.get(stream)
        return None if effects is None else effects.get(effect)

    def settle(self, stream: StreamId, effect: Hashable, *, abandon: bool = False) -> None:
        """The outcome is recorded, or of no use: stop the effect if it still runs.

        `abandon` leaves it running: it is in a thread, which cannot be stopped, and how it
        ends is still to be told.
        """
        entry = self.get(stream, effect)
        if entry is None:
            return
        entry.given_up = True
        if self._settled is not None:
            self._look_again()
        if entry.task.done():
            self._forget(stream, effect)
        else:
            entry.task.add_done_callback(lambda _: self._forget(stream, effect))
            if not abandon:
                entry.task.cancel()

    def _forget(self, stream: StreamId, effect: Hashable) -> None:
        effects = self._running.get(stream)
        if effects is not None:
            effects.pop(effect, None)
            if not effects:
                del self._running[stream]
                callback = self._when_none.pop(stream, None)
                if callback is not None:
                    self._loop.call_soon(callback)  # Who settles it is in the middle of things.

    async def drain(self, patience: float) -> None:
        """Give what is awaited so many seconds until its outcomes are recorded; cancel the rest.

        What is begun meanwhile is awaited too: its start is on record, and whoever leaves it
        to recovery without having begun it leaves a doubt.
        """
        self.closing = True
        for entry in self._entries():
            if not entry.awaited:
                entry.given_up = True
                entry.task.cancel()
        over = False

        def end() -> None:
            nonlocal over
            over = True
            self._look_again()

        timer = self._loop.call_later(patience, end)
        while not (over or all(entry.given_up for entry in self._entries())):
            self._settled = self._loop.create_future()
            await self._settled  # The commit that settles one may begin another in this turn.
        timer.cancel()

    def _look_again(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _entries(self) -> list[Running]:
        return [entry for effects in self._running.values() for entry in effects.values()]

    async def close(self) -> None:
        """Cancel all that runs, and wait until it has let go, for a second at most."""
        self.closing = self.closed = True
        entries = self._entries()
        for entry in entries:
            entry.given_up = True
            entry.task.cancel()
        deadline = self._loop.time() + _PATIENCE
        for entry in entries:
            await _ended(self._loop, entry.task, deadline)
        self._running.clear()
        self._when_none.clear()


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that runs on this thread, if one does."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


async def _ended(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], deadline: float
) -> None:
    """Wait for a cancelled task until `deadline`: it may refuse to end."""
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    task.add_done_callback(wake)
    timer = loop.call_at(deadline, wake)
    await waiter
    timer.cancel()
    if task.done() and not task.cancelled():
        task.exception()  # Looked at, so that asyncio does not complain about it.
