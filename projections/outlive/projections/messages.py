"""What was said in a run, as messages: the form in which a model reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias

import msgspec
from msgspec.structs import replace

from outlive.events import (
    ApprovalGranted,
    CallId,
    Event,
    Failure,
    ModelCallCompleted,
    OutputRejected,
    RequestedToolCall,
    RunCompleted,
    RunStarted,
    ToolCallCompleted,
    ToolCallFailed,
    Value,
)
from outlive.events.run.parts import InputPart


class UserMessage(msgspec.Struct, frozen=True, kw_only=True, tag="user", tag_field="role"):
    """What the run was asked, or what its model was told of an answer that does not fit."""

    text: str
    parts: tuple[InputPart, ...] = ()
    """Text, images and files, if it was more than text."""


class AssistantMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag="assistant", tag_field="role"
):
    """What the model answered: text, tool calls, or both."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[RequestedToolCall, ...] = ()


class ToolMessage(msgspec.Struct, frozen=True, kw_only=True, tag="tool", tag_field="role"):
    """What a tool answered; with `error`, why it did not."""

    call_id: CallId
    name: str
    result: Value = None
    error: Failure | None = None
    provider_id: str = ""

    @property
    def text(self) -> str:
        """The answer as a model reads it: text as it is, all else as JSON."""
        if self.error is not None:
            return f"error ({self.error.kind}): {self.error.message}"
        if isinstance(self.result, str):
            return self.result
        return msgspec.json.encode(self.result).decode()


Message: TypeAlias = UserMessage | AssistantMessage | ToolMessage


class Transcript:
    """Folds a run's events into its messages.

    The answers of parallel tool calls stand in the order in which the model asked, whatever
    the order in which they came.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.calls: dict[CallId, RequestedToolCall] = {}  # of the last model answer
        self.data: Value = None  # what the last answer says, if it has a type
        self._answers: dict[CallId, ToolMessage] = {}

    def apply(self, event: Event) -> None:
        """Take one event, in order. Most say nothing here."""
        fold = self._FOLD.get(type(event))
        if fold is not None:
            fold(self, event)

    def _began(self, event: RunStarted) -> None:
        self.messages.append(UserMessage(text=event.input, parts=event.parts))

    def _answered(self, event: ModelCallCompleted) -> None:
        answer = AssistantMessage(
            text=event.text, reasoning=event.reasoning, tool_calls=event.tool_calls
        )
        self.messages.append(answer)
        self.calls = {call.call_id: call for call in event.tool_calls}

    def _rejected(self, event: OutputRejected) -> None:
        self.messages.append(UserMessage(text=event.message))

    def _granted(self, event: ApprovalGranted) -> None:
        call = self.calls.get(event.call_id)
        if call is not None and event.arguments is not None:
            self.calls[event.call_id] = replace(call, arguments=event.arguments)

    def _tool_completed(self, event: ToolCallCompleted) -> None:
        self._answer(event.call_id, event.result, None)

    def _tool_failed(self, event: ToolCallFailed) -> None:
        if event.retry_at_ns is None:
            self._answer(event.call_id, None, event.error)

    def _completed(self, event: RunCompleted) -> None:
        self.data = event.data

    def _answer(self, call_id: CallId, result: Value, error: Failure | None) -> None:
        call = self.calls.get(call_id)
        if call is None:
            return
        self._answers[call_id] = ToolMessage(
            call_id=call_id,
            name=call.name,
            result=result,
            error=error,
            provider_id=call.provider_id,
        )
        if len(self._answers) == len(self.calls):
            self.messages.extend(self._answers[call_id] for call_id in self.calls)
            self._answers = {}

    # A dict, not a `match`: each event of each run comes through here.
    _FOLD: ClassVar[dict[type[Event], Callable[[Transcript, Any], None]]] = {
        RunStarted: _began,
        ModelCallCompleted: _answered,
        OutputRejected: _rejected,
        ApprovalGranted: _granted,
        ToolCallCompleted: _tool_completed,
        ToolCallFailed: _tool_failed,
        RunCompleted: _completed,
    }

    def all(self) -> tuple[Message, ...]:
        """Return the messages, with the answers so far of a step that is not done."""
        part = (self._answers[call_id] for call_id in self.calls if call_id in self._answers)
        return (*self.messages, *part)

    @property
    def output(self) -> str:
        """The text of the last model answer."""
        for message in reversed(self.messages):
            if isinstance(message, AssistantMessage):
                return message.text
        return ""


def messages_of(events: Iterable[Event]) -> tuple[Message, ...]:
    """Return the messages of a run's events."""
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    return transcript.all()
