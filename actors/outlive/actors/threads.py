"""Threads for synchronous tools. A thread that never comes back does not hold up the exit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_IDLE: Final = 10.0  # seconds until a thread without work ends


class ToolThreads(Executor):
    """An executor that knows when one of its threads waits for the event loop."""

    def wait(self, future: Future[T]) -> T:
        """Block this thread until `future` is done, and return or raise what came of it."""
        return future.result()


def wait_in(executor: Executor, future: Future[T]) -> T:
    """Block a thread of `executor` until `future` is done."""
    return executor.wait(future) if isinstance(executor, ToolThreads) else future.result()


class DaemonThreads(ToolThreads):
    """An executor whose threads are daemons, made as needed and used again.

    The standard pool joins its threads at exit and would wait for ever for a tool that never
    ends. There is no upper bound here: how many tools run at once is the runs' business.
    """

    def __init__(self, name: str = "outlive-tool") -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in a thread and return its future."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  # handed to who waits
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            if self._closed:
                raise RuntimeError("the executor is closed")
            if self._idle:
                self._idle -= 1
                self._work.put(run)
                return future
        threading.Thread(target=self._loop, args=(run,), name=self._name, daemon=True).start()
        return future

    def _loop(self, work: Callable[[], None] | None) -> None:
        while work is not None:
            work()
            del work  # Else an idle thread keeps the last tool's arguments alive.
            with self._lock:
                if self._closed:
                    return
                self._idle += 1
            try:
                work = self._work.get(timeout=_IDLE)
            except Empty:
                with self._lock:
                    # Somebody may have counted on this thread in the meantime.
                    if self._idle:
                        self._idle -= 1
                        return
                work = self._work.get()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let idle threads end. Running ones are never waited for."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._work.put(None)
