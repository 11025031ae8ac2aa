"""What was said, as messages: the form in which a model reads it, and a thread keeps it."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from outlive.events.event import Failure, RequestedToolCall
from outlive.events.ids import CallId
from outlive.events.run.parts import InputPart
from outlive.events.values import Value


class UserMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag="user", tag_field="role", gc=False
):
    """What the run was asked, or what its model was told without having asked in this step.

    That is, that an answer does not fit, how a background task has ended, or a signal.
    """

    text: str
    parts: tuple[InputPart, ...] = ()
    """Text, images and files, if it was more than text."""
    call_id: CallId | None = None
    """The call that the background task has answered."""
    transient: bool = False
    """It was shown once, and is not kept in a thread."""


class AssistantMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag="assistant", tag_field="role", gc=False
):
    """What the model answered: text, tool calls, or both."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[RequestedToolCall, ...] = ()


class ToolMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag="tool", tag_field="role", gc=False
):
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
