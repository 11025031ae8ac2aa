"""Models that need no network: one that plays a script, one that echoes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from outlive.actors.model import Finish, ModelPart, ModelRequest, TextDelta, ToolCallPart
from outlive.events import OutliveError, Usage, Value
from outlive.projections import UserMessage

_WORD = re.compile(r"\S+\s*|\s+")


class ScriptExhausted(OutliveError):
    """A `ScriptedModel` was asked for a step past the end of its script."""


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A tool call in a script."""

    name: str
    arguments: dict[str, Value] = {}


class Turn(msgspec.Struct, frozen=True):
    """One answer of a `ScriptedModel`.

    Args:
        text: streamed as one delta a word, unless `chunks` says otherwise.
        tool_calls: asked for after the text.
        usage: tokens that the answer claims to have taken.
        chunks: the deltas to stream in the place of `text`.
        delay: seconds before each part.
        error: raised after the text, in the place of an end.
        cut_off: end without `Finish`, as a connection that breaks.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage | None = None
    chunks: Sequence[str] | None = None
    delay: float = 0.0
    error: BaseException | None = None
    cut_off: bool = False


Script = Sequence[Turn] | Callable[[ModelRequest], Turn]


class ScriptedModel:
    """Plays the turn at `request.step` of a script, or what a function makes of the request.

    It holds no position of its own, so a run that goes on in another process goes on in the
    script as well.
    """

    def __init__(self, script: Script, *, name: str = "scripted") -> None:
        self._script = script
        self._name = name

    @property
    def name(self) -> str:
        """What the log calls this model."""
        return self._name

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Stream the turn. Raises ScriptExhausted past the end of the script."""
        turn = self._turn(request)
        for part in _parts(turn):
            if turn.delay:
                await pause(turn.delay)
            yield part
        if turn.error is not None:
            raise turn.error.with_traceback(None)
        if not turn.cut_off:
            yield Finish("tool_calls" if turn.tool_calls else "stop")

    def _turn(self, request: ModelRequest) -> Turn:
        if callable(self._script):
            return self._script(request)
        if request.step >= len(self._script):
            raise ScriptExhausted(
                f"step {request.step} was asked for, the script has {len(self._script)} turns"
            )
        return self._script[request.step]


class EchoModel:
    """Answers with the last user message, in one part."""

    @property
    def name(self) -> str:
        """What the log calls this model."""
        return "echo"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Stream the last user message."""
        texts = [message.text for message in request.messages if isinstance(message, UserMessage)]
        yield TextDelta(texts[-1] if texts else "")
        yield Finish()


def _parts(turn: Turn) -> list[ModelPart]:
    chunks = _WORD.findall(turn.text) if turn.chunks is None else turn.chunks
    parts: list[ModelPart] = [TextDelta(chunk) for chunk in chunks]
    parts += [ToolCallPart(call.name, call.arguments) for call in turn.tool_calls]
    if turn.usage is not None:
        parts.append(turn.usage)
    return parts


async def pause(seconds: float) -> None:
    """Wait on the running loop's own clock."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_later(seconds, wake)
    try:
        await waiter
    finally:
        timer.cancel()
