"""An asyncio loop on virtual time, whose ready callbacks run in an order drawn from a seed.

When nothing is ready the clock jumps to the next timer. When nothing is due either, whoever
waits would wait for ever; that is `Stuck`, at once.

Which callback of those that are ready runs next is drawn. Kept is what asyncio promises:
callbacks of one object (a task, an actor), or of one function, run in the order in which they
were scheduled. Everything that two tasks, two actors, the log and a thread do beside each other
may happen in any order in reality too.

Each callback belongs to the process in whose context it was scheduled. That of a dead process
is dropped, that of a frozen one is held until it is thawed.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
import warnings
from asyncio import events
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context
from random import Random
from types import ModuleType
from typing import Any, Final, TypeVar, TypeVarTuple, cast

from outlive.testing._simulation.clock import SECOND_NS, SimulatedClock
from outlive.testing._simulation.collector import (
    CollectorAtRest,
    begin_to_notice,
    is_collecting,
)
from outlive.testing._simulation.guard import REFUSED, begin_to_watch, refuse, refusing, watch
from outlive.testing._simulation.owners import (
    SimulatedFuture,
    SimulatedTask,
    address,
    owner_of_function,
)
from outlive.testing._simulation.process import HERE, NotSimulable, Process
from outlive.testing._simulation.whereabouts import whereabouts

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


_LATE: Final = (0.0, 0.1, 0.4, 1.0)


PATIENCE: Final = 1_000_000
"""Steps that may be made without anything coming of them."""
_LOOK: Final = 1_024  # steps from one look to the next


class Stuck(AssertionError):
    """What is waited for would never come: nothing is due, or something goes round for ever."""


class SimulationLoop(asyncio.AbstractEventLoop):
    """See the module. Nothing of it is for other threads, but under the baton."""

    def __init__(self, clock: SimulatedClock, random: Random) -> None:
        begin_to_watch()
        begin_to_notice()
        self.clock: Final = clock
        self.unhandled: Final[list[dict[str, Any]]] = []
        self.graveyard: Final[list[object]] = []  # what dead processes leave must not be collected
        self.after_step: Callable[[], None] | None = None
        self.threads: Executor | None = None
        self.refused: Final[list[NotSimulable]] = []  # what code under simulation has tried
        self.ending = False  # nothing counts any more
        self.pace: Callable[[], object] = _nothing  # changes as long as something comes of it
        self.late = 0.0  # seconds by which tasks that `begins_late` picks begin late at most
        self.begins_late: Callable[[object], bool] = _never
        self._first_step_late = 0.0
        self.steps = 0
        self._random = random
        self._drawn = 0
        # By the address of what callbacks belong to, which is kept: when they are cancelled they
        # let go of it, and another one at the same address would be taken for it.
        self._queues: dict[int, tuple[object, deque[asyncio.Handle]]] = {}
        self._keys: list[int] = []
        # When they are due is kept in nanoseconds, as the clock counts: after some weeks a float
        # of seconds tells no two of them apart, and a timer would ring before its time, for ever.
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._scheduled = 0
        self._running = False
        self._watched: list[NotSimulable] | None = None
        self._stopping = False
        self._closed = False
        # By the address of a generator that has begun: the last one there is the one that is there.
        self._generators: dict[int, Process | None] = {}
        self._factory: Any = None

    # -- what asyncio asks of a loop

    def time(self) -> float:
        """Return how much virtual time has passed, in seconds."""
        return self.clock.monotonic_ns() / SECOND_NS

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run `callback` as one of those that are ready."""
        if self._first_step_late:
            late, self._first_step_late = self._first_step_late, 0.0
            return self.call_later(late, callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        self._put(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run `callback` once so many seconds have passed."""
        when_ns = self.clock.monotonic_ns() + max(0, round(delay * SECOND_NS))
        return self._call_at_ns(when_ns, callback, args, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run `callback` at a time of this loop."""
        return self._call_at_ns(round(when * SECOND_NS), callback, args, context)

    def _call_at_ns(
        self,
        when_ns: int,
        callback: Callable[[*Ts], object],
        args: tuple[*Ts],
        context: Context | None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when_ns / SECOND_NS, callback, args, self, context)
        self._scheduled += 1
        heapq.heappush(self._timers, (when_ns, self._scheduled, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over."""

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future."""
        future = SimulatedFuture(loop=self)
        future.seeded = self.draw()
        return future

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        """Make a task; it belongs to the process of its context."""
        process = HERE.get() if context is None else context.get(HERE)
        if self.late and process is not None and self.begins_late(coro):
            self._first_step_late = self.late * self._random.choice(_LATE)
        # The hash first: asyncio puts a task into a set while it is being made.
        task, name = SimulatedTask.__new__(SimulatedTask), name or f"task-{self._drawn}"
        task.seeded, task.process = self.draw(), process
        SimulatedTask.__init__(task, coro, loop=self, name=name, context=context)
        if process is not None and not process.alive:
            self.graveyard.append(task)  # Made in the callback in which its process died.
        return cast("asyncio.Task[T]", task)

    def draw(self) -> int:
        """Return a hash that nothing else of this loop has."""
        self._drawn += 1
        return self._drawn * 2_654_435_761 & 0xFFFFFFFF

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` in a thread that works while the loop waits for it.

        Raises:
            NotSimulable: code under simulation hands in other threads than those that are
                simulated: nobody knows when these are done.
        """
        if executor not in (None, self.threads) and HERE.get() is not None:
            instead = "use `asyncio.to_thread`, or make it a sync tool"
            raise refuse("loop.run_in_executor with its own threads", self.refused, instead)
        chosen = executor if executor is not None else self.threads
        assert chosen is not None, "no threads were handed to this loop"
        return asyncio.wrap_future(chosen.submit(func, *args), loop=self)

    def set_task_factory(self, factory: Any) -> None:
        """Keep what asks for a factory content; tasks stay as they are."""
        self._factory = factory

    def get_task_factory(self) -> Any:
        """Return what was set."""
        return self._factory

    def get_debug(self) -> bool:
        """Return False: asyncio's checks look at the real time."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Do nothing: see `get_debug`."""

    def is_running(self) -> bool:
        """Whether it runs."""
        return self._running

    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what nobody has handled."""
        self.unhandled.append(context)

    call_exception_handler = default_exception_handler

    def set_exception_handler(self, handler: Any) -> None:
        """Do nothing: what is unhandled fails the simulation."""

    def get_exception_handler(self) -> Any:
        """Return None: there is none but ours."""
        return None

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: generators that were left end with the loop."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: threads are given back when they are done."""

    def stop(self) -> None:
        """End `run_forever` after the present callback."""
        self._stopping = True

    def run_forever(self) -> None:
        """Run until `stop`."""
        self._stopping = False
        self.run_until(lambda: self._stopping)

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Run until `future` is done and return its result.

        Raises:
            Stuck: it never would be.
        """
        awaitable = cast("Awaitable[T]", future)  # A generator is one to asyncio.
        waited: asyncio.Future[T] = asyncio.ensure_future(awaitable, loop=self)
        self.run_until(waited.done)
        return waited.result()

    def close(self) -> None:
        """Drop all that is left."""
        assert not self._running, "a loop that runs is not closed"
        self._closed = True
        self._queues.clear()
        self._keys.clear()
        self._timers.clear()

    # -- running

    def run_until(self, done: Callable[[], bool], *, deadline: float | None = None) -> None:
        """Run until `done`, or until the time `deadline`.

        Raises:
            Stuck: nothing is ready, nothing is due, and there is no deadline; or a million steps
                have been made without anything coming of them.
        """
        if self._running:
            raise RuntimeError("the simulation runs already: use the async form of this call")
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(self._generator_begun, self._generator_dropped)
        self._running = True
        self._watched, watched = None, watch(None)
        collector = CollectorAtRest()
        before = events._get_running_loop()  # noqa: SLF001  # the name that loops are told to use
        events._set_running_loop(self)  # noqa: SLF001  # as above
        try:
            keys, timers, now_ns, step = (
                self._keys,
                self._timers,
                self.clock.monotonic_ns,
                self._step,
            )
            steps, pace = self.steps, self._pace(deadline)
            look_at = steps + _LOOK
            while not done():
                if timers and timers[0][0] <= now_ns():
                    self._make_due_ready()
                if keys:
                    step()
                elif not self._jump(deadline):
                    return
                if self.steps >= look_at:
                    look_at += _LOOK
                    if pace != (pace := self._pace(deadline)):
                        steps = self.steps
                    elif self.steps - steps > PATIENCE:
                        raise self._stuck(f"{PATIENCE:,} steps, and nothing came of them")
        finally:
            events._set_running_loop(before)  # noqa: SLF001  # as above
            watch(watched)
            collector.go_on()
            self._running = False
            sys.set_asyncgen_hooks(*hooks)

    def _pace(self, deadline: float | None) -> object:
        """Return what changes while there is an end in sight: with a deadline, time does."""
        return self.pace(), None if deadline is None else self.time()

    def _stuck(self, why: str) -> Stuck:
        places = whereabouts(
            task
            for task in asyncio.all_tasks(self)
            if not isinstance(task, SimulatedTask) or task.process is None or task.process.alive
        )
        return Stuck(why + (f"; what waits is at{places}" if places else ""))

    @property
    def ready(self) -> bool:
        """Whether a callback is ready."""
        return bool(self._keys)

    @property
    def idle(self) -> bool:
        """Whether nothing is ready and nothing is due, now or later."""
        return not self._keys and self._next_timer_ns() is None

    def _next_timer_ns(self) -> int | None:
        """Return when the next timer of a living process is due."""
        timers = self._timers
        while timers and self._is_void(timers[0][2]):
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    def _is_void(self, handle: asyncio.Handle) -> bool:
        process = handle._context.get(HERE)  # type: ignore[attr-defined]  # noqa: SLF001  # of asyncio's loops
        return handle.cancelled() or (process is not None and not process.alive)

    def _put(self, handle: asyncio.Handle) -> None:
        callback = handle._callback  # type: ignore[attr-defined]  # noqa: SLF001  # of asyncio's loops
        owner = getattr(callback, "__self__", None)
        if owner is None or type(owner) is ModuleType:
            owner = owner_of_function(callback)
        key = address(owner)
        known = self._queues.get(key)
        if known is None:
            self._queues[key] = owner, deque((handle,))
            self._keys.append(key)
        else:
            known[1].append(handle)

    def _make_due_ready(self) -> None:
        timers, now_ns = self._timers, self.clock.monotonic_ns()
        while timers and timers[0][0] <= now_ns:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                self._put(handle)

    def _jump(self, deadline: float | None) -> bool:
        """Let time pass until the next timer; return whether there is one before the deadline."""
        when_ns = self._next_timer_ns()
        until_ns = None if deadline is None else round(deadline * SECOND_NS)
        if when_ns is None and until_ns is None:
            raise self._stuck("nothing is ready and nothing is due")
        in_time = when_ns is not None and (until_ns is None or when_ns <= until_ns)
        reached_ns = when_ns if in_time else until_ns
        assert reached_ns is not None
        self.clock.advance_ns(max(0, reached_ns - self.clock.monotonic_ns()))
        return in_time

    def _step(self) -> None:
        """Run one of the callbacks that are ready."""
        keys = self._keys
        count = len(keys)
        chosen = int(self._random.random() * count) if count > 1 else 0
        key = keys[chosen]
        owner, queue = self._queues[key]
        handle = queue.popleft()
        if not queue:
            del self._queues[key]
            last = keys.pop()
            if last != key:
                keys[chosen] = last
        if handle._cancelled:  # noqa: SLF001  # without a call: each step comes through here
            return
        if self.ending and isinstance(owner, asyncio.Task):
            self.graveyard.append(handle)
            return
        process: Process | None = handle._context.get(HERE)  # type: ignore[attr-defined]  # noqa: SLF001  # of asyncio's loops
        if process is not None:
            if not process.alive:
                self.graveyard.append(handle)  # It may hold a coroutine that never began.
                return
            if process.frozen:
                process.held.append(handle)
                return
        self.steps += 1
        watched = None if process is None else self.refused
        if watched is not self._watched:
            self._watched = watched
            watch(watched)
        handle._run()  # noqa: SLF001  # of asyncio's loops
        if self.refused and not self.ending:
            raise self.refused.pop()
        if self.after_step is not None:
            self.after_step()

    # -- processes

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on."""
        process.frozen = False
        while process.held:
            self._put(process.held.popleft())

    def bury(self, process: Process) -> None:
        """Keep what a dead process leaves: collected, its `finally` blocks would run now."""
        self.graveyard.extend(process.held)
        self.graveyard.extend(
            task
            for task in asyncio.all_tasks(self)
            if isinstance(task, SimulatedTask) and task.process is process
        )

    def _generator_begun(self, generator: Any) -> None:
        self._generators[address(generator)] = HERE.get()

    def _generator_dropped(self, generator: Any) -> None:
        process = self._generators.pop(address(generator), None)
        if is_collecting():
            return  # It ends as it is: it would go on at an instant that is in nobody's hand.
        if self.ending or (process is not None and not process.alive):
            self.graveyard.append(generator)
        else:
            self.create_task(generator.aclose())

    def clear_graveyard(self) -> None:
        """Close what dead processes have left. What it still does counts for nothing."""
        left: list[object] = [*self.graveyard, *asyncio.all_tasks(self)]
        self.graveyard.clear()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* was never awaited", RuntimeWarning)
            self._close_all(left)
            left.clear()

    def _close_all(self, left: list[object]) -> None:
        for task in left:
            if isinstance(task, asyncio.Task):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # as asyncio.gather does
                coroutine = cast("SimulatedTask", task).get_coro()
                try:
                    coroutine.close()
                except BaseException:  # noqa: BLE001  # it counts for nothing
                    continue


def _never(_: object) -> bool:
    return False


def _nothing() -> None:
    """Nothing comes of anything."""


def simulation_loop(clock: SimulatedClock, random: Random) -> SimulationLoop:
    """Return a new loop."""
    return SimulationLoop(clock, random)  # type: ignore[abstract]  # the rest refuses, see below


for _name in REFUSED:
    setattr(SimulationLoop, _name, refusing(_name))
