"""A worker process: makes one call, and dies with its owner.

Three things end it when the owner is gone: the signal that Linux sends at the death of the
thread that started it, the end of its pipe, and a look at who its parent is, before it begins.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any, Final, NoReturn, TypeVar, cast

from outlive.actors.context import SyncToolContext, ToolContext
from outlive.actors.run.model_call import cut, failure, types_of
from outlive.actors.tool import AnyTool, Tool, as_tool
from outlive.actors.workers.importable import resolve
from outlive.actors.workers.pipe import (
    Ask,
    Ended,
    Progress,
    Said,
    Step,
    decode_answer,
    decode_job,
    receive,
    send,
)
from outlive.actors.workers.port import Job
from outlive.events import (
    AttemptEnded,
    CallId,
    EventTooLarge,
    Failure,
    RunId,
    SystemClock,
    UnserialisableValue,
    Value,
    to_plain,
)
from outlive.events.sizes import check_size

T = TypeVar("T")
_PR_SET_PDEATHSIG: Final = 1


def main(descriptor: int, owner: int) -> NoReturn:
    """Make the call that comes in through the socket `descriptor`; `owner` is who asks."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:
        os._exit(1)  # It died before the signal was set.
    pid = os.getpid()
    pipe = socket.socket(fileno=descriptor)
    data = receive(pipe)
    if data is None:
        os._exit(1)
    job = decode_job(data)
    attempt = RemoteAttempt(job, pipe)
    threading.Thread(target=attempt.listen, name="outlive-owner", daemon=True).start()
    try:
        ended = _call(job, attempt)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the model is told
        ended = Ended(failure=failure("error", error), types=types_of(error))
    if os.getpid() == pid:  # else the tool has forked, and this is no worker
        sys.stdout.flush()
        sys.stderr.flush()
        attempt.say(ended)
    os._exit(0)


def _call(job: Job, attempt: RemoteAttempt) -> Ended:
    tool: Tool[..., Any] = _tool(job)
    try:
        arguments = tool.signature.arguments(job.arguments)
    except UnserialisableValue as error:
        return Ended(failure=Failure(kind="invalid_arguments", message=cut(str(error))))
    facts: dict[str, Any] = {
        "run_id": RunId(job.run_id),
        "agent_id": job.agent_id,
        "call_id": CallId(job.call_id),
        "number": job.attempt,
        "idempotency_key": job.idempotency_key,
        "request_context": job.request_context,
        "thread_id": job.thread_id,
        "resource_id": job.resource_id,
        "deps": None,
    }
    parameter = tool.signature.context_parameter
    if tool.is_async:
        if parameter is not None:
            arguments[parameter] = ToolContext(attempt, **facts)
        result = asyncio.run(tool.fn(**arguments))
    else:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="outlive-loop", daemon=True).start()
        if parameter is not None:
            arguments[parameter] = SyncToolContext(loop, attempt, **facts)
        result = tool.fn(**arguments)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    try:
        plain = to_plain(result)
        check_size(plain)
    except UnserialisableValue as error:
        message = f"the tool returned what cannot be stored: {error}"
        return Ended(failure=Failure(kind="unserialisable", message=cut(message)))
    except EventTooLarge as error:
        return Ended(failure=failure("too_large", error))
    return Ended(result=plain)


def _tool(job: Job) -> Tool[..., Any]:
    found = resolve(job.module, job.qualname)
    if isinstance(found, Tool):
        return cast("Tool[..., Any]", found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The owner has made the tool, and was warned.
        return as_tool(cast("AnyTool", found))


class RemoteAttempt:
    """The attempt as a worker sees it. Fulfils `context.Attempt`; asks the owner."""

    def __init__(self, job: Job, pipe: socket.socket) -> None:
        self._job = job
        self._pipe = pipe
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._asked: dict[int, Future[bool]] = {}
        self._clock = SystemClock()
        self.over = False

    def say(self, message: Said) -> None:
        """Send something to the owner; without one there is nothing left to do."""
        try:
            with self._lock:
                send(self._pipe, message)
        except OSError:
            os._exit(1)

    def listen(self) -> None:
        """Hear the owner's answers, and its end."""
        while True:
            try:
                data = receive(self._pipe)
            except OSError:
                data = None
            if data is None:
                os._exit(1)
            answer = decode_answer(data)
            self.over = self.over or answer.over
            self._asked.pop(answer.number).set_result(answer.over)

    def _ask(self, make: Callable[[int], Step | Ask | Progress]) -> Future[bool]:
        number = next(self._numbers)
        future = self._asked[number] = Future[bool]()
        self.say(make(number))
        return future

    def _check(self, over: bool) -> None:
        if over:
            raise AttemptEnded(self._job.call_id, self._job.attempt)

    def memo(self, key: str) -> tuple[Value] | None:
        """Return the recorded value of a step."""
        return (self._job.memos[key],) if key in self._job.memos else None

    async def record_step(self, key: str, value: Value, elapsed_ms: int) -> None:
        """Have a step recorded; returns once that is durable."""
        asked = self._ask(lambda number: Step(number, key, value, elapsed_ms))
        self._check(await asyncio.wrap_future(asked))

    def answer(self, key: str) -> tuple[Value] | None:
        """Return what a person has said."""
        return (self._job.answers[key],) if key in self._job.answers else None

    async def suspend(
        self, key: str, payload: Value, answer_schema: dict[str, Value] | None
    ) -> None:
        """Have a person asked; returns once that is durable."""
        asked = self._ask(lambda number: Ask(number, key, payload, answer_schema))
        self._check(await asyncio.wrap_future(asked))

    def report_progress(self, done: float, total: float | None, note: str) -> None:
        """Have progress passed on. Waits for the owner, so that nobody is flooded."""
        total = None if total is None else float(total)
        asked = self._ask(lambda number: Progress(number, float(done), total, cut(note)))
        self._check(asked.result())

    async def in_thread(self, fn: Callable[[], T]) -> T:
        """Run a synchronous function in a thread of this process."""
        return await asyncio.to_thread(fn)

    def wait(self, future: Future[None]) -> None:
        """Block until `future` is done."""
        return future.result()

    def monotonic_ns(self) -> int:
        """Return this process's elapsed time."""
        return self._clock.monotonic_ns()
