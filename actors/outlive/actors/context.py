"""What a tool's body can do besides its own work: steps, progress, and who it is."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast, get_type_hints, overload

from outlive.actors.json_schema import schema_of
from outlive.events import AttemptEnded, CallId, OutliveError, RunId, Value, from_plain, to_plain
from outlive.events.logger import get_logger
from outlive.events.sizes import check_size
from outlive.events.values import digest

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_KEY: Final = 1_000


class DuplicateStep(OutliveError):
    """A tool used the same step key twice in one attempt. Name each step apart."""

    def __init__(self, call_id: str, key: str) -> None:
        super().__init__(f"step {key!r} was used twice in one attempt of tool call {call_id!r}")
        self.call_id = call_id
        self.key = key


class Suspended(BaseException):
    """Unwinds a tool that waits for a person. It is called again when there is an answer.

    Not an `Exception`: a tool's own `except Exception` must not take it for an error.
    """


class Attempt(Protocol):
    """What the context needs of the attempt that it belongs to."""

    @property
    def over(self) -> bool:
        """Whether the attempt has been given up."""
        ...

    def memo(self, key: str) -> tuple[Value] | None:
        """Return the recorded value of a step, in a tuple; None if it was not done yet."""
        ...

    def answer(self, key: str) -> tuple[Value] | None:
        """Return what a person has said under a key; None if it is not answered yet."""
        ...

    async def suspend(
        self, key: str, payload: Value, answer_schema: dict[str, Value] | None
    ) -> None:
        """Record that an answer is waited for; the attempt is over then. Raises AttemptEnded."""
        ...

    async def record_step(self, key: str, value: Value, elapsed_ms: int) -> None:
        """Record a step; returns once that is durable. Raises AttemptEnded."""
        ...

    def report_progress(self, done: float, total: float | None, note: str) -> None:
        """Pass progress on, throttled. Raises AttemptEnded."""
        ...

    async def in_thread(self, fn: Callable[[], T]) -> T:
        """Run a synchronous function in a thread."""
        ...

    def wait(self, future: Future[None]) -> None:
        """Block such a thread until `future` is done; raise what it holds."""
        ...

    def monotonic_ns(self) -> int:
        """Return the runtime's elapsed time."""
        ...


