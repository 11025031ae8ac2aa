"""What a run does about a command: pure, without clock, random or I/O.

A command first records its own fact. What follows from the state after it (`_go_on`) is the
same whatever the fact was, and is recorded in the same commit: tool calls that may start now,
the next model call once no call is open, or the end. So the result of one step and the intent
of the next are one commit.
"""

from __future__ import annotations

from typing import Literal, assert_never

from outlive.actors.entity import Exhausted
from outlive.actors.mail import Acknowledge, acknowledged
from outlive.actors.run import background, children, people, signals
from outlive.actors.run.commands import (
    AnswerSuspension,
    CallModel,
    CallTool,
    CancelRun,
    CompleteModelCall,
    CompleteStep,
    CompleteToolCall,
    ConcludeCheck,
    DecideApproval,
    EndChildRun,
    FailModelCall,
    FailToolCall,
    IgnoreToolResult,
    ReceiveBackgroundResult,
    RecordDelta,
    Recover,
    RefuseChildRun,
    RefuseTask,
    ReportProgress,
    ResolveToolCall,
    RunCommand,
    StartRun,
    SuspendToolCall,
    TaskTaken,
    TellRun,
    Wake,
)
from outlive.actors.run.failed_model_call import call_again, fail_model_call
from outlive.actors.run.going_on import Events, go_on
from outlive.actors.run.next_step import answered, conclude_check
from outlive.events import (
    ApprovalRequested,
    AttemptEnded,
    CallId,
    Failure,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallStarted,
    ModelDelta,
    RequestedToolCall,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunExists,
    RunRecovered,
    RunStarted,
    RunState,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallInDoubt,
    ToolCallStarted,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
)
from outlive.events.mail import is_repeat
from outlive.events.run.requested import request_digest


def decide(state: RunState, command: RunCommand) -> Events:  # one arm each
    """Return the events that `command` causes; none if it is a repeat or comes too late.

    Raises:
        RunExists: a start under the same id with another request.
        RunOver, RunNotFound: nobody reads what is said to the run.
        NotSuspended, AmbiguousSuspension, SuspensionNotFound, AlreadyResumed, AlreadyDecided,
        ArgumentsChanged, InvalidResumeValue, AlreadyOver: what people say cannot be applied.
        AttemptEnded: a step or progress of an attempt that is over.
        Exhausted: recovered `max_recoveries` times without anything new.
    """
    match command:
        case CompleteToolCall():
            if not _is_current(state, command.call_id, command.attempt):
                return _too_late(state, command.call_id, command.attempt, "completed")
            completed = ToolCallCompleted(
                call_id=command.call_id,
                attempt=command.attempt,
                result=command.result,
                elapsed_ms=command.elapsed_ms,
            )
            return go_on(state, completed)
        case CompleteModelCall():
            return _complete_model_call(state, command)
        case StartRun():
            return _start(state, command)
        case RecordDelta():
            if not _is_model_current(state, command.step, command.attempt):
                return ()
            delta = ModelDelta(
                step=command.step, attempt=command.attempt, text=command.text, kind=command.kind
            )
            return (delta,)
        case CompleteStep():
            _require_current(state, command.call_id, command.attempt)
            step = ToolStepCompleted(
                call_id=command.call_id,
                attempt=command.attempt,
                key=command.key,
                value=command.value,
                elapsed_ms=command.elapsed_ms,
            )
            return (step,)
        case ReportProgress():
            _require_current(state, command.call_id, command.attempt)
            progress = ToolProgressed(
                call_id=command.call_id,
                attempt=command.attempt,
                done=command.done,
                total=command.total,
                note=command.note,
            )
            return (progress,)
        case FailToolCall():
            return _fail_tool_call(state, command)
        case FailModelCall():
            if not _is_model_current(state, command.step, command.attempt):
                return ()
            return fail_model_call(state, command)
        case IgnoreToolResult():
            if state.status == "none":
                return ()
            ignored = ToolResultIgnored(
                call_id=command.call_id, attempt=command.attempt, outcome=command.outcome
            )
            return (ignored,)
        case ConcludeCheck():
            return conclude_check(state, command)
        case Wake():
            return _wake(state, command.now_ns)
        case Recover():
            return _recover(state, command)
        case SuspendToolCall():
            return people.suspend(state, command)
        case AnswerSuspension():
            return people.answer(state, command)
        case DecideApproval():
            return people.decide_approval(state, command)
        case ResolveToolCall():
            return people.resolve(state, command)
        case CancelRun():
            return people.cancel(state, command)
        case TellRun():
            return signals.tell(state, command)
        case EndChildRun():
            return children.end_child(state, command)
        case RefuseChildRun():
            return children.refuse_child(state, command)
        case TaskTaken():
            return background.take(state, command)
        case RefuseTask():
            return background.refuse(state, command)
        case ReceiveBackgroundResult():
            return background.receive(state, command)
        case Acknowledge():
            return acknowledged(state.mail, command)
        case _:
            assert_never(command)


