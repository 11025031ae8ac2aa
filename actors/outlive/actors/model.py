"""What a model is: a request goes in, parts of an answer come out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Protocol, TypeAlias, runtime_checkable

import msgspec

from outlive.events import Usage, Value
from outlive.projections import Message

_COUNT_BOUND: Final = 1 << 53


class ToolSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as a model sees it. `parameters` and `output` are JSON Schemas."""

    name: str
    description: str
    parameters: dict[str, Value]
    output: dict[str, Value] | None = None


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call of a model. `step` = completed model calls of this run."""

    run_id: str
    agent_id: str
    step: int
    attempt: int
    instructions: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    settings: dict[str, Value] = {}  # the agent's `model_settings`
    provider_options: dict[str, Value] = {}  # of `start(provider_options=...)`
    output_schema: dict[str, Value] | None = None  # JSON Schema of the final answer's text


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the answer."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the reasoning before the answer."""

    text: str


class ToolCallPart(msgspec.Struct, frozen=True, gc=False):
    """A complete tool call. `arguments` is a dict, or the JSON text of one."""

    name: str
    arguments: dict[str, Value] | str
    id: str = ""


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The answer is complete. Must come last: without it the answer was cut off."""

    reason: str = "stop"


ModelPart: TypeAlias = TextDelta | ReasoningDelta | ToolCallPart | Usage | Finish


@runtime_checkable
class Model(Protocol):
    """Answers requests. One object serves any number of runs at the same time."""

    @property
    def name(self) -> str:
        """What the log calls this model."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Return the parts of the answer as they come, `Finish` last.

        An exception, or an end without `Finish`, fails the call. The iterator is cancelled
        with the run's process; a call that a crash cut off is made again with the same step
        and the next attempt.
        """
        ...


def checked_usage(usage: Usage) -> Usage:
    """Return what a model says it has taken: it is not checked until here, and is stored.

    Raises:
        TypeError: it is no count of tokens.
    """
    for count in (usage.input_tokens, usage.output_tokens):
        if type(count) is not int or not 0 <= count < _COUNT_BOUND:
            raise TypeError(f"a usage counts tokens, not {count!r}")
    return usage
