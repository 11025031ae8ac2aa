"""Virtual time: a clock, and an event loop that jumps it to the next timer.

When nothing is ready the loop does not wait: it moves the clock to the next timer. A retry in
ten minutes takes no time at all, and 25 ms are exactly 25 ms.

Threads (sync tools) go on in real time. While one of them works the clock stands still, so
that a deadline of 30 virtual seconds does not pass before the thread had its first turn. A
thread that is to be late waits at a `Gate`: then the clock goes on without it.

A loop on which nothing is ready, nothing is due and no thread works would wait for ever; here
that is `Hung`, at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar, TypeVarTuple
from unittest.mock import patch

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SECOND: Final = 1_000_000_000
START_NS: Final = 1_893_456_000 * SECOND  # 2030-01-01, UTC
_PATIENCE: Final = 10.0  # real seconds that a thread may take for one stretch of work


class Hung(AssertionError):
    """Nothing is ready, nothing is due, and no thread works: this would wait for ever."""


class VirtualClock:
    """A `Clock` that stands still until somebody moves it."""

    def __init__(self) -> None:
        self._wall_ns = START_NS
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    @property
    def seconds(self) -> float:
        """How much time has passed since the clock was made."""
        return self._monotonic_ns / SECOND

    def advance(self, seconds: float) -> None:
        self._wall_ns += round(seconds * SECOND)
        self._monotonic_ns += round(seconds * SECOND)

    def set_forward(self, seconds: float) -> None:
        """Somebody sets the wall clock; no time has passed."""
        self._wall_ns += round(seconds * SECOND)


class _Work:
    """A function that a thread of the loop's executors works on."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.ended = False
        self.asked: object = None  # the last that it has asked of the loop


class _Here(threading.local):
    work: _Work | None = None


_here: Final = _Here()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on a `VirtualClock`."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock: Final = clock
        self.unhandled: Final[list[dict[str, Any]]] = []
        self._working: set[object] = set()
        self._lock = threading.Lock()
        super().__init__(_Selector(self))
        self._clock_resolution = 1e-9
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def time(self) -> float:
        return self.clock.monotonic_ns() / SECOND

    @property
    def threads_work(self) -> bool:
        with self._lock:
            return bool(self._working)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        work = _Work(self)

        def run() -> T:
            _here.work = work
            try:
                return func(*args)
            finally:
                _here.work = None

        self._begin(work)
        if executor is None:
            future = super().run_in_executor(None, run)
            future.add_done_callback(lambda _: self._end(work))
            return future
        submitted = executor.submit(run)
        future = asyncio.wrap_future(submitted, loop=self)
        # In this order: the loop hears of the outcome before it hears that the thread is done.
        submitted.add_done_callback(lambda _: self._end(work))
        future.add_done_callback(lambda _: self._end(work))
        return future

    def _begin(self, work: object) -> None:
        with self._lock:
            self._working.add(work)

    def _end(self, work: _Work) -> None:
        with self._lock:
            work.ended = True
        self.pause_thread(work)

    def pause_thread(self, work: object, *, unless: Callable[[], bool] = lambda: False) -> None:
        with self._lock:
            if not unless():
                self._working.discard(work)
        with suppress(RuntimeError):  # The loop is closed: nobody waits for this thread.
            self.call_soon_threadsafe(_nothing_to_do)

    def resume_thread(self, work: _Work, *, answered: object = None) -> None:
        with self._lock:
            # It may have heard the answer before this is called, and have asked again by now.
            if not work.ended and (answered is None or answered is work.asked):
                self._working.add(work)

    @contextmanager
    def thread_outside(self) -> Generator[None]:
        """A thread of the test's own may call in: wait for it in real time."""
        token = object()
        self._begin(token)
        try:
            yield
        finally:
            self.pause_thread(token)


class _Selector(selectors.DefaultSelector):
    """Where a loop waits. Here the clock jumps instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        threads_work = self._loop.threads_work  # asked first: a thread may end at any moment
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if threads_work:
            found = super().select(_PATIENCE)
            if not found:
                raise Hung(f"a thread has worked for {_PATIENCE} s without a word")
            return found
        if timeout is None:
            raise Hung("nothing is ready, nothing is due, and no thread works")
        self._loop.clock.advance(timeout)
        return []


def _ask_from_thread(
    coro: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop
) -> concurrent.futures.Future[T]:
    """`asyncio.run_coroutine_threadsafe`, but the clock does not wait for who waits for it."""
    future = _run_coroutine_threadsafe(coro, loop)
    work = _here.work
    if work is not None and work.loop is loop:
        # In this order, and looked at again: the answer may be there before the thread waits.
        work.asked = future
        future.add_done_callback(lambda _: work.loop.resume_thread(work, answered=future))
        work.loop.pause_thread(work, unless=future.done)
    return future


_run_coroutine_threadsafe: Final = asyncio.run_coroutine_threadsafe


class Gate:
    """Where a thread waits for the test to let it go on; virtual time does not wait for it.

    Leaving the `with` opens it, so that no thread is left behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._waiting: list[_Work] = []

    def wait(self) -> None:
        with self._lock:
            if self._open.is_set():
                return
            work = _here.work
            if work is not None:
                self._waiting.append(work)
                work.loop.pause_thread(work)
        assert self._open.wait(60), "nobody opened the gate"

    def open(self) -> None:
        with self._lock:
            for work in self._waiting:
                work.loop.resume_thread(work)
            self._waiting.clear()
            self._open.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open()


def virtual_loop() -> VirtualLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def clock() -> VirtualClock:
    """Return the running loop's clock."""
    return virtual_loop().clock


def run_virtual(
    body: Coroutine[Any, Any, T], *, clock: VirtualClock | None = None, dies: bool = False
) -> T:
    """Run `body` on a new loop with virtual time and return what it returns.

    What is left running when it returns is gone with the loop, as with a process that dies.
    Errors that nobody handled (in callbacks, in tasks nobody awaits) fail the test; but with
    `dies`, tasks may be destroyed, as nobody is left who could end them.

    Raises:
        Hung: it would have waited for ever.
    """
    loop = VirtualLoop(clock or VirtualClock())
    with patch.object(asyncio, "run_coroutine_threadsafe", _ask_from_thread):
        try:
            result = loop.run_until_complete(body)
            for _ in range(0 if dies else 3):  # what the last callbacks have set going
                loop.run_until_complete(_nothing())
            unhandled = list(loop.unhandled)
        finally:
            _end(loop)
    for context in unhandled:
        if dies and context.get("message") == "Task was destroyed but it is pending!":
            continue
        error = context.get("exception")
        raise AssertionError(f"unhandled on the loop: {context.get('message')}") from error
    return result


async def _nothing() -> None:
    pass


def _nothing_to_do() -> None:
    pass


def _end(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()

    async def settle() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await loop.shutdown_asyncgens()

    try:
        with loop.thread_outside():
            loop.run_until_complete(settle())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.set_exception_handler(lambda _loop, _context: None)  # tasks that would not end
        loop.close()