class _Context:
    """What both kinds of context share. All of it may be read from any thread."""

    def __init__(
        self,
        attempt: Attempt,
        *,
        run_id: RunId,
        agent_id: str,
        call_id: CallId,
        number: int,
        idempotency_key: str,
        deps: object,
        request_context: dict[str, Value],
        thread_id: str | None,
        resource_id: str | None,
    ) -> None:
        self._attempt: Final = attempt
        self._keys: set[str] = set()
        self._asked: set[str] = set()
        self.run_id: Final = run_id
        self.agent_id: Final = agent_id
        self.call_id: Final = call_id
        self.attempt: Final = number
        """From 1: how often this call's body has been entered."""
        self.idempotency_key: Final = idempotency_key
        """The same on every attempt of this call, also after a crash; no other call has it."""
        self.deps: Final[Any] = deps
        """What was given to `Runtime(deps=...)`."""
        self.request_context: Final = request_context
        """What was given to `start(request_context=...)`. Do not change it."""
        self.thread_id: Final = thread_id
        """The thread that the run works on; None if it works on none."""
        self.resource_id: Final = resource_id
        """To whom that thread belongs."""
        self.log: Final = get_logger("outlive.tool", run_id=run_id, call_id=call_id, attempt=number)

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is over: its deadline has passed, or the runtime closes.

        An async tool is cancelled besides; a sync one should look here and return.
        """
        return self._attempt.over

    def key_for(self, key: str) -> str:
        """Return the idempotency key of step `key` of this call."""
        return digest(self.idempotency_key.encode(), key.encode())

    def _begin(self, key: object, fn: Callable[..., Any], result_type: Any) -> _Step:
        wanted = _return_type(fn) if result_type is None else result_type
        return _Step(self._attempt, self._new(key, self._keys), wanted)

    def _ask(self, key: object, payload: object, answer_type: Any) -> _Question:
        return _Question(self._attempt, self._new(key, self._asked), payload, answer_type)

    def _report(self, done: float, total: float | None, note: str) -> None:
        for name, value in (("done", done), ("total", 0.0 if total is None else total)):
            if not math.isfinite(value):
                raise ValueError(f"progress is told in finite numbers: {name} is {value!r}")
        if not isinstance(note, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"note is text, not {type(note).__name__}")
        self._attempt.report_progress(done, total, note)

    def _new(self, key: object, used: set[str]) -> str:
        if not isinstance(key, str) or not key:
            raise TypeError(f"a key is a text that is not empty, not {key!r}")
        to_plain(key)
        if len(key) > _LONGEST_KEY or not key.isprintable():
            raise ValueError(
                f"a key is printable and has at most {_LONGEST_KEY} characters: {key[:80]!r}"
            )
        if key in used:
            raise DuplicateStep(self.call_id, key)
        used.add(key)
        return key


class _Question:
    """What a tool asks a person: answered already, or to be asked."""

    def __init__(self, attempt: Attempt, key: str, payload: object, wanted: Any) -> None:
        self._attempt = attempt
        self._key = key
        self._wanted = wanted
        self._answer = attempt.answer(key)
        self._payload = to_plain(payload)
        check_size(self._payload)

    @property
    def answered(self) -> bool:
        return self._answer is not None

    def value(self) -> Any:
        assert self._answer is not None
        return from_plain(self._answer[0], self._wanted)

    def ask(self) -> Coroutine[Any, Any, None]:
        """Return what makes the question durable."""
        schema = None if self._wanted is Any else schema_of(self._wanted)
        return self._attempt.suspend(self._key, self._payload, schema)


class _Step:
    """One step of an attempt: known already, or to be done and recorded."""

    def __init__(self, attempt: Attempt, key: str, wanted: Any) -> None:
        self._attempt = attempt
        self._key = key
        self._wanted = wanted
        self._memo = attempt.memo(key)
        self._started_ns = attempt.monotonic_ns()

    @property
    def known(self) -> bool:
        return self._memo is not None

    def value(self) -> Any:
        assert self._memo is not None
        return from_plain(self._memo[0], self._wanted)

    def record(self, result: object) -> Coroutine[Any, Any, None]:
        """Return what makes the result durable. It can be read back, or this raises."""
        self._memo = (to_plain(result),)
        check_size(self._memo[0])
        self.value()
        elapsed_ms = (self._attempt.monotonic_ns() - self._started_ns) // 1_000_000
        return self._attempt.record_step(self._key, self._memo[0], elapsed_ms)


class ToolContext(_Context):
    """Handed to an async tool that has a parameter annotated with it."""

    @overload
    async def step(
        self,
        key: str,
        fn: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        result_type: Any = None,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def step(
        self, key: str, fn: Callable[..., T], /, *args: Any, result_type: Any = None, **kwargs: Any
    ) -> T: ...

    async def step(
        self,
        key: str,
        fn: Callable[..., Awaitable[T] | T],
        /,
        *args: Any,
        result_type: Any = None,
        **kwargs: Any,
    ) -> T:
        """Do `fn(*args, **kwargs)` once for this call, however often the process dies.

        Once the value is durable, later attempts are given it and do not call `fn`. It is
        rebuilt from its stored form the first time too, as `result_type` or what `fn` is
        annotated to return. An async `fn` runs on the loop, a sync one in a thread. A crash
        between the effect of `fn` and the commit repeats it: pass `key_for(key)` on to
        whatever can tell repeats apart.

        Raises:
            DuplicateStep: `key` was used before in this attempt.
            UnserialisableValue: the value has no stored form, or does not fit its type.
            EventTooLarge: it takes more than 63 MiB.
            AttemptEnded: this attempt was given up meanwhile.
            Exception: whatever `fn` raises; nothing is recorded then.
        """
        step = self._begin(key, fn, result_type)
        if not step.known:
            if inspect.iscoroutinefunction(fn):
                result = await fn(*args, **kwargs)
            else:
                context = copy_context()
                result = await self._attempt.in_thread(lambda: context.run(fn, *args, **kwargs))
                if inspect.isawaitable(result):
                    result = await result
            await step.record(result)
        return cast("T", step.value())

    @overload
    async def suspend(self, key: str, payload: object = None, *, answer_type: type[T]) -> T: ...

    @overload
    async def suspend(self, key: str, payload: object = None, *, answer_type: Any = Any) -> Any: ...

    async def suspend(self, key: str, payload: object = None, *, answer_type: Any = Any) -> Any:
        """Ask a person, and return the answer; days later, in another process, if need be.

        Unless it is answered already, the tool ends here: what it holds is let go of, and the
        run is suspended once nothing else of it goes on. When all that the tool has asked is
        answered (`Runtime.resume`), it is called again from the start, and this returns the
        answer at once. Put what must not be done again into steps.

        Args:
            key: names the question within this call. Several keys in one tool are fine.
            payload: what the person is shown; stored.
            answer_type: what an answer must be. Checked when it is given, wherever that is.

        Raises:
            DuplicateStep: `key` was asked before in this attempt.
            UnserialisableValue, EventTooLarge: the payload cannot be stored; or a recorded
                answer does not fit `answer_type` any more.
            AttemptEnded: this attempt was given up meanwhile.
        """
        question = self._ask(key, payload, answer_type)
        if not question.answered:
            await question.ask()
            raise Suspended
        return question.value()

    async def progress(self, *, done: float, total: float | None = None, note: str = "") -> None:
        """Tell observers how far this call is. Throttled; the last one always gets through.

        Raises:
            AttemptEnded: this attempt was given up meanwhile.
            TypeError, ValueError: `done` or `total` is no finite number, or `note` no text.
        """
        self._report(done, total, note)


class SyncToolContext(_Context):
    """Handed to a sync tool that has a parameter annotated with it: the same without await."""

    def __init__(self, loop: asyncio.AbstractEventLoop, attempt: Attempt, **facts: Any) -> None:
        super().__init__(attempt, **facts)
        self._loop = loop

    def step(
        self,
        key: str,
        fn: Callable[..., T],
        /,
        *args: Any,
        result_type: Any = None,
        **kwargs: Any,
    ) -> T:
        """Do `fn(*args, **kwargs)` once, in this thread. See `ToolContext.step`."""
        step = self._begin(key, fn, result_type)
        if not step.known:
            self._wait_for(step.record(fn(*args, **kwargs)))
        return cast("T", step.value())

    @overload
    def suspend(self, key: str, payload: object = None, *, answer_type: type[T]) -> T: ...

    @overload
    def suspend(self, key: str, payload: object = None, *, answer_type: Any = Any) -> Any: ...

    def suspend(self, key: str, payload: object = None, *, answer_type: Any = Any) -> Any:
        """Ask a person, and return the answer. See `ToolContext.suspend`."""
        question = self._ask(key, payload, answer_type)
        if not question.answered:
            self._wait_for(question.ask())
            raise Suspended
        return question.value()

    def progress(self, *, done: float, total: float | None = None, note: str = "") -> None:
        """Tell observers how far this call is. See `ToolContext.progress`."""

        async def report() -> None:
            self._report(done, total, note)

        self._wait_for(report())

    def _wait_for(self, body: Coroutine[Any, Any, None]) -> None:
        """Run something short on the loop. Raises AttemptEnded when that has ended."""
        try:
            done = asyncio.run_coroutine_threadsafe(body, self._loop)
        except RuntimeError:
            body.close()
            raise AttemptEnded(self.call_id, self.attempt) from None
        try:
            self._attempt.wait(done)
        finally:
            if inspect.getcoroutinestate(body) == inspect.CORO_CREATED:
                body.close()  # Its process has died, in a simulation: the loop never comes to it.


def _return_type(fn: Any) -> Any:
    """Return what `fn` is annotated to return; Any if it does not say."""
    if inspect.ismethod(fn):
        fn = fn.__func__
    try:
        return get_type_hints(fn, include_extras=True).get("return", Any)
    except (NameError, TypeError):
        return Any
