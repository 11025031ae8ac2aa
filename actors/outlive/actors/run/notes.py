"""What a run's effects need of its events besides its state: messages, and values of steps."""

from __future__ import annotations

from typing import Final

from outlive.events import (
    CallId,
    Event,
    LogReader,
    ModelCallCompleted,
    ModelCallStarted,
    RunResumed,
    RunStarted,
    StreamId,
    ToolCallCompleted,
    ToolCallFailed,
    ToolStepCompleted,
    Usage,
    Value,
    Version,
)
from outlive.events.run.stopping import StopFunction
from outlive.projections import Transcript

_PAGE: Final = 1_000
_NOTED: Final = Transcript.events | {ModelCallStarted, ToolStepCompleted, RunResumed}


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
        self.model = ""  # the one that was called last
        self.step = 0
        self.usage = Usage()

    def apply(self, event: Event) -> None:
        """Take one event."""
        if type(event) not in _NOTED:
            return
        self.transcript.apply(event)
        match event:
            case ToolStepCompleted():
                self.memos.setdefault(event.call_id, {})[event.key] = event.value
            case ModelCallStarted():
                self.model = event.model
            case ToolCallCompleted() | ToolCallFailed(retry_at_ns=None):
                self.memos.pop(event.call_id, None)
                self.answers.pop(event.call_id, None)
            case ModelCallCompleted():
                self.step = event.step + 1
                self.usage += event.usage
            case RunResumed():
                self.answers.setdefault(event.call_id, {})[event.key] = event.value
            case RunStarted():
                self.agent_id = event.agent_id
                self.metadata = event.metadata
                self.request_context = event.request_context
                self.provider_options = event.provider_options
                self.stop_functions = tuple(
                    condition.name
                    for condition in event.stop_when
                    if isinstance(condition, StopFunction)
                )
            case _:
                pass


def read_notes(log: LogReader, stream: StreamId, version: Version) -> Notes:
    """Return the notes of a run's events up to `version`, and of none beyond it.

    Raises:
        CorruptLog, NewerFormat: the stream cannot be read; nothing is guessed at.
    """
    notes, after = Notes(), Version(0)
    while after < version:
        page = log.read(stream, after=after, limit=min(_PAGE, version - after))
        if not page:
            break
        for recorded in page:
            if recorded.version <= version:
                notes.apply(recorded.event)
        after = page[-1].version
    return notes
