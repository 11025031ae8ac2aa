"""Threads of sync tools, of which one at a time runs, and never beside the loop.

The loop hands the baton to a thread and waits until it comes back: when the thread is done, or
waits for the loop (`ctx.step`). When a thread that waits may go on, that is a ready callback
like any other. So threads are as deterministic as tasks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Final, ParamSpec, TypeVar

from outlive.actors.threads import ToolThreads
from outlive.testing._simulation.guard import refuse, watched
from outlive.testing._simulation.logs import kept_by, listening
from outlive.testing._simulation.loop import SimulationLoop
from outlive.testing._simulation.process import Process, ProcessDied, here

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE: Final = 30.0
"""Real seconds that a thread may keep the baton."""


class _Worker:
    """A real thread that waits for jobs. Kept for the next job, of whatever simulation."""

    idle: Final[list[_Worker]] = []

    def __init__(self) -> None:
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self.work: Callable[[], None] | None = None
        threading.Thread(target=self._run, name="outlive-simulated", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            work, self.work = self.work, None
            assert work is not None
            work()
            del work
            self._back.release()

    def hand_over(self) -> bool:
        """Give it the baton; return False if it does not come back."""
        self._go.release()
        return self._back.acquire(timeout=PATIENCE)

    def give_back(self) -> None:
        """On the thread itself: give the baton back, and wait for it."""
        self._back.release()
        self._go.acquire()


class _Here(threading.local):
    job: _Job | None = None


_here: Final = _Here()


class _Job:
    """One function in a thread, from its first turn to its end."""

    def __init__(
        self, loop: SimulationLoop, process: Process | None, work: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._work = work
        self._process = process
        self._logs = listening()
        self._context: Context = copy_context()
        self._worker: _Worker | None = None
        self._ended = False
        if process is not None:
            process.when_dead(self._bury)

    def ready(self) -> None:
        """It may have a turn."""
        self._loop.call_soon(self._turn, context=self._context.copy())

    def _turn(self) -> None:
        if self._ended:
            return
        if self._worker is None:
            with watched(None):
                self._worker = _Worker.idle.pop() if _Worker.idle else _Worker()
            self._worker.work = self._main
        try:
            is_back = self._worker.hand_over()
        except BaseException:  # Ctrl-C: the thread is left where it is, and gets no further turn.
            self._ended = True
            raise
        if not is_back:
            self._ended = True
            kept = f"a sync tool that keeps its thread for {PATIENCE:g} s of real time"
            refuse(kept, self._loop.refused, "let it wait with `World.sleep`")
            return
        if self._has_ended():
            _Worker.idle.append(self._worker)

    def _has_ended(self) -> bool:
        return self._ended

    def _main(self) -> None:
        _here.job = self
        try:
            with watched(self._loop.refused), kept_by(self._logs):
                self._context.run(self._work)
        finally:
            _here.job = None
            self._ended = True
            if self._process is not None:
                self._process.never_mind(self._bury)

    def _bury(self) -> None:
        """Its process died: what it waits for never comes. On the loop's thread, or its own."""
        if self._worker is not None and _here.job is not self:
            self.ready_to_die()

    def ready_to_die(self) -> None:
        """Unwind the thread, outside of the dead process, in the loop's next turn."""
        self._loop.call_soon(self._turn, context=Context())

    def sleep(self, seconds: float) -> None:
        """On the job's own thread: let virtual time pass."""
        over: Future[None] = Future()
        self._loop.call_later(seconds, over.set_result, None)
        self.wait(over)

    def wait(self, future: Future[T]) -> T:
        """On the job's own thread: give the baton back until `future` is done."""
        if not future.done():
            assert self._worker is not None
            future.add_done_callback(lambda _: self.ready())
            while not future.done():
                self._worker.give_back()
                if self._process is not None and not self._process.alive:
                    raise ProcessDied
        return future.result()


class BatonThreads(ToolThreads):
    """The executor of simulated processes."""

    def __init__(self, loop: SimulationLoop) -> None:
        self._loop = loop

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` in a thread when its turn comes, and return its future."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except ProcessDied:
                return  # Nobody is left who waits for it.
            except BaseException as error:  # noqa: BLE001  # handed to who waits
                future.set_exception(error)
            else:
                future.set_result(result)

        _Job(self._loop, here(), work).ready()
        return future

    def wait(self, future: Future[T]) -> T:
        """Block a thread of these until `future` is done; the loop goes on meanwhile."""
        job = _here.job
        return future.result() if job is None else job.wait(future)


def in_thread() -> bool:
    """Return whether this is the thread of a simulated sync tool."""
    return _here.job is not None


def sleep_in_thread(seconds: float) -> None:
    """Let virtual time pass for the sync tool in whose thread this is called."""
    job = _here.job
    assert job is not None, "not in the thread of a sync tool"
    job.sleep(seconds)
