"""Calling a model: its parts become deltas while they come, and one answer in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Literal

import msgspec

from outlive.actors.agent import Agent
from outlive.actors.background import Plan
from outlive.actors.background_plans import planned
from outlive.actors.effects import running_task
from outlive.actors.logs import shortened, told
from outlive.actors.model import (
    Finish,
    Model,
    ModelPart,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallPart,
    checked_usage,
)
from outlive.actors.model_error import kind_of, retry_after_ns, retryable
from outlive.actors.patience import OutOfTime
from outlive.actors.run.commands import (
    CallModel,
    CompleteModelCall,
    FailModelCall,
    PlannedCall,
    RecordDelta,
)
from outlive.actors.sub_agents import problem_with
from outlive.events import (
    Clock,
    EventTooLarge,
    Failure,
    UnserialisableValue,
    Usage,
    Value,
    to_plain,
)
from outlive.events.logger import get_logger
from outlive.events.sizes import Size

_WAIT: Final = 0.025  # seconds a piece waits for more
_SIZE: Final = 1_024  # characters that are enough to be recorded at once
_ROOM_FOR_A_CALL: Final = 256  # bytes that stand around it in its events

_log = get_logger()


def failure(kind: str, error: BaseException) -> Failure:
    """Return what the log keeps of an exception."""
    if isinstance(error, OutOfTime):
        return Failure(kind="timeout", message=str(error))
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # an exception that cannot even say what it is
        text = ""
    message = f"{name}: {text}" if text else name
    if isinstance(error, EventTooLarge):
        kind = "too_large"
    return Failure(kind=kind, message=cut(message), exception=name)


def types_of(error: BaseException) -> tuple[str, ...]:
    """Return the names of the types that an exception is of, without their modules."""
    return tuple(kind.__name__ for kind in type(error).__mro__[:-1])


def cut(text: str) -> str:
    """Return text that can be stored: valid Unicode, at most 2,000 characters."""
    return shortened(text).encode("utf-8", "replace").decode()


class _Deltas(msgspec.Struct, eq=False):
    """Joins pieces of an answer: recorded after 25 ms or 1,024 characters.

    The first piece is held back until there is a second one: an answer that comes in one part
    needs no delta. What is not yet recorded when the answer is complete never is: the answer
    holds it.
    """

    effect: CallModel
    record: Callable[[RecordDelta], None]
    answer: Size
    pieces: list[str] = []
    size: int = 0
    kind: Literal["text", "reasoning"] = "text"
    parts: int = 0
    timer: asyncio.TimerHandle | None = None

    def add(self, text: str, kind: Literal["text", "reasoning"]) -> None:
        to_plain(text)
        self.answer.add_text(text)
        if not text:
            return
        self.parts += 1
        if kind != self.kind:
            self.flush()
            self.kind = kind
        self.pieces.append(text)
        self.size += len(text)
        if self.size >= _SIZE and self.parts > 1:
            self.flush()
        elif self.parts > 1 and self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(_WAIT, self.flush)

    def flush(self) -> None:
        self.stop()
        if self.pieces:
            text = "".join(self.pieces)
            self.pieces, self.size = [], 0
            delta = RecordDelta(
                step=self.effect.step, attempt=self.effect.attempt, text=text, kind=self.kind
            )
            self.record(delta)

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


async def call_model(
    agent: Agent,
    model: Model,
    effect: CallModel,
    request: ModelRequest,
    clock: Clock,
    *,
    record: Callable[[RecordDelta], None],
    given_up: Callable[[], bool],
    plans: Mapping[str, Plan],
    request_digest: str,
) -> CompleteModelCall | FailModelCall:
    """Call a model of the agent and return the outcome.

    `record` is given pieces of the answer as they come. `given_up` says whether nobody wants
    the outcome any more; CancelledError is raised then, and nothing else ever. `plans` say
    which tools are called in the background.
    """
    started_ns, task = clock.monotonic_ns(), asyncio.current_task()
    size = Size()
    deltas = _Deltas(effect, record, size)
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[PlannedCall] = []
    usage = Usage()
    finish: Finish | None = None
    error: Failure | None = None
    cause: BaseException | None = None
    parts: AsyncIterator[ModelPart] | None = None
    try:
        parts = model.stream(request)
        async for part in parts:
            if finish is not None:
                raise TypeError(f"nothing comes after Finish, but {part!r} did")
            match part:
                case TextDelta(text=str()):
                    deltas.add(part.text, "text")
                    text.append(part.text)
                case ReasoningDelta(text=str()):
                    deltas.add(part.text, "reasoning")
                    reasoning.append(part.text)
                case ToolCallPart():
                    call = _plan(agent, part, plans)
                    size.add(call, room=_ROOM_FOR_A_CALL + 4 * len(call.name))
                    calls.append(call)
                case Usage():
                    usage += checked_usage(part)
                case Finish(reason=str()):
                    to_plain(part.reason)
                    size.add_text(2 * part.reason)
                    finish = part
                case _:  # a model from outside, unchecked until here
                    raise TypeError(f"a model yields ModelParts, not {part!r}")  # pyright: ignore[reportUnreachable]
    except BaseException as raised:  # a model's end is not the runtime's
        if ended_from_outside(raised, task) and isinstance(raised, GeneratorExit):
            raise
        if given_up() or ended_from_outside(raised, task):
            raise asyncio.CancelledError from raised
        error, cause = failure(kind_of(raised), raised), raised
        await _close(parts)
    finally:
        deltas.stop()
    elapsed_ms = (clock.monotonic_ns() - started_ns) // 1_000_000
    if error is None and finish is None:
        error = Failure(kind="incomplete", message="the model's answer ended without `Finish`")
    if error is not None:
        deltas.flush()
        return FailModelCall(
            step=effect.step,
            attempt=effect.attempt,
            error=error,
            types=() if cause is None else types_of(cause),
            now_ns=clock.now_ns(),
            retry=agent.model_retry,
            retryable=None if cause is None else retryable(cause),
            retry_after_ns=0 if cause is None else retry_after_ns(cause) or 0,
            spread_by=f"{request.run_id}/model/{effect.step}",
            fallback=agent.fallback_of(model.name),
            elapsed_ms=elapsed_ms,
            request_digest=request_digest,
        )
    assert finish is not None
    return CompleteModelCall(
        step=effect.step,
        attempt=effect.attempt,
        text="".join(text),
        reasoning="".join(reasoning),
        tool_calls=tuple(calls),
        usage=usage,
        finish_reason=finish.reason,
        elapsed_ms=elapsed_ms,
        now_ns=clock.now_ns(),
        request_digest=request_digest,
    )


def ended_from_outside(raised: BaseException, task: asyncio.Task[object] | None) -> bool:
    """Whether a body was ended by somebody else: cancelled, or destroyed with its loop.

    A task group cancels its own parent when a child has failed (and, before Python 3.12, does
    not take that back): what it raises then is the body's own error.
    """
    if isinstance(raised, GeneratorExit):
        return running_task() is not task
    if task is None or not task.cancelling():
        return False
    error: BaseException | None = raised
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return False
        error = error.__cause__ or error.__context__
    return True


async def _close(parts: AsyncIterator[ModelPart] | None) -> None:
    """End an iterator that is not read to its end, so that it lets go of what it holds now."""
    close = getattr(parts, "aclose", None)
    if close is not None:
        try:
            await close()
        except Exception as error:  # noqa: BLE001  # the call has failed already
            _log.warning("model_stream_not_closed", error=told(error))


def _plan(agent: Agent, part: ToolCallPart, plans: Mapping[str, Plan]) -> PlannedCall:
    """Look the tool up and check the arguments; what is wrong goes back to the model."""
    if not (_is_text(part.name) and _is_text(part.id)):
        raise TypeError(f"a tool call's name and id are text: {part!r}")
    to_plain(part.id)
    arguments, problem = _arguments(part)
    task, tool = None, agent.tools.get(part.name)
    if problem is None and part.name in plans:
        arguments, task, problem = planned(plans[part.name], arguments)
    if problem is None:
        if part.name in agent.agents:
            problem = problem_with(arguments)
        elif tool is None:
            known = ", ".join([*agent.tools, *agent.agents]) or "none"
            message = f"there is no tool {part.name!r} (known: {known})"
            problem = Failure(kind="unknown_tool", message=cut(message))
        else:
            problem = tool.problem_with(arguments)
    return PlannedCall(
        name=cut(part.name) if tool is None else tool.name,
        arguments=arguments,
        provider_id=part.id,
        problem=problem,
        task=task,
    )


def _is_text(value: object) -> bool:
    """What a model from outside says is not checked until here."""
    return isinstance(value, str)


def _arguments(part: ToolCallPart) -> tuple[dict[str, Value], Failure | None]:
    try:
        given: object = part.arguments
        if isinstance(given, str):
            given = msgspec.json.decode(given or "{}")
        plain = to_plain(given)
    except (msgspec.DecodeError, UnicodeEncodeError, UnserialisableValue) as error:
        return {}, Failure(kind="invalid_arguments", message=cut(f"not valid JSON: {error}"))
    if not isinstance(plain, dict):
        return {}, Failure(kind="invalid_arguments", message="the arguments are no JSON object")
    return plain, None
