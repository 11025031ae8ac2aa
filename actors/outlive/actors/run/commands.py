"""What may be wished of a run. Everything that `decide` needs is in the command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from outlive.actors.mail import Acknowledge, Deliver
from outlive.actors.retry import NO_RETRY, Retry
from outlive.events import (
    BackgroundCall,
    CallId,
    ChildRun,
    Failure,
    FireOf,
    MessageId,
    ParentCall,
    RunId,
    Usage,
    Value,
)
from outlive.events.run.background import IdlePolicy, TaskEnd
from outlive.events.run.parts import InputPart
from outlive.events.run.stopping import StopCondition
from outlive.events.run.thread import ThreadPlace
from outlive.events.signals import Signal

InDoubt: TypeAlias = Literal["retry", "ask", "fail"]


class Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A wish. May be refused."""


class StartRun(Command, kw_only=True, frozen=True, gc=False):
    """Start the run; the same again changes nothing."""

    agent_id: str
    input: str
    model: str
    max_steps: int = 20
    tool_concurrency: int = 10
    metadata: dict[str, Value] = {}
    stop_when: tuple[StopCondition, ...] = ()
    request_context: dict[str, Value] = {}
    provider_options: dict[str, Value] = {}
    parts: tuple[InputPart, ...] = ()
    until_idle: IdlePolicy | None = None
    parent: ParentCall | None = None  # for which it is to run,
    thread: ThreadPlace | None = None  # or on which,
    fire: FireOf | None = None  # or the heartbeat,
    message: MessageId | None = None  # and by which that one says so
    withdrawn: str | None = None  # why it is not wanted any more: it is over at once
    withdrawn_by: str = ""


class Recover(Command, kw_only=True, frozen=True, gc=False):
    """Settle what was in flight when its process died, and go on.

    Args:
        running: effects that are still being performed in this process.
        in_doubt: for each tool name what to do with a started call whose outcome is unknown.
        clean: the process before had closed in good order; the recovery does not count.
        max_recoveries: unclean recoveries allowed without anything new; None: no bound.
    """

    epoch: int
    running: frozenset[Effect] = frozenset()
    in_doubt: Mapping[str, InDoubt]
    clean: bool = False
    max_recoveries: int | None = 5
    model: str


class Wake(Command, kw_only=True, frozen=True, gc=False):
    """An instant that the run waits for may have come."""

    now_ns: int


class RecordDelta(Command, kw_only=True, frozen=True, gc=False):
    """Keep a piece of an answer that is coming in."""

    step: int
    attempt: int
    text: str
    kind: Literal["text", "reasoning"] = "text"