def _start(state: RunState, command: StartRun) -> Events:
    if is_repeat(state.mail, command.message):
        return ()
    if state.status != "none":
        # A run that somebody else has started is no child, whatever it was started with.
        if command.message is not None or request_digest(command) != state.request:
            raise RunExists("")
        return ()
    started = RunStarted(
        agent_id=command.agent_id,
        input=command.input,
        max_steps=command.max_steps,
        tool_concurrency=command.tool_concurrency,
        metadata=command.metadata,
        request_context=command.request_context,
        provider_options=command.provider_options,
        parts=command.parts,
        stop_when=command.stop_when,
        until_idle=command.until_idle,
        parent=command.parent,
        thread=command.thread,
        fire=command.fire,
        message=command.message,
    )
    if command.withdrawn is not None:
        return (started, RunCancelled(reason=command.withdrawn, by=command.withdrawn_by))
    return (started, ModelCallStarted(step=0, model=command.model, messages=1))


def _complete_model_call(state: RunState, command: CompleteModelCall) -> Events:
    if not _is_model_current(state, command.step, command.attempt):
        return ()
    calls = tuple(
        [
            RequestedToolCall(
                call_id=CallId(f"{command.step}.{index}"),
                name=planned.name,
                arguments=planned.arguments,
                provider_id=planned.provider_id,
                child=planned.child,
                task=planned.task,
            )
            for index, planned in enumerate(command.tool_calls)
        ]
    )
    completed = ModelCallCompleted(
        step=command.step,
        attempt=command.attempt,
        text=command.text,
        reasoning=command.reasoning,
        tool_calls=calls,
        usage=command.usage,
        finish_reason=command.finish_reason,
        elapsed_ms=command.elapsed_ms,
        request_digest=command.request_digest,
    )
    if not calls:
        return answered(state, completed, command)
    refused: list[RunEvent] = []
    asked: list[RunEvent] = []
    for call, planned in zip(calls, command.tool_calls, strict=True):
        if planned.problem is not None:
            failed = ToolCallFailed(call_id=call.call_id, attempt=0, error=planned.problem)
            refused.append(failed)
        elif planned.approval is not None:
            consent = ApprovalRequested(
                call_id=call.call_id,
                name=call.name,
                digest=planned.approval.digest,
                expires_at_ns=planned.approval.expires_at_ns,
            )
            asked.append(consent)
    return go_on(state, completed, *refused, *asked)


def _fail_tool_call(state: RunState, command: FailToolCall) -> Events:
    if not _is_current(state, command.call_id, command.attempt):
        return _too_late(state, command.call_id, command.attempt, "failed")
    if command.ask:
        doubt = ToolCallInDoubt(
            call_id=command.call_id, attempt=command.attempt, cause=command.cause_of_doubt
        )
        return go_on(state, doubt)
    failed = ToolCallFailed(
        call_id=command.call_id,
        attempt=command.attempt,
        error=command.error,
        retry_at_ns=command.retry_at_ns(state.calls[command.call_id].failures),
        elapsed_ms=command.elapsed_ms,
    )
    return go_on(state, failed)


