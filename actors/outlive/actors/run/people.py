"""What a run does about what people say: pure, as all of `decide`."""

from __future__ import annotations

from typing import Literal

import msgspec

from outlive.actors.run.answer_schema import problem_with
from outlive.actors.run.commands import (
    AnswerSuspension,
    CancelRun,
    DecideApproval,
    ResolveToolCall,
    SuspendToolCall,
)
from outlive.actors.run.going_on import Events, go_on, waiting_for
from outlive.events import (
    AlreadyDecided,
    AlreadyOver,
    AlreadyResumed,
    AmbiguousSuspension,
    ApprovalDenied,
    ApprovalGranted,
    ArgumentsChanged,
    AttemptEnded,
    CallId,
    Failure,
    InvalidResumeValue,
    MessageId,
    NotSuspended,
    RunCancelled,
    RunEvent,
    RunResumed,
    RunState,
    SuspensionNotFound,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallResolved,
    ToolCallStarted,
    ToolCallSuspended,
)
from outlive.events.values import canonical, digest


class _Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The answer to an approval, as `resume` takes it."""

    approved: bool
    note: str = ""


def suspend(state: RunState, command: SuspendToolCall) -> Events:
    """A tool asks something. Its attempt is over with the first thing that it asks."""
    call = state.calls.get(command.call_id)
    asks = call is not None and call.status in ("started", "suspended")
    if call is None or not asks or call.attempt != command.attempt:
        raise AttemptEnded(command.call_id, command.attempt)
    if command.key in call.asks:
        return ()
    suspended = ToolCallSuspended(
        call_id=command.call_id,
        attempt=command.attempt,
        key=command.key,
        payload=command.payload,
        answer_schema=command.answer_schema,
    )
    return go_on(state, suspended)


def answer(state: RunState, command: AnswerSuspension) -> Events:
    """A person answers.

    Raises:
        NotSuspended, AmbiguousSuspension, SuspensionNotFound, AlreadyResumed, AlreadyDecided,
        InvalidResumeValue: see there.
    """
    name = _chosen(state, command)
    if name is None:
        return ()
    call_id, _, key = name.partition("/")
    call = state.calls[CallId(call_id)]
    if not key:
        if call.status == "in_doubt":
            problem = "it is in doubt what the call has done: `resolve` it"
            raise InvalidResumeValue(command.run_id, name, problem)
        return decide_approval(state, _decision(name, command))
    problem = problem_with(command.value, call.asks[key])
    if problem:
        raise InvalidResumeValue(command.run_id, name, problem)
    resumed = RunResumed(call_id=CallId(call_id), key=key, value=command.value, by=command.by)
    return go_on(state, resumed)


def _chosen(state: RunState, command: AnswerSuspension) -> str | None:
    """Return the open suspension that is meant; None for a repeat of what was said before."""
    wanted, names = command.suspension, waiting_for(state.calls)
    said = digest(canonical(command.value))
    if wanted is None:
        if len(names) == 1:
            return names[0]
        if names:
            raise AmbiguousSuspension(command.run_id, names)
        answered = [name for name in state.answers if not _of_a_doubt(name)]
        if not answered:
            raise NotSuspended(command.run_id, state.status)
        wanted = answered[-1]  # A repeat, or too late: of the last one.
    open_names = [name for name in names if wanted in (name, name.partition("/")[2])]
    if len(open_names) == 1:
        return open_names[0]
    if open_names:
        raise AmbiguousSuspension(command.run_id, tuple(open_names))
    for name, before in reversed(state.answers.items()):
        if wanted in (name, name.partition("/")[2]) and not _of_a_doubt(name):
            if "/" not in name:
                decision = _decision(name, command)
                decide_approval(state, decision)  # raises unless it is the same
                return None
            if before == said:
                return None
            raise AlreadyResumed(command.run_id, name)
    if not names:
        raise NotSuspended(command.run_id, state.status)
    raise SuspensionNotFound(command.run_id, wanted, names)


def _of_a_doubt(name: str) -> bool:
    """Whether an answer is about an attempt, `0.0?1`: keys of questions may have a `?`, too."""
    return "/" not in name and "?" in name


def _decision(name: str, command: AnswerSuspension) -> DecideApproval:
    try:
        said = msgspec.convert(command.value, _Decision)
    except msgspec.ValidationError as error:
        wanted = 'an approval is answered with {"approved": true or false, "note": "..."}'
        raise InvalidResumeValue(command.run_id, name, f"{wanted}: {error}") from None
    return DecideApproval(
        run_id=command.run_id,
        call_id=CallId(name),
        granted=said.approved,
        note=said.note,
        by=command.by,
        now_ns=command.now_ns,
    )


def decide_approval(state: RunState, command: DecideApproval) -> Events:
    """A person agrees, or not.

    Raises:
        AlreadyDecided, ArgumentsChanged, NotSuspended, SuspensionNotFound: see there.
    """
    call_id = command.call_id
    call = state.calls.get(call_id)
    if call is None or call.status != "asked":
        _check_repeat(state, command)
        return ()
    if command.digest is not None and command.digest != call.digest:
        raise ArgumentsChanged(command.run_id, call_id, command.digest, call.digest)
    if call.wake_at_ns is not None and call.wake_at_ns <= command.now_ns:
        # Its time is up, also where the clock has not rung yet: that records the denial.
        if command.granted:
            raise AlreadyDecided(command.run_id, call_id, "denied")
        return ()
    if command.granted:
        granted = ApprovalGranted(
            call_id=call_id,
            digest=_agreed(call.digest, command),
            arguments=command.arguments,
            note=command.note,
            by=command.by,
        )
        return go_on(state, granted)
    return deny(state, ApprovalDenied(call_id=call_id, reason=command.note, by=command.by))


def _agreed(asked: str, command: DecideApproval) -> str:
    """Return the digest of the arguments that were agreed to."""
    return asked if command.arguments is None else digest(canonical(dict(command.arguments)))


def _check_repeat(state: RunState, command: DecideApproval) -> None:
    before = state.answers.get(command.call_id)
    if before is None:
        names = waiting_for(state.calls)
        if names:
            raise SuspensionNotFound(command.run_id, command.call_id, names)
        raise NotSuspended(command.run_id, state.status)
    verdict, _, agreed = before.partition(" ")
    same = verdict == ("granted" if command.granted else "denied")
    if same and command.granted:
        seen = command.digest if command.arguments is None else _agreed("", command)
        same = seen in (None, agreed)
    if not same:
        raise AlreadyDecided(command.run_id, command.call_id, verdict)


def deny(
    state: RunState, *denials: ApprovalDenied, also: tuple[ToolCallStarted, ...] = ()
) -> Events:
    """Nobody agrees: the calls fail, and the model is told. `also` happens first."""
    facts: list[RunEvent] = [*also]
    for denial in denials:
        message = "nobody has agreed to it in time" if denial.expired else "it was not agreed to"
        reason = f"{message}: {denial.reason}" if denial.reason else message
        error = Failure(kind="denied", message=reason)
        facts += (denial, ToolCallFailed(call_id=denial.call_id, attempt=0, error=error))
    return go_on(state, *facts)


def resolve(state: RunState, command: ResolveToolCall) -> Events:
    """A person says what became of an attempt.

    Raises:
        AlreadyDecided, NotSuspended, SuspensionNotFound: see there.
    """
    call_id = command.call_id
    call = state.calls.get(call_id)
    if call is None or call.status != "in_doubt":
        _check_resolved_alike(state, command)
        return ()
    resolved = ToolCallResolved(
        call_id=call_id,
        attempt=call.attempt,
        outcome=command.outcome,
        note=command.note,
        by=command.by,
    )
    match command.outcome:
        case "retry":
            return go_on(state, resolved)
        case "completed":
            done = ToolCallCompleted(call_id=call_id, attempt=call.attempt, result=command.result)
            return go_on(state, resolved, done)
        case "failed":
            error = Failure(kind="resolved", message=command.note or "a person says that it failed")
            failed = ToolCallFailed(call_id=call_id, attempt=call.attempt, error=error)
            return go_on(state, resolved, failed)


def _check_resolved_alike(state: RunState, command: ResolveToolCall) -> None:
    said: Literal["completed", "failed", "retry"] | str | None = None
    for name, outcome in state.answers.items():
        if _of_a_doubt(name) and name.partition("?")[0] == command.call_id:
            said = outcome  # The last attempt's is the last.
    if said is None:
        names = waiting_for(state.calls)
        if names:
            raise SuspensionNotFound(command.run_id, command.call_id, names)
        raise NotSuspended(command.run_id, state.status)
    if said != command.outcome:
        raise AlreadyDecided(command.run_id, command.call_id, f"resolved as {said}")


def cancel(state: RunState, command: CancelRun) -> Events:
    """The run is not wanted any more. A repeat changes nothing.

    Raises:
        AlreadyOver: it has completed or failed.
    """
    if state.status == "cancelled":
        return ()
    if command.message is not None and (state.over or state.status == "none"):
        return ()  # There is nothing left to cancel: that is all that its parent wants.
    if command.message is not None and not works_for(state, command.message):
        return ()  # It is another run, under the id of one that could not begin.
    if state.over or state.status == "none":
        raise AlreadyOver(command.run_id, state.status)
    return (RunCancelled(reason=command.reason, by=command.by, message=command.message),)


def works_for(state: RunState, message: MessageId) -> bool:
    """Whether a message is of the run's parent, of its thread, or of its heartbeat."""
    senders = [
        *([] if state.parent is None else [f"run-{state.parent.run_id}"]),
        *([] if state.thread is None else [f"thread-{state.thread.thread_id}"]),
        *([] if state.fire is None else [f"heartbeat-{state.fire.heartbeat_id}"]),
    ]
    return message.sender in senders


def expired(state: RunState, now_ns: int) -> tuple[ApprovalDenied, ...]:
    """Return the denials of those whose time is up."""
    return tuple(
        ApprovalDenied(call_id=call_id, expired=True)
        for call_id, call in state.calls.items()
        if call.status == "asked" and call.wake_at_ns is not None and call.wake_at_ns <= now_ns
    )
