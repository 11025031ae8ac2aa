"""Calling a tool: its attempt, its steps and progress, its deadline and its outcome."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from outlive.actors.abandoned import AbandonedThreads, NoThreads, ThreadCall
from outlive.actors.background import PROGRESS_THROTTLE_S
from outlive.actors.context import SyncToolContext, ToolContext
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.retry import NO_RETRY, Retry
from outlive.actors.run.commands import (
    CallTool,
    CompleteStep,
    CompleteToolCall,
    FailToolCall,
    IgnoreToolResult,
    ReportProgress,
    SuspendToolCall,
)
from outlive.actors.run.model_call import cut, ended_from_outside, failure, types_of
from outlive.actors.threads import wait_in
from outlive.actors.tool import Tool
from outlive.actors.workers.port import CallFailed, Job, Workers
from outlive.events import (
    AttemptEnded,
    Clock,
    EventTooLarge,
    Failure,
    RequestedToolCall,
    RunId,
    UnserialisableValue,
    Value,
    to_plain,
)
from outlive.events.sizes import check_size
from outlive.events.values import canonical, digest

T = TypeVar("T")
Facts: TypeAlias = Callable[[], dict[str, Any]]
"""What a context is told about its call; asked only when the tool wants a context."""


AttemptCommand: TypeAlias = (
    CompleteStep
    | ReportProgress
    | CompleteToolCall
    | FailToolCall
    | IgnoreToolResult
    | SuspendToolCall
)
"""What an attempt tells the entity that it belongs to."""


class Home(Protocol):
    """The address of the run or task that a call belongs to, as an attempt sees it."""

    def tell(self, command: AttemptCommand) -> None:
        """Send a command."""
        ...

    def conclude(self, outcome: AttemptCommand) -> None:
        """Say how the effect ended. Kept until that is recorded."""
        ...

    def ask(self, command: AttemptCommand) -> LoopFuture[Any]:
        """Send a command; the future is answered once it is durable."""
        ...


def idempotency_key(log_id: str, run_id: RunId, call: RequestedToolCall) -> str:
    """Return the key of a call: 32 hex digits, the same on every attempt and after a crash.

    BLAKE2b over log id, run id, call id, tool name and the canonical JSON of the arguments.
    """
    parts = (log_id, run_id, call.call_id, call.name)
    return digest(*(part.encode() for part in parts), canonical(call.arguments))


class Limits(NamedTuple):
    """What an attempt may take, in seconds, and when it is made again."""

    timeout: float | None
    retry: Retry
    stall_timeout: float | None = None
    progress_throttle: float = PROGRESS_THROTTLE_S

    @classmethod
    def of(cls, tool: Tool[..., Any]) -> Limits:
        """Return what the tool says itself."""
        return cls(tool.timeout, tool.retry)


class ToolAttempt:
    """One entry into a tool's body. Fulfils `context.Attempt`; belongs to the loop."""

    def __init__(
        self,
        effect: CallTool,
        tool: Tool[..., Any],
        home: Home,
        *,
        limits: Limits,
        spread_by: str,
        memos: dict[str, Value],
        answers: dict[str, Value],
        clock: Clock,
        executor: Executor,
        abandoned: AbandonedThreads,
        workers: Workers,
        closed: Callable[[], bool],
    ) -> None:
        self.effect: Final = effect
        self._closed = closed
        self._tool = tool
        self._limits = limits
        self._spread_by = spread_by
        self._home = home
        self._memos = memos
        self._answers = answers
        self._clock = clock
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._started_ns = clock.monotonic_ns()
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None  # rings if it does not get any further
        self._over = False  # given up
        self._asking = False  # it ends with what it asks a person
        self._ended = False  # its body has come to its end
        self._held: ReportProgress | None = None  # progress waiting for the throttle
        self._throttle: asyncio.TimerHandle | None = None
        self._abandoned = abandoned
        self._workers = workers
        self._in_threads: dict[ThreadCall, None] = {}
        self.in_thread_now = False

    @property
    def over(self) -> bool:
        """Whether the attempt has been given up."""
        return self._over

    def memo(self, key: str) -> tuple[Value] | None:
        """Return the recorded value of a step."""
        return (self._memos[key],) if key in self._memos else None

    def answer(self, key: str) -> tuple[Value] | None:
        """Return what a person has said."""
        return (self._answers[key],) if key in self._answers else None

    async def suspend(
        self, key: str, payload: Value, answer_schema: dict[str, Value] | None
    ) -> None:
        """Record a question; the attempt is over with it."""
        if self._ended or (self._over and not self._asking):
            raise AttemptEnded(self.effect.call_id, self.effect.attempt)
        self._asking = True
        self._pass_on_what_is_held()
        question = SuspendToolCall(
            call_id=self.effect.call_id,
            attempt=self.effect.attempt,
            key=key,
            payload=payload,
            answer_schema=answer_schema,
        )
        try:
            await self._home.ask(question)
        except MailboxClosed:
            raise AttemptEnded(self.effect.call_id, self.effect.attempt) from None

    def monotonic_ns(self) -> int:
        """Return the runtime's elapsed time."""
        return self._clock.monotonic_ns()

    async def record_step(self, key: str, value: Value, elapsed_ms: int) -> None:
        """Record a step; returns once that is durable."""
        self._require_current()
        self._watch_for_a_stall()
        step = CompleteStep(
            call_id=self.effect.call_id,
            attempt=self.effect.attempt,
            key=key,
            value=value,
            elapsed_ms=elapsed_ms,
        )
        try:
            await self._home.ask(step)
        except MailboxClosed:
            raise AttemptEnded(self.effect.call_id, self.effect.attempt) from None

    def report_progress(self, done: float, total: float | None, note: str) -> None:
        """Pass progress on, one event each half second, or as configured; always the last one."""
        self._require_current()
        self._watch_for_a_stall()
        self._held = ReportProgress(
            call_id=self.effect.call_id,
            attempt=self.effect.attempt,
            done=float(done),
            total=None if total is None else float(total),
            note=cut(note),
        )
        if self._throttle is None:
            self._pass_progress_on()

    def _pass_on_what_is_held(self) -> bool:
        """Tell of the last progress, if that has waited for the throttle."""
        held, self._held = self._held, None
        if held is not None:
            self._home.tell(held)
        return held is not None

    def _pass_progress_on(self) -> None:
        self._throttle = None
        if not self._over and self._pass_on_what_is_held():
            self._throttle = self._loop.call_later(
                self._limits.progress_throttle, self._pass_progress_on
            )

    def _require_current(self) -> None:
        if self._over or self._ended:
            raise AttemptEnded(self.effect.call_id, self.effect.attempt)

    async def in_thread(self, fn: Callable[[], T]) -> T:
        """Run a synchronous function in a thread."""
        thread = self._abandoned.call()

        def call() -> tuple[T, None] | tuple[None, BaseException]:
            if not thread.begin():
                return None, AttemptEnded(self.effect.call_id, self.effect.attempt)
            try:
                return fn(), None
            except BaseException as error:  # noqa: BLE001  # a future cannot hold them all
                return None, error
            finally:
                thread.end()

        self._in_threads[thread] = None
        try:
            result, error = await self._loop.run_in_executor(self._executor, call)
        except asyncio.CancelledError:
            thread.abandon()
            raise
        finally:
            del self._in_threads[thread]
        if isinstance(error, GeneratorExit):  # here it would mean that this coroutine is destroyed
            raise RuntimeError("the function raised GeneratorExit") from error
        if error is not None:
            raise error
        return cast("T", result)

    def wait(self, future: Future[None]) -> None:
        """Block the tool's thread until `future` is done."""
        wait_in(self._executor, future)

    async def run(self, call: RequestedToolCall, facts: Facts) -> None:
        """Call the tool and tell the run's address how it ended. Raises only CancelledError."""
        timeout = self._limits.timeout
        if timeout is not None:
            message = f"no result within {timeout:g} s; its outcome is unknown"
            self._deadline = self._loop.call_later(timeout, self._out_of_time, message)
        if self._limits.stall_timeout is not None:
            self._watch_for_a_stall()
        try:
            outcome = await self._outcome(call, facts)
        except asyncio.CancelledError:
            self._over = True
            raise
        finally:
            self.in_thread_now = False
            self._ended = True
            for timer in (self._deadline, self._stalled, self._throttle):
                if timer is not None:
                    timer.cancel()
        if outcome is None:
            return  # It has asked a person: that is on record.
        if self._over:
            ignored = IgnoreToolResult(
                call_id=self.effect.call_id,
                attempt=self.effect.attempt,
                outcome="completed" if isinstance(outcome, CompleteToolCall) else "failed",
            )
            self._home.tell(ignored)
            return
        self._pass_on_what_is_held()
        self._home.conclude(outcome)

    async def _outcome(
        self, call: RequestedToolCall, facts: Facts
    ) -> CompleteToolCall | FailToolCall | None:
        """Call the tool and return how it ended; None if it has asked a person."""
        task = asyncio.current_task()
        try:
            arguments = self._tool.signature.arguments(call.arguments)
        except UnserialisableValue as error:  # the tool has changed since it was asked for
            return self._failed(Failure(kind="invalid_arguments", message=cut(str(error))))
        try:
            result: object
            if self._tool.isolation == "process":
                result = await self._workers.run(self._job(call, facts()), self)
            else:
                result = await self._call(arguments, facts)
        except BaseException as raised:  # a tool's end is not the runtime's
            outside = ended_from_outside(raised, task)
            if outside and isinstance(raised, GeneratorExit):
                raise
            if self._over and isinstance(raised, asyncio.CancelledError):
                raise
            if self._closed() or (outside and not self._over):
                raise asyncio.CancelledError from raised
            if self._asking:
                return None
            if isinstance(raised, CallFailed):
                return self._failed(raised.failure, types=raised.types, in_doubt=raised.in_doubt)
            kind = "no_threads" if isinstance(raised, NoThreads) else "error"
            return self._failed(failure(kind, raised), types=types_of(raised))
        try:
            plain = to_plain(result)
        except UnserialisableValue as error:
            message = f"the tool returned what cannot be stored: {error}"
            return self._failed(Failure(kind="unserialisable", message=cut(message)))
        try:
            check_size(plain)
        except EventTooLarge as error:
            return self._failed(failure("too_large", error))
        try:
            self._tool.signature.check_output(plain)
        except UnserialisableValue as error:
            message = f"the tool returned what its annotation does not allow: {error}"
            return self._failed(Failure(kind="invalid_output", message=cut(message)))
        return CompleteToolCall(
            call_id=self.effect.call_id,
            attempt=self.effect.attempt,
            result=plain,
            elapsed_ms=self._elapsed_ms(),
        )

    async def _call(self, arguments: dict[str, Any], facts: Facts) -> object:
        parameter = self._tool.signature.context_parameter
        fn = self._tool.fn
        if self._tool.is_async:
            if parameter is not None:
                arguments[parameter] = ToolContext(self, **facts())
            return await fn(**arguments)
        if parameter is not None:
            arguments[parameter] = SyncToolContext(self._loop, self, **facts())
        context = copy_context()
        self.in_thread_now = True
        result = await self.in_thread(lambda: context.run(fn, **arguments))
        self.in_thread_now = False
        return await result if inspect.isawaitable(result) else result

    def _job(self, call: RequestedToolCall, facts: dict[str, Any]) -> Job:
        return Job(
            module=self._tool.fn.__module__,
            qualname=self._tool.fn.__qualname__,
            arguments=call.arguments,
            memos=self._memos,
            answers=self._answers,
            run_id=facts["run_id"],
            agent_id=facts["agent_id"],
            call_id=self.effect.call_id,
            attempt=self.effect.attempt,
            idempotency_key=facts["idempotency_key"],
            request_context=dict(facts["request_context"]),
            thread_id=facts["thread_id"],
            resource_id=facts["resource_id"],
        )

    def _watch_for_a_stall(self) -> None:
        """From now on it has its time once more until the next sign of getting any further."""
        longest = self._limits.stall_timeout
        if longest is None:
            return
        if self._stalled is not None:
            self._stalled.cancel()
        message = f"no progress within {longest:g} s; its outcome is unknown"
        self._stalled = self._loop.call_later(longest, self._out_of_time, message)

    def _out_of_time(self, message: str) -> None:
        """The deadline has passed: the attempt is over now, whatever its body does."""
        if self._over:
            return
        self._pass_on_what_is_held()
        self._end_now()
        self._home.conclude(
            FailToolCall(
                call_id=self.effect.call_id,
                attempt=self.effect.attempt,
                error=Failure(kind="timeout", message=message),
                now_ns=self._clock.now_ns(),
                retry=self._limits.retry if self._tool.in_doubt == "retry" else NO_RETRY,
                ask=self._tool.in_doubt == "ask",
                spread_by=self._spread_by,
                elapsed_ms=self._elapsed_ms(),
            )
        )

    def give_up(self) -> None:
        """The attempt is of no use any more."""
        self._end_now()

    def _end_now(self) -> None:
        self._over = True
        for thread in self._in_threads:
            thread.abandon()

    def _failed(
        self, error: Failure, *, types: tuple[str, ...] = (), in_doubt: bool = False
    ) -> FailToolCall:
        final = in_doubt and self._tool.in_doubt != "retry"
        return FailToolCall(
            call_id=self.effect.call_id,
            attempt=self.effect.attempt,
            error=error,
            types=types,
            now_ns=self._clock.now_ns(),
            retry=NO_RETRY if final else self._limits.retry,
            ask=in_doubt and self._tool.in_doubt == "ask",
            spread_by=self._spread_by,
            elapsed_ms=self._elapsed_ms(),
        )

    def _elapsed_ms(self) -> int:
        return (self._clock.monotonic_ns() - self._started_ns) // 1_000_000