def _wake(state: RunState, now_ns: int) -> Events:
    wait = state.model_wait
    if wait is not None and wait.wake_at_ns <= now_ns and not state.over:
        return (call_again(state, wait),)
    if state.rests and state.rests_until_ns is not None and state.rests_until_ns <= now_ns:
        return (RunCompleted(finish_reason="tasks_pending"),)
    due = tuple(
        ToolCallStarted(call_id=call_id, name=call.name, attempt=call.attempt + 1)
        for call_id, call in state.calls.items()
        if call.status == "retrying" and call.wake_at_ns is not None and call.wake_at_ns <= now_ns
    )
    denials = people.expired(state, now_ns)
    return people.deny(state, *denials, also=due) if denials else due


def _recover(state: RunState, command: Recover) -> Events:
    """Settle each effect that is in flight and not being performed: again, or failed."""
    if state.status == "suspended" and command.model != state.model:
        # It waits on, and its next call is of another model than the one on record.
        return (RunRecovered(epoch=command.epoch, clean=command.clean, model=command.model),)
    if state.status != "running":
        return ()
    cut_off: list[RunEvent] = []
    model = state.model_attempt
    if model is not None and CallModel(state.step, model.attempt) not in command.running:
        cut_off += (
            ModelAttemptAbandoned(step=state.step, attempt=model.attempt),
            ModelCallStarted(
                step=state.step,
                attempt=model.attempt + 1,
                model=command.model,
                messages=model.messages,
            ),
        )
    for call_id, call in state.calls.items():
        if call.status != "started":
            continue
        if CallTool(call_id, call.name, call.attempt) in command.running:
            continue
        policy = command.in_doubt.get(call.name, "retry")
        if policy == "retry":
            again = ToolCallStarted(call_id=call_id, name=call.name, attempt=call.attempt + 1)
            cut_off.append(again)
        elif policy == "ask":
            cut_off.append(ToolCallInDoubt(call_id=call_id, attempt=call.attempt))
        else:
            cut_off.append(
                ToolCallFailed(
                    call_id=call_id,
                    attempt=call.attempt,
                    error=Failure(
                        kind="in_doubt",
                        message="the process ended while the tool ran: whether it had its "
                        "effect is unknown, and it must not be repeated",
                    ),
                )
            )
    if not cut_off and command.running:
        return ()
    attempt = state.recoveries + 1
    if command.clean:
        attempt = 1
    elif command.max_recoveries is not None and state.recoveries >= command.max_recoveries:
        raise Exhausted(
            f"recovered {state.recoveries} times without getting any further (step {state.step})"
        )
    recovered = RunRecovered(
        epoch=command.epoch,
        attempt=attempt,
        clean=command.clean,
        model="" if command.model == state.model else command.model,
    )
    return go_on(state, recovered, *cut_off)


def _is_model_current(state: RunState, step: int, attempt: int) -> bool:
    model = state.model_attempt
    return model is not None and state.step == step and model.attempt == attempt


def _is_current(state: RunState, call_id: CallId, attempt: int) -> bool:
    call = state.calls.get(call_id)
    return call is not None and call.status == "started" and call.attempt == attempt


def _too_late(
    state: RunState, call_id: CallId, attempt: int, outcome: Literal["completed", "failed"]
) -> Events:
    """What follows from an outcome that is not waited for: told twice, or of no use any more.

    An attempt may have come to its end before it could be told that the run is cancelled.
    """
    if state.cut_off.get(call_id) != attempt:
        return ()
    return (ToolResultIgnored(call_id=call_id, attempt=attempt, outcome=outcome),)


def _require_current(state: RunState, call_id: CallId, attempt: int) -> None:
    if not _is_current(state, call_id, attempt):
        raise AttemptEnded(call_id, attempt)
