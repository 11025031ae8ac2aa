"""What a run's effects need of its events besides its state: messages, and values of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

from outlive.events import (
    BackgroundCall,
    CallId,
    ChildRunEnded,
    Event,
    Message,
    ModelCallCompleted,
    ModelCallStarted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunSignalled,
    RunStarted,
    ThreadPlace,
    ToolCallCompleted,
    ToolCallDeferred,
    ToolCallFailed,
    ToolStepCompleted,
    Usage,
    Value,
)
from outlive.events.run.stopping import StopFunction
from outlive.projections import Transcript


class Notes:
    """Folds a run's events, in order, each once."""

    def __init__(self) -> None:
        self.transcript: Final = Transcript()
        self.memos: Final[dict[CallId, dict[str, Value]]] = {}  # of the calls that are open
        self.answers: Final[dict[CallId, dict[str, Value]]] = {}  # what people have said to them
        self.agent_id = ""
        self.metadata: dict[str, Value] = {}
        self.request_context: dict[str, Value] = {}
        self.provider_options: dict[str, Value] = {}
        self.stop_functions: tuple[str, ...] = ()
        self.thread: ThreadPlace | None = None
        self.tools: tuple[str, ...] | None = None  # those of the agent that it may call
        self.model = ""  # the one that was called last
        self.bound = 0  # with so many messages
        self.step = 0
        self.usage = Usage()  # with that of child runs
        self.end: RunCompleted | RunFailed | RunCancelled | None = None
        self.said: tuple[Message, ...] = ()  # by then, if it is on a thread
        self.tasks: Final[dict[CallId, BackgroundCall]] = {}  # deferred, if it is on a thread

    def apply(self, events: Iterable[Event]) -> None:
        """Take events, in order."""
        transcript, said, noted = self.transcript, Transcript.FOLDS.get, self._NOTE.get
        for event in events:
            kind = event.__class__
            fold = said(kind)
            if fold is not None:
                fold(transcript, event)
            note = noted(kind)
            if note is not None:
                note(self, event)

    def _began(self, event: RunStarted) -> None:
        self.agent_id = event.agent_id
        self.metadata = event.metadata
        self.request_context = event.request_context
        self.provider_options = event.provider_options
        self.thread = event.thread
        self.tools = None if event.fire is None else event.fire.tools
        self.stop_functions = tuple(
            condition.name for condition in event.stop_when if isinstance(condition, StopFunction)
        )

    def _signalled(self, event: RunSignalled) -> None:
        if event.signal.provider_options:
            self.provider_options = {**self.provider_options, **event.signal.provider_options}

    def _called(self, event: ModelCallStarted) -> None:
        self.model, self.bound = event.model, event.messages

    def _answered(self, event: ModelCallCompleted) -> None:
        self.step = event.step + 1
        self.usage += event.usage

    def _stepped(self, event: ToolStepCompleted) -> None:
        self.memos.setdefault(event.call_id, {})[event.key] = event.value

    def _resumed(self, event: RunResumed) -> None:
        self.answers.setdefault(event.call_id, {})[event.key] = event.value

    def _ended(self, event: ToolCallCompleted | ToolCallFailed) -> None:
        if isinstance(event, ToolCallCompleted) or event.retry_at_ns is None:
            self.memos.pop(event.call_id, None)
            self.answers.pop(event.call_id, None)

    def _heard_of(self, event: ChildRunEnded) -> None:
        self.usage += event.usage

    def _deferred(self, event: ToolCallDeferred) -> None:
        call = self.transcript.calls.get(event.call_id)
        if self.thread is not None and call is not None and call.task is not None:
            self.tasks[event.call_id] = call.task

    def _over(self, event: RunCompleted | RunFailed | RunCancelled) -> None:
        self.end = event
        if self.thread is not None:
            self.said = self.transcript.closed()  # What comes later is told by itself.

    # A dict, not a `match`: each event of each run comes through here.
    _NOTE: ClassVar[dict[type[Event], Callable[[Notes, Any], None]]] = {
        RunStarted: _began,
        RunSignalled: _signalled,
        ModelCallStarted: _called,
        ModelCallCompleted: _answered,
        ToolStepCompleted: _stepped,
        RunResumed: _resumed,
        ToolCallCompleted: _ended,
        ToolCallFailed: _ended,
        ToolCallDeferred: _deferred,
        ChildRunEnded: _heard_of,
        RunCompleted: _over,
        RunFailed: _over,
        RunCancelled: _over,
    }
