"""Workers of simulated processes: calls on the simulation's loop and its threads.

A worker dies with its process, as everything does that the process has set going. What goes to
it and comes back is data only, as with a real one.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

import msgspec

from outlive.actors import SyncToolContext, Tool, ToolContext
from outlive.actors.run.model_call import cut, failure, types_of
from outlive.actors.tool import AnyTool, as_tool
from outlive.actors.workers.importable import resolve
from outlive.actors.workers.port import CallFailed, Desk, Job
from outlive.events import (
    AttemptEnded,
    CallId,
    Clock,
    Failure,
    RunId,
    UnserialisableValue,
    Value,
    to_plain,
)
from outlive.testing._simulation.baton import BatonThreads

T = TypeVar("T")


class SimulatedWorkers:
    """Fulfils `Workers`."""

    def __init__(self, threads: BatonThreads, clock: Clock) -> None:
        self._threads = threads
        self._clock = clock

    async def run(self, job: Job, desk: Desk) -> Value:
        """Make a call. See `Workers.run`."""
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=Job)
        made: Tool[..., Any] = as_tool(cast("AnyTool", resolve(sent.module, sent.qualname)))
        loop = asyncio.get_running_loop()
        attempt = _Attempt(sent, desk, self._threads, self._clock)
        arguments = made.signature.arguments(sent.arguments)
        parameter = made.signature.context_parameter
        facts: dict[str, Any] = {
            "run_id": RunId(sent.run_id),
            "agent_id": sent.agent_id,
            "call_id": CallId(sent.call_id),
            "number": sent.attempt,
            "idempotency_key": sent.idempotency_key,
            "request_context": sent.request_context,
            "thread_id": sent.thread_id,
            "resource_id": sent.resource_id,
            "deps": None,
        }
        if parameter is not None:
            context: ToolContext | SyncToolContext = (
                ToolContext(attempt, **facts)
                if made.is_async
                else SyncToolContext(loop, attempt, **facts)
            )
            arguments[parameter] = context
        try:
            if made.is_async:
                result = await made.fn(**arguments)
            else:
                result = await attempt.in_thread(lambda: made.fn(**arguments))
            if inspect.isawaitable(result):
                result = await result
            return to_plain(result)
        except UnserialisableValue as error:
            raise CallFailed(Failure(kind="unserialisable", message=cut(str(error)))) from error
        except Exception as error:
            raise CallFailed(failure("error", error), types=types_of(error)) from error
        finally:
            attempt.over = True  # Killed, if it did not end by itself.

    async def close(self) -> None:
        """Do nothing: who closes has cancelled them."""


class _Attempt:
    """What a simulated worker knows of its attempt. Fulfils `context.Attempt`."""

    def __init__(self, job: Job, desk: Desk, threads: BatonThreads, clock: Clock) -> None:
        self._job = job
        self._desk = desk
        self._threads = threads
        self._clock = clock
        self.over = False

    def _require_current(self) -> None:
        if self.over:
            raise AttemptEnded(self._job.call_id, self._job.attempt)

    def memo(self, key: str) -> tuple[Value] | None:
        return (self._job.memos[key],) if key in self._job.memos else None

    async def record_step(self, key: str, value: Value, elapsed_ms: int) -> None:
        self._require_current()
        await self._desk.record_step(key, value, elapsed_ms)

    def answer(self, key: str) -> tuple[Value] | None:
        return (self._job.answers[key],) if key in self._job.answers else None

    async def suspend(
        self, key: str, payload: Value, answer_schema: dict[str, Value] | None
    ) -> None:
        self._require_current()
        await self._desk.suspend(key, payload, answer_schema)

    def report_progress(self, done: float, total: float | None, note: str) -> None:
        self._require_current()
        self._desk.report_progress(done, total, note)

    async def in_thread(self, fn: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn)

    def wait(self, future: Future[None]) -> None:
        self._threads.wait(future)

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()