class PlannedCall(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tool call as the model asked for it; `problem` says why it cannot be made."""

    name: str
    arguments: dict[str, Value]
    provider_id: str = ""
    problem: Failure | None = None
    approval: Approval | None = None
    child: ChildRun | None = None  # the run that is to answer it, of a sub-agent
    task: BackgroundCall | None = None  # the task that is to answer it


class Approval(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Somebody must agree before a call is made; no answer until `expires_at_ns` is a no."""

    digest: str
    expires_at_ns: int | None = None


class CompleteModelCall(Command, kw_only=True, frozen=True, gc=False):
    """The model has answered."""

    step: int
    attempt: int
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[PlannedCall, ...] = ()
    usage: Usage = Usage()
    finish_reason: str = "stop"
    elapsed_ms: int = 0
    data: Value = None  # what the text says, for an agent with an output type
    problem: Failure | None = None  # or why it says nothing of that type
    repairs: int = 0  # answers that the model may give anew in a run
    repair: str = ""  # what it is told then
    now_ns: int = 0
    request_digest: str = ""


class FailModelCall(Command, kw_only=True, frozen=True, gc=False):
    """The model raised or broke off. `retry` is the agent's policy as of now.

    `retryable` is what the error says of itself, if it does; `retry_after_ns` how long it wants
    to be left alone. `spread_by` is what the jitter of the waits is drawn from. `fallback` is
    the model to be asked next, once this one is given up; there may be none.
    """

    step: int
    attempt: int
    error: Failure
    types: tuple[str, ...] = ()  # that an exception is of, by their names
    now_ns: int = 0
    retry: Retry = NO_RETRY
    retryable: bool | None = None
    retry_after_ns: int = 0
    spread_by: str = ""
    fallback: str = ""
    elapsed_ms: int = 0
    request_digest: str = ""


class CompleteStep(Command, kw_only=True, frozen=True, gc=False):
    """A step of a tool has succeeded. Refused with AttemptEnded to an attempt that is over."""

    call_id: CallId
    attempt: int
    key: str
    value: Value
    elapsed_ms: int = 0


class ReportProgress(Command, kw_only=True, frozen=True, gc=False):
    """A tool tells how far it is. Refused with AttemptEnded to an attempt that is over."""

    call_id: CallId
    attempt: int
    done: float
    total: float | None = None
    note: str = ""


class CompleteToolCall(Command, kw_only=True, frozen=True, gc=False):
    """A tool has answered."""

    call_id: CallId
    attempt: int
    result: Value
    elapsed_ms: int = 0


class FailToolCall(Command, kw_only=True, frozen=True, gc=False):
    """An attempt of a tool call has failed. `retry` is the tool's policy as of now.

    `spread_by` is what the jitter of its waits is drawn from: the same for the same call of
    the same run, another one for every other.
    """

    call_id: CallId
    attempt: int
    error: Failure
    types: tuple[str, ...] = ()  # that an exception is of, by their names
    now_ns: int
    retry: Retry = NO_RETRY
    spread_by: str = ""
    elapsed_ms: int = 0
    ask: bool = False  # what it has done is unknown, and a person is to say

    @property
    def cause_of_doubt(self) -> Literal["crash", "timeout"]:
        """Why it is unknown what the attempt has done."""
        return "timeout" if self.error.kind == "timeout" else "crash"

    def retry_at_ns(self, failures: int) -> int | None:
        """Return when the call is made again; None if it is not.

        `failures` were retried before; attempts that a crash cut off are not among them.
        """
        retry = failures + 1
        covered = self.retry.covers(self.error, types=self.types)
        if not covered or retry > self.retry.max_retries:
            return None
        return self.now_ns + self.retry.delay_ns(retry, self.spread_by)


class SuspendToolCall(Command, kw_only=True, frozen=True, gc=False):
    """A tool asks a person. Refused with AttemptEnded to an attempt that is over."""

    call_id: CallId
    attempt: int
    key: str
    payload: Value = None
    answer_schema: dict[str, Value] | None = None


class AnswerSuspension(Command, kw_only=True, frozen=True, gc=False):
    """A person answers what a tool asks; or, of an approval, says yes or no."""

    run_id: str = ""  # for what is said of it
    value: Value
    suspension: str | None = None  # may be left out when there is only one
    by: str = ""
    now_ns: int = 0


class DecideApproval(Command, kw_only=True, frozen=True, gc=False):
    """A person agrees to a tool call, or does not."""

    run_id: str = ""  # for what is said of it
    call_id: CallId
    granted: bool
    digest: str | None = None  # of the arguments that the person has seen
    arguments: dict[str, Value] | None = None  # in the place of those that were asked for
    note: str = ""
    by: str = ""
    now_ns: int = 0


class ResolveToolCall(Command, kw_only=True, frozen=True, gc=False):
    """A person says what became of an attempt in doubt."""

    run_id: str = ""  # for what is said of it
    call_id: CallId
    outcome: Literal["completed", "failed", "retry"]
    result: Value = None
    note: str = ""
    by: str = ""


class CancelRun(Command, kw_only=True, frozen=True, gc=False):
    """The run is not wanted any more."""

    run_id: str = ""  # for what is said of it
    reason: str = ""
    by: str = ""
    message: MessageId | None = None  # of its parent, which is over


class TellRun(Command, kw_only=True, frozen=True, gc=False):
    """Something is said to the run from outside. The same again changes nothing."""

    run_id: str = ""  # for what is said of it
    signal_id: str
    signal: Signal
    message: MessageId | None = None  # of its thread


class EndChildRun(Command, kw_only=True, frozen=True, gc=False):
    """A child run is over. With `error` the call that it was to answer has failed."""

    message: MessageId
    call_id: CallId
    run_id: RunId
    status: Literal["completed", "failed", "cancelled"]
    result: Value = None
    error: Failure | None = None
    usage: Usage = Usage()


class RefuseChildRun(Command, kw_only=True, frozen=True, gc=False):
    """A child run cannot be begun: there is another run of its id, say."""

    sequence: int  # of the message by which it was to begin
    call_id: CallId
    run_id: RunId
    error: Failure


class TaskTaken(Command, kw_only=True, frozen=True, gc=False):
    """A task that was asked for is there. With `queued` it goes on by itself."""

    sequence: int  # of the message by which it was asked for
    call_id: CallId
    task_id: str
    queued: bool


class RefuseTask(Command, kw_only=True, frozen=True, gc=False):
    """A task cannot be begun: there is another one of its id, say."""

    sequence: int
    call_id: CallId
    task_id: str
    error: Failure


class ReceiveBackgroundResult(Command, kw_only=True, frozen=True, gc=False):
    """A task has ended. With `error` it has not succeeded."""

    call_id: CallId
    task_id: str
    status: TaskEnd
    result: Value = None
    error: Failure | None = None
    elapsed_ms: int = 0


class IgnoreToolResult(Command, kw_only=True, frozen=True, gc=False):
    """An attempt that had been given up has come to an end after all."""

    call_id: CallId
    attempt: int
    outcome: Literal["completed", "failed"]


class ConcludeCheck(Command, kw_only=True, frozen=True, gc=False):
    """The registered functions have been asked whether the run ends: `stop` says which wants it."""

    step: int
    number: int
    stop: str = ""
    error: Failure | None = None  # one of them could not tell


class CheckStop(msgspec.Struct, frozen=True, gc=False, tag="check-stop"):
    """An effect: registered functions are to be asked whether the run ends."""

    step: int
    number: int


class CallModel(msgspec.Struct, frozen=True, gc=False, tag="call-model"):
    """An effect: the model is to be called."""

    step: int
    attempt: int


class CallTool(msgspec.Struct, frozen=True, gc=False, tag="call-tool"):
    """An effect: a tool is to be called."""

    call_id: CallId
    name: str
    attempt: int


Effect: TypeAlias = CallModel | CallTool | CheckStop | Deliver

RunCommand: TypeAlias = (
    StartRun
    | Recover
    | Wake
    | RecordDelta
    | CompleteModelCall
    | FailModelCall
    | CompleteStep
    | ReportProgress
    | CompleteToolCall
    | FailToolCall
    | IgnoreToolResult
    | ConcludeCheck
    | SuspendToolCall
    | AnswerSuspension
    | DecideApproval
    | ResolveToolCall
    | CancelRun
    | TellRun
    | EndChildRun
    | RefuseChildRun
    | TaskTaken
    | RefuseTask
    | ReceiveBackgroundResult
    | Acknowledge
)
