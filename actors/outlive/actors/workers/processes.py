"""Real worker processes: one for each call, and gone after it.

They are started by one thread that stays as long as this does: on Linux a worker is told of the
death of the thread that started it, not of its process. Each call has a thread that listens to
its worker; everything else happens on the loop.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeAlias

import msgspec

from outlive.actors.logs import told
from outlive.actors.workers import former
from outlive.actors.workers.pipe import (
    Answer,
    Ask,
    Ended,
    Progress,
    Step,
    decode_said,
    receive,
    send,
)
from outlive.actors.workers.port import CallFailed, Desk, Job
from outlive.events import Failure, OutliveError, Value
from outlive.events.logger import get_logger

_log = get_logger()
_CODE: Final = (
    "import sys; sys.path[:] = {path!r}; "
    "from outlive.actors.workers.child import main; main({descriptor}, {owner})"
)
_Call: TypeAlias = tuple[str, str]


class ProcessWorkers:
    """Makes calls in processes of their own. Fulfils `port.Workers`.

    Args:
        folder: where the workers that run are named, for whoever owns the log after a crash.
            None: nobody does.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._running: dict[_Call, _Worker] = {}
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._spawner: threading.Thread | None = None
        self._ending: asyncio.Future[None] | None = None  # of those of an owner before
        self._closed = False

    async def run(self, job: Job, desk: Desk) -> Value:
        """Make a call and return its plain result. See `Workers.run`."""
        await self._end_former()
        call = (job.run_id, job.call_id)
        while call in self._running:  # An attempt before: two at once are one too many.
            await asyncio.shield(self._running[call].gone)
        if self._closed:
            raise asyncio.CancelledError
        worker = self._running[call] = _Worker(job, desk, self._folder)
        worker.gone.add_done_callback(lambda _: self._running.pop(call))
        if self._spawner is None:
            self._spawner = threading.Thread(
                target=self._spawn_all, name="outlive-workers", daemon=True
            )
            self._spawner.start()
        self._orders.put(worker.spawn)
        try:
            return await worker.result
        finally:
            worker.kill()

    async def _end_former(self) -> None:
        if self._folder is None:
            return
        if self._ending is None:
            loop = asyncio.get_running_loop()
            self._ending = loop.run_in_executor(None, _end_former, self._folder)
        await asyncio.shield(self._ending)

    def _spawn_all(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    async def close(self) -> None:
        """Kill what still runs, and wait until it is gone."""
        self._closed = True
        for worker in list(self._running.values()):
            worker.kill()
            await asyncio.shield(worker.gone)
        self._orders.put(None)  # Not before: its end would be their signal, too.


def _end_former(folder: Path) -> None:
    ended = former.end_all(folder)
    if ended:
        _log.warning("former_workers_ended", pids=ended)


class _Worker:
    """One worker, from the wish for it to its end."""

    def __init__(self, job: Job, desk: Desk, folder: Path | None) -> None:
        self._job = job
        self._desk = desk
        self._folder = folder
        self._loop = asyncio.get_running_loop()
        self.result: Final[asyncio.Future[Value]] = self._loop.create_future()
        self.gone: Final[asyncio.Future[None]] = self._loop.create_future()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._reaped = False
        self._killed = False
        self._steps: dict[int, asyncio.Task[None]] = {}

    def kill(self) -> None:
        """End it and what it has started, unless it is over. From any thread."""
        with self._lock:
            self._killed = True
            if self._process is not None and not self._reaped:
                with suppress(OSError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def spawn(self) -> None:
        """Start the process. On the thread that stays."""
        ours, theirs = socket.socketpair()
        code = _CODE.format(path=sys.path, descriptor=theirs.fileno(), owner=os.getpid())
        failed = ""
        with self._lock, theirs:
            if not self._killed:
                try:
                    self._process = subprocess.Popen(  # our own module
                        [sys.executable, "-c", code],
                        stdin=subprocess.DEVNULL,
                        pass_fds=[theirs.fileno()],
                        start_new_session=True,
                    )
                    if self._folder is not None:
                        former.note(self._folder, self._process.pid)
                except OSError as error:
                    failed = f"no process could be started for it: {error}"
        if self._process is None:
            ours.close()
            failure = Failure(kind="error", message=failed or "it was cancelled")
            self._tell(self._finish, Ended(failure=failure), 0)
        else:
            listener = threading.Thread(
                target=self._follow, args=(ours, self._process), name="outlive-worker", daemon=True
            )
            listener.start()

    def _follow(self, pipe: socket.socket, process: subprocess.Popen[bytes]) -> None:
        """Hand the job over, listen until the worker's end, and see it off."""
        ended: Ended | None = None
        with pipe:
            handle = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
            try:
                send(pipe, self._job)
                while ended is None:
                    data = receive(pipe, lambda: _readable(pipe, handle))
                    if data is None:
                        break
                    said = decode_said(data)
                    if isinstance(said, Ended):
                        ended = said
                    else:
                        self._tell(self._serve, said, pipe)
            except (OSError, msgspec.MsgspecError) as error:
                _log.warning("worker_unheard", pid=process.pid, error=told(error))
            finally:
                if handle is not None:
                    os.close(handle)
            # What has died by itself shows how; what has not has nothing more to say.
            if ended is not None or process.poll() is None:
                self.kill()
            self._reap(process)
        self._tell(self._finish, ended, process.returncode)

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        if process.returncode is None:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)  # What it has left behind.
            process.wait()
            self._reaped = True
        if self._folder is not None:
            former.forget(self._folder, process.pid)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody waits.
            self._loop.call_soon_threadsafe(callback, *args)

    def _finish(self, ended: Ended | None, code: int) -> None:
        for step in list(self._steps.values()):
            step.cancel()
        self.gone.set_result(None)
        if self.result.done():
            return
        if ended is None:
            how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
            message = f"its process {how}; its outcome is unknown"
            died = Failure(kind="worker_died", message=message)
            self.result.set_exception(CallFailed(died, in_doubt=True))
        elif ended.failure is not None:
            self.result.set_exception(CallFailed(ended.failure, types=ended.types))
        else:
            self.result.set_result(ended.result)

    def _serve(self, said: Step | Ask | Progress, pipe: socket.socket) -> None:
        """Do what the worker asks for. On the loop."""
        if not isinstance(said, Progress):
            self._steps[said.number] = self._loop.create_task(self._record(said, pipe))
            return
        try:
            self._desk.report_progress(said.done, said.total, said.note)
        except OutliveError:
            _answer(pipe, Answer(said.number, over=True))
        else:
            _answer(pipe, Answer(said.number))

    async def _record(self, said: Step | Ask, pipe: socket.socket) -> None:
        over = False
        try:
            if isinstance(said, Step):
                await self._desk.record_step(said.key, said.value, said.elapsed_ms)
            else:
                await self._desk.suspend(said.key, said.payload, said.answer_schema)
        except OutliveError:
            over = True
        finally:
            del self._steps[said.number]
        _answer(pipe, Answer(said.number, over=over))


def _answer(pipe: socket.socket, answer: Answer) -> None:
    with suppress(OSError):  # It has died: whoever listens will notice.
        send(pipe, answer)


def _readable(pipe: socket.socket, handle: int | None) -> bool:
    """Wait for something to read; return False if the worker is dead and there is nothing."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if handle is not None:
        poll.register(handle, select.POLLIN)
    ready = [descriptor for descriptor, _ in poll.poll()]
    return pipe.fileno() in ready
