"""What was said in a run, as messages: the form in which a model reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from msgspec.structs import replace

from outlive.events import (
    ApprovalGranted,
    AssistantMessage,
    BackgroundResultReceived,
    CallId,
    Event,
    Failure,
    Message,
    ModelCallCompleted,
    ModelCallStarted,
    OutputRejected,
    RequestedToolCall,
    RunCompleted,
    RunSignalled,
    RunStarted,
    RunWaiting,
    ToolCallCompleted,
    ToolCallDeferred,
    ToolCallFailed,
    ToolMessage,
    UserMessage,
    Value,
)


class Transcript:
    """Folds a run's events into its messages.

    The answers of parallel tool calls stand in the order in which the model asked, whatever
    the order in which they came.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.calls: dict[CallId, RequestedToolCall] = {}  # of the last model answer
        self.data: Value = None  # what the last answer says, if it has a type
        self.unread: dict[str, UserMessage] = {}  # signals of its thread that no call has seen
        # Results that no call has seen, and its thread will.
        self._to_wake: tuple[UserMessage, ...] = ()
        self._answers: dict[CallId, ToolMessage] = {}
        self._asked = False  # not all calls are answered yet
        self._calling = False  # the model is being called
        self._deferred: dict[CallId, RequestedToolCall] = {}  # results come later
        self._later: tuple[Message, ...] = ()  # once the step is over

    def apply(self, event: Event) -> None:
        """Take one event, in order. Most say nothing here."""
        fold = self.FOLDS.get(event.__class__)
        if fold is not None:
            fold(self, event)

    def _began(self, event: RunStarted) -> None:
        transient = event.thread is not None and event.thread.transient
        message = UserMessage(text=event.input, parts=event.parts, transient=transient)
        self.messages.append(message)

    def _called(self, event: ModelCallStarted) -> None:
        self._calling = True
        if event.attempt == 1:  # Another attempt is shown what the first one was.
            self.unread, self._to_wake = {}, ()

    def _answered(self, event: ModelCallCompleted) -> None:
        answer = AssistantMessage(
            text=event.text, reasoning=event.reasoning, tool_calls=event.tool_calls
        )
        self.messages.append(answer)
        self.calls = {call.call_id: call for call in event.tool_calls}
        self._asked, self._calling = bool(self.calls), False
        if not self._asked:
            self._come_later()

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

    def _tool_deferred(self, event: ToolCallDeferred) -> None:
        call = self.calls.get(event.call_id)
        if call is not None:
            self._deferred[event.call_id] = call
        self._answer(event.call_id, _placeholder(event.task_id), None)

    def _task_over(self, event: BackgroundResultReceived) -> None:
        call = self._deferred.pop(event.call_id, None)
        if call is not None:
            message = _background_result(call, event)
            if call.task is not None and call.task.on_complete == "wake":
                self._to_wake += (message,)
            self._tell(message)

    def _signalled(self, event: RunSignalled) -> None:
        text, parts = event.signal.rendered()
        message = UserMessage(text=text, parts=parts, transient=event.signal.transient)
        if event.message is not None:
            self.unread[event.signal_id] = message
        self._tell(message)

    def _waits(self, event: RunWaiting) -> None:
        self.data = event.data

    def _completed(self, event: RunCompleted) -> None:
        if event.finish_reason != "tasks_pending":  # Then the answer was there before.
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
            self._answers, self._asked = {}, False
            self._come_later()

    def _come_later(self) -> None:
        if self._later:
            self.messages.extend(self._later)
            self._later = ()

    def _tell(self, message: UserMessage) -> None:
        """Add what the model has not asked for: after the answers that are waited for."""
        if self._asked or self._calling:
            self._later += (message,)
        else:
            self.messages.append(message)

    # A dict, not a `match`: each event of each run comes through here.
    FOLDS: ClassVar[dict[type[Event], Callable[[Transcript, Any], None]]] = {
        RunStarted: _began,
        ModelCallStarted: _called,
        ModelCallCompleted: _answered,
        OutputRejected: _rejected,
        ApprovalGranted: _granted,
        ToolCallCompleted: _tool_completed,
        ToolCallFailed: _tool_failed,
        ToolCallDeferred: _tool_deferred,
        BackgroundResultReceived: _task_over,
        RunSignalled: _signalled,
        RunWaiting: _waits,
        RunCompleted: _completed,
    }
    """What `apply` does, for who takes very many events."""

    def all(self) -> tuple[Message, ...]:
        """Return the messages, with the answers so far of a step that is not done."""
        part = (self._answers[call_id] for call_id in self.calls if call_id in self._answers)
        return (*self.messages, *part, *self._later)

    def closed(self) -> tuple[Message, ...]:
        """Return the messages of a run that is over, as others read on: each call has an answer.

        A call that was still open has failed: the run was over before. What the model has not
        seen, and its thread tells to others, is left out: signals, and results that wake it.
        """
        missing = Failure(kind="cancelled", message="the run was over before there was an answer")
        part = (
            self._answers.get(call.call_id)
            or ToolMessage(
                call_id=call.call_id,
                name=call.name,
                error=missing,
                provider_id=call.provider_id,
            )
            for call in (self.calls.values() if self._asked else ())
        )
        unread = {id(message) for message in (*self.unread.values(), *self._to_wake)}
        every = (*self.messages, *part, *self._later)
        return tuple(message for message in every if id(message) not in unread)

    @property
    def output(self) -> str:
        """The text of the last model answer."""
        for message in reversed(self.messages):
            if isinstance(message, AssistantMessage):
                return message.text
        return ""


def _placeholder(task_id: str) -> str:
    return f"queued as background task {task_id}: its result will be told when there is one"


def _background_result(call: RequestedToolCall, event: BackgroundResultReceived) -> UserMessage:
    """Return how a model is told the result of a call that it was told to be deferred."""
    text = task_result(
        event.task_id, call.name, event.status, result=event.result, error=event.error
    )
    return UserMessage(text=text, call_id=call.call_id)


def task_result(
    task_id: str, tool: str, status: str, *, result: Value, error: Failure | None
) -> str:
    """Return what a model is told of a background task that has ended."""
    told = ToolMessage(call_id=CallId(""), name=tool, result=result, error=error)
    return f"Background task {task_id} (tool {tool}) {status.replace('_', ' ')}: {told.text}"


def messages_of(events: Iterable[Event]) -> tuple[Message, ...]:
    """Return the messages of a run's events."""
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    return transcript.all()
