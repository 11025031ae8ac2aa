"""A run or a task on a time axis: calls, child runs, tasks, and who took it up again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from outlive.events import (
    BackgroundResultReceived,
    ChildRunEnded,
    ChildRunStarted,
    Event,
    Failure,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunRecovered,
    TaskQueued,
    TaskRequested,
    TaskRequeued,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallInDoubt,
    ToolCallStarted,
    ToolCallSuspended,
    ToolStepCompleted,
    Usage,
)
from outlive.projections.task_as_run import as_of_run

Outcome: TypeAlias = Literal["open", "completed", "failed", "cut_off", "suspended", "in_doubt"]
"""`cut_off`: the process ended while it ran. `suspended`: it asked a person.
`in_doubt`: what it has done is unknown. `open`: it runs, or nobody has said otherwise."""


_Key: TypeAlias = tuple[int | str, int]
"""A step (of a model call) or a call id (of a tool call), and the attempt."""


class StepMark(msgspec.Struct, frozen=True, kw_only=True):
    """A `ctx.step` of a tool that was recorded."""

    key: str
    version: int
    recorded_at_ns: int
    elapsed_ms: int


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a model or tool call, or what answers one: a child run or a task.

    `ended_at_ns` of an attempt that was cut off is the last that the log heard of its process:
    it lived at least until then. `name` is the tool's, the model's, or the sub-agent's id. `run_id`
    is the child run, and `task_id` the task, whose attempts are in its own timeline. `steps` are
    those that this attempt recorded; those that it was given from earlier attempts are not among
    them.
    """

    kind: Literal["model", "tool", "run", "task"]
    name: str
    step: int
    call_id: str = ""
    attempt: int = 1
    outcome: Outcome = "open"
    started_version: int
    started_at_ns: int
    ended_version: int | None = None
    ended_at_ns: int | None = None
    error: Failure | None = None
    retry_at_ns: int | None = None
    usage: Usage = Usage()
    deltas: int = 0
    characters: int = 0  # of text in those deltas
    steps: tuple[StepMark, ...] = ()
    run_id: str = ""
    task_id: str = ""

    @property
    def elapsed_ms(self) -> int | None:
        """How long the attempt took by the log's clock; None while it is open."""
        if self.ended_at_ns is None:
            return None
        return (self.ended_at_ns - self.started_at_ns) // 1_000_000


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """A process took the run up again; `silent_since_ns` is the last event before."""

    version: int
    recorded_at_ns: int
    epoch: int
    clean: bool
    silent_since_ns: int


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A run or task as spans, in the order in which they began. All zero for no events."""

    started_at_ns: int = 0
    last_at_ns: int = 0
    ended_at_ns: int | None = None
    head: int = 0  # version of the last event
    spans: tuple[Span, ...] = ()
    recoveries: tuple[Recovery, ...] = ()

    @property
    def elapsed_ms(self) -> int:
        """From the first event to the end, times without a living process included.

        To the last event of what goes on. What comes after the end, a late result say, does not
        make it longer.
        """
        end_ns = self.last_at_ns if self.ended_at_ns is None else self.ended_at_ns
        return (end_ns - self.started_at_ns) // 1_000_000


def timeline(events: Iterable[Recorded]) -> Timeline:
    """Fold the events of a run or task, from its first one on, into its timeline. Pure.

    Events that make no sense (an end without a start) are passed over.
    """
    fold = _Fold()
    for recorded in events:
        fold.apply(recorded)
    return fold.result()


class _Fold:
    """Spans by what they are attempts at, changed as events come."""

    def __init__(self) -> None:
        self._spans: dict[_Key, Span] = {}  # by step or call id, and attempt
        self._steps: dict[_Key, list[StepMark]] = {}
        self._recoveries: list[Recovery] = []
        self._first: Recorded | None = None
        self._last: Recorded | None = None
        self._silent: Recorded | None = None  # the last event before the recovery of this commit
        self._ended_at_ns: int | None = None
        self._names: dict[str, str] = {}  # of tools that tasks call, by call id
        self._task: TaskQueued | None = None  # what it is of, if not of a run

    def apply(self, recorded: Recorded) -> None:
        """Take one event, in order."""
        if self._last is not None and recorded.position != self._last.position:
            self._silent = None
        event = recorded.event
        if isinstance(event, TaskQueued):
            self._task = event
        elif isinstance(event, TaskRequeued):
            self._ended_at_ns = None  # It goes on after all.
        events = (event,) if self._task is None else as_of_run(event, self._task, len(self._spans))
        for one in events:
            self._apply(recorded, one)
        self._first, self._last = self._first or recorded, recorded

    def _apply(self, recorded: Recorded, event: Event) -> None:
        key = _key_of(event)
        match event:
            case ModelCallStarted():
                self._spans[key] = Span(
                    kind="model",
                    name=event.model,
                    step=event.step,
                    attempt=event.attempt,
                    started_version=recorded.version,
                    started_at_ns=recorded.recorded_at_ns,
                )
            case ModelDelta():
                if span := self._spans.get(key):
                    self._spans[key] = replace(
                        span, deltas=span.deltas + 1, characters=span.characters + len(event.text)
                    )
            case ModelCallCompleted():
                self._end(recorded, key, outcome="completed", usage=event.usage)
                self._names |= {call.call_id: call.name for call in event.tool_calls if call.task}
            case ModelCallFailed():
                retry = event.retry_at_ns
                self._end(recorded, key, outcome="failed", error=event.error, retry_at_ns=retry)
            case ModelAttemptAbandoned():
                self._cut_off(recorded, key)
            case ToolCallStarted():
                self._cut_off(recorded, (event.call_id, event.attempt - 1))
                self._spans[key] = Span(
                    kind="tool",
                    name=event.name,
                    step=_step_of(event.call_id),
                    call_id=event.call_id,
                    attempt=event.attempt,
                    started_version=recorded.version,
                    started_at_ns=recorded.recorded_at_ns,
                )
            case ChildRunStarted():
                self._spans[key] = Span(
                    kind="run",
                    name=event.agent_id,
                    step=_step_of(event.call_id),
                    call_id=event.call_id,
                    started_version=recorded.version,
                    started_at_ns=recorded.recorded_at_ns,
                    run_id=event.run_id,
                )
            case TaskRequested():
                self._spans[key] = Span(
                    kind="task",
                    name=self._names.get(event.call_id, ""),
                    step=_step_of(event.call_id),
                    call_id=event.call_id,
                    started_version=recorded.version,
                    started_at_ns=recorded.recorded_at_ns,
                    task_id=event.task_id,
                )
            case BackgroundResultReceived():
                # Of one that the step waits for, the result of the call, which follows, ends it.
                if event.status == "succeeded":
                    self._end(recorded, key, outcome="completed")
                elif event.error is not None:
                    self._end(recorded, key, outcome="failed", error=event.error)
            case ChildRunEnded():
                if span := self._spans.get(key):  # The result of the call, which follows, ends it.
                    self._spans[key] = replace(span, usage=event.usage)
            case ToolStepCompleted():
                mark = StepMark(
                    key=event.key,
                    version=recorded.version,
                    recorded_at_ns=recorded.recorded_at_ns,
                    elapsed_ms=event.elapsed_ms,
                )
                self._steps.setdefault(key, []).append(mark)
            case ToolCallCompleted():
                self._end(recorded, key, outcome="completed")
            case ToolCallFailed():
                if self._silent is not None:
                    self._cut_off(recorded, key, event.error)
                else:
                    retry = event.retry_at_ns
                    self._end(recorded, key, outcome="failed", error=event.error, retry_at_ns=retry)
            case RunRecovered():
                self._silent = self._last or recorded
                recovery = Recovery(
                    version=recorded.version,
                    recorded_at_ns=recorded.recorded_at_ns,
                    epoch=event.epoch,
                    clean=event.clean,
                    silent_since_ns=self._silent.recorded_at_ns,
                )
                self._recoveries.append(recovery)
            case ToolCallSuspended():
                self._end(recorded, key, outcome="suspended")
            case ToolCallInDoubt():
                self._end(self._silent or recorded, key, outcome="in_doubt")
            case RunCompleted() | RunFailed() | RunCancelled():
                self._ended_at_ns = recorded.recorded_at_ns
            case _:
                pass

    def _end(
        self,
        at: Recorded,
        key: _Key,
        *,
        outcome: Outcome,
        error: Failure | None = None,
        usage: Usage | None = None,
        retry_at_ns: int | None = None,
    ) -> None:
        span = self._spans.get(key)
        if span is not None and span.outcome == "open":
            self._spans[key] = replace(
                span,
                outcome=outcome,
                ended_version=at.version,
                ended_at_ns=at.recorded_at_ns,
                error=error,
                usage=span.usage if usage is None else usage,
                retry_at_ns=retry_at_ns,
            )

    def _cut_off(self, recorded: Recorded, key: _Key, error: Failure | None = None) -> None:
        self._end(self._silent or recorded, key, outcome="cut_off", error=error)

    def result(self) -> Timeline:
        """Return the timeline so far."""
        if self._first is None or self._last is None:
            return Timeline()
        spans = (
            replace(span, steps=tuple(self._steps.get(key, ())))
            for key, span in self._spans.items()
        )
        return Timeline(
            started_at_ns=self._first.recorded_at_ns,
            last_at_ns=self._last.recorded_at_ns,
            ended_at_ns=self._ended_at_ns,
            head=self._last.version,
            spans=tuple(spans),
            recoveries=tuple(self._recoveries),
        )


def _key_of(event: Event) -> _Key:
    match event:
        case ModelCallStarted() | ModelDelta() | ModelCallCompleted() | ModelCallFailed():
            return event.step, event.attempt
        case ModelAttemptAbandoned():
            return event.step, event.attempt
        case ToolCallStarted() | ToolStepCompleted() | ToolCallCompleted():
            return event.call_id, event.attempt
        case ToolCallFailed():
            return event.call_id, max(event.attempt, 1)  # 0: a task could not be begun, for one
        case ToolCallSuspended() | ToolCallInDoubt():
            return event.call_id, event.attempt
        case ChildRunStarted() | ChildRunEnded() | TaskRequested() | BackgroundResultReceived():
            return event.call_id, 1
        case _:
            return "", 0


def _step_of(call_id: str) -> int:
    number = call_id.partition(".")[0]
    return int(number) if number.isdigit() else 0
