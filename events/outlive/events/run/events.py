"""What happens in a run, in the past tense.

`step` counts completed model calls, from 0: the model call of step 3 asks for the tool calls
`3.0`, `3.1` and so on. `attempt` counts from 1.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from outlive.events.event import Event, Failure, RequestedToolCall, Usage
from outlive.events.fires import FireOf
from outlive.events.ids import CallId
from outlive.events.mail import MessageDelivered, MessageId
from outlive.events.run.background import BackgroundEvent, IdlePolicy
from outlive.events.run.children import ChildEvent, ParentCall
from outlive.events.run.parts import InputPart
from outlive.events.run.people import PeopleEvent
from outlive.events.run.stopping import StopCondition
from outlive.events.run.thread import RunSignalled, ThreadPlace
from outlive.events.values import Value


class RunStarted(Event, tag="run-started", frozen=True, kw_only=True):
    """A run began. Always the first event, once; durable before the first model call.

    An input of several parts is in `parts`; `input` is their text.
    """

    agent_id: str
    input: str
    max_steps: int = 20
    tool_concurrency: int = 10
    metadata: dict[str, Value] = {}
    stop_when: tuple[StopCondition, ...] = ()
    request_context: dict[str, Value] = {}  # for tools and functions
    provider_options: dict[str, Value] = {}  # for the model
    parts: tuple[InputPart, ...] = ()
    until_idle: IdlePolicy | None = None  # None: until the model has nothing more to ask for
    parent: ParentCall | None = None  # of a child run
    thread: ThreadPlace | None = None  # on which it works
    fire: FireOf | None = None  # of a heartbeat
    message: MessageId | None = None  # by which its parent, thread or heartbeat has started it


class RunRecovered(Event, tag="run-recovered", frozen=True, kw_only=True):
    """A process took the run up again. What was in flight is settled in the same commit."""

    epoch: int  # of the owner that goes on with it
    attempt: int = 1  # recoveries after an unclean end, without anything new between them
    clean: bool = False  # the owner before had closed in good order
    model: str = ""  # the model that is called from now on, if it is another one


class ModelCallStarted(Event, tag="model-call-started", frozen=True, kw_only=True):
    """The model is being called. Holds the bounds of the history, never the messages."""

    step: int = 0
    attempt: int = 1
    model: str
    messages: int = 0  # the call was made with the first so many messages of the run


class ModelDelta(Event, tag="model-delta", frozen=True, kw_only=True):
    """A piece of the answer, as it came in. Changes no state; none for an answer of one part."""

    step: int = 0
    attempt: int = 1
    text: str
    kind: Literal["text", "reasoning"] = "text"


class ModelCallCompleted(Event, tag="model-call-completed", frozen=True, kw_only=True):
    """The model answered. Holds the full message."""

    step: int = 0
    attempt: int = 1
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[RequestedToolCall, ...] = ()
    usage: Usage = Usage()
    finish_reason: str = "stop"
    elapsed_ms: int = 0
    request_digest: str = ""  # of instructions and settings as sent, if they may differ each time


class OutputRejected(Event, tag="output-rejected", frozen=True, kw_only=True):
    """The last answer is not of the agent's output type. If the run goes on, the model is told."""

    step: int = 0
    error: Failure
    message: str = ""  # what the model is told


class ModelCallFailed(Event, tag="model-call-failed", frozen=True, kw_only=True):
    """An attempt failed: the model raised, broke off in its answer, or answered too much.

    What was told of its answer is void if another attempt follows. With `retry_at_ns` the same
    model is called again then; without, it is given up: the next event calls another model, or
    ends the run. The kinds of `error`: `rate_limit`, `unavailable`, `timeout`, `rejected`,
    `error`, `incomplete`, `too_large`.
    """

    step: int = 0
    attempt: int = 1
    error: Failure
    elapsed_ms: int = 0
    retry_at_ns: int | None = None
    request_digest: str = ""  # as that of `ModelCallCompleted`


class ModelAttemptAbandoned(Event, tag="model-attempt-abandoned", frozen=True, kw_only=True):
    """A crash cut this attempt off: drop its deltas. Another attempt follows."""

    step: int = 0
    attempt: int = 1


class ToolCallStarted(Event, tag="tool-call-started", frozen=True, kw_only=True):
    """A tool is about to be called. Durable before its body runs."""

    call_id: CallId
    name: str
    attempt: int = 1


class ToolStepCompleted(Event, tag="tool-step-completed", frozen=True, kw_only=True):
    """A `ctx.step` of a tool succeeded; later attempts of the call are given its value."""

    call_id: CallId
    attempt: int = 1
    key: str
    value: Value = None
    elapsed_ms: int = 0


class ToolProgressed(Event, tag="tool-progressed", frozen=True, kw_only=True):
    """A tool told how far it is. Changes no state."""

    call_id: CallId
    attempt: int = 1
    done: float
    total: float | None = None
    note: str = ""


class ToolCallCompleted(Event, tag="tool-call-completed", frozen=True, kw_only=True):
    """A tool answered. At most one per `call_id` in a stream."""

    call_id: CallId
    attempt: int = 1
    result: Value = None
    elapsed_ms: int = 0


class ToolCallFailed(Event, tag="tool-call-failed", frozen=True, kw_only=True):
    """An attempt of a tool call failed. Without `retry_at_ns` it is final: the model is told.

    The kinds of `error`: `error` (the tool raised), `timeout`, `in_doubt` (cut off by a crash,
    and not to be repeated), `unknown_tool`, `invalid_arguments`, `invalid_output`,
    `unserialisable`, `too_large`, `denied`, `resolved` (a person said so), `child_failed` and
    `child_cancelled` (the run of a sub-agent did not complete), `rejected` and `cancelled` (the
    background task was). `attempt` 0 means that it never
    started.
    """

    call_id: CallId
    attempt: int = 1
    error: Failure
    retry_at_ns: int | None = None
    elapsed_ms: int = 0


class ToolResultIgnored(Event, tag="tool-result-ignored", frozen=True, kw_only=True):
    """An attempt that had been given up came to an end after all. Recorded, not applied."""

    call_id: CallId
    attempt: int = 1
    outcome: Literal["completed", "failed"] = "completed"


class RunCompleted(Event, tag="run-completed", frozen=True, kw_only=True):
    """The run is over. Its output is the text of the last `ModelCallCompleted`.

    `finish_reason` is the model's own, `max_steps`, `tasks_pending` (results have not come within
    the time that the run was to wait for them), or which condition to stop was met:
    `stop_after_steps:3`, `stop_on_tool:submit`, `stop_on_text:DONE`, `stop_function:enough`.
    """

    finish_reason: str = "stop"
    data: Value = None  # of the agent's output type, if it has one


class RunFailed(Event, tag="run-failed", frozen=True, kw_only=True):
    """The run is over without a result.

    The kinds of `error`: those of `ModelCallFailed`, `invalid_output`, `stop_function`.
    """

    error: Failure


RunEvent: TypeAlias = (
    RunStarted
    | RunRecovered
    | ModelCallStarted
    | ModelDelta
    | ModelCallCompleted
    | ModelCallFailed
    | OutputRejected
    | ModelAttemptAbandoned
    | ToolCallStarted
    | ToolStepCompleted
    | ToolProgressed
    | ToolCallCompleted
    | ToolCallFailed
    | ToolResultIgnored
    | RunCompleted
    | RunFailed
    | PeopleEvent
    | ChildEvent
    | BackgroundEvent
    | RunSignalled
    | MessageDelivered
)
