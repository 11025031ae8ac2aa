"""What a task does about a command: pure, without clock, random or I/O.

A terminal state never changes by itself: what comes after it changes nothing, is refused, or is
recorded as ignored. Only who says that the task is to be tried once more makes it run again.
"""

from __future__ import annotations

from typing import Final, Literal, assert_never

from msgspec.structs import replace

from outlive.actors.mail import Acknowledge, acknowledged
from outlive.actors.run.answer_schema import problem_with
from outlive.actors.run.commands import (
    CallTool,
    CompleteStep,
    CompleteToolCall,
    FailToolCall,
    IgnoreToolResult,
    ReportProgress,
    SuspendToolCall,
)
from outlive.actors.task.commands import (
    CallHooks,
    CancelTask,
    ConcludeHooks,
    Outcome,
    QueueTask,
    RecoverTask,
    ResumeTask,
    RetryTask,
    StartTask,
    TaskCommand,
)
from outlive.events import (
    AlreadyOver,
    AlreadyResumed,
    AmbiguousSuspension,
    AttemptEnded,
    Failure,
    InvalidResumeValue,
    SuspensionNotFound,
    TaskCancelled,
    TaskEvent,
    TaskExists,
    TaskFailed,
    TaskHooksCalled,
    TaskInDoubt,
    TaskNotFound,
    TaskProgressed,
    TaskQueued,
    TaskRecovered,
    TaskRejected,
    TaskRequeued,
    TaskResolved,
    TaskResultIgnored,
    TaskResumed,
    TaskRetryScheduled,
    TaskStarted,
    TaskState,
    TaskStepCompleted,
    TaskSucceeded,
    TaskSuspended,
    TaskTimedOut,
    Value,
)
from outlive.events.mail import is_repeat
from outlive.events.task import evolve
from outlive.events.task.state import request_digest
from outlive.events.values import canonical, digest

Events = tuple[TaskEvent, ...]
WITHOUT_SUCCESS: Final = ("failed", "timed_out", "cancelled")
"""The statuses of tasks that are over, and may be tried once more."""


def decide(state: TaskState, command: TaskCommand) -> Events:  # one arm each
    """Return the events that `command` causes; none if it is a repeat or comes too late.

    Raises:
        TaskExists: queued under the same id with another tool or arguments.
        TaskNotFound: it was never queued, and somebody wants something of it.
        AlreadyOver, AlreadyResumed, AmbiguousSuspension, InvalidResumeValue,
        SuspensionNotFound: what people say cannot be applied.
        AttemptEnded: a step, progress or question of an attempt that is over.
    """
    match command:
        case QueueTask():
            return _queue(state, command)
        case StartTask():
            if not _is_ready(state, command.now_ns) or state.inline is (command.turn > 0):
                return ()  # Started twice, too early, or gone meanwhile.
            return (_start(state, command.worker, command.turn),)
        case CompleteToolCall():
            if not _is_current(state, command.attempt):
                return _too_late(state, command.attempt, "completed")
            succeeded = TaskSucceeded(
                attempt=command.attempt, result=command.result, elapsed_ms=command.elapsed_ms
            )
            return (succeeded,)
        case FailToolCall():
            return _fail(state, command)
        case CompleteStep():
            _require_current(state, command)
            step = TaskStepCompleted(
                attempt=command.attempt,
                key=command.key,
                value=command.value,
                elapsed_ms=command.elapsed_ms,
            )
            return (step,)
        case ReportProgress():
            _require_current(state, command)
            progress = TaskProgressed(
                attempt=command.attempt,
                done=command.done,
                total=command.total,
                note=command.note,
            )
            return (progress,)
        case SuspendToolCall():
            return _suspend(state, command)
        case IgnoreToolResult():
            if state.status == "none":
                return ()
            return (TaskResultIgnored(attempt=command.attempt, outcome=command.outcome),)
        case RecoverTask():
            return _recover(state, command)
        case ResumeTask():
            return _resume(state, command)
        case CancelTask():
            if state.status == "none":
                raise TaskNotFound(command.task_id)
            if state.status == "cancelled":
                return ()
            if state.over:
                raise AlreadyOver(command.task_id, state.status, "task")
            return (TaskCancelled(reason=command.reason, by=command.by),)
        case RetryTask():
            return _retry(state, command)
        case ConcludeHooks():
            if state.hooks.get(command.end) != command.number:
                return ()
            return (TaskHooksCalled(end=command.end, failures=command.failures),)
        case Acknowledge():
            return acknowledged(state.mail, command)
        case _:
            assert_never(command)


def _queue(state: TaskState, command: QueueTask) -> Events:
    if is_repeat(state.mail, command.message):
        return ()
    if state.status != "none":
        # A task that somebody else has asked for is no fire, whatever it was asked for with.
        if command.message is not None or request_digest(command) != state.request:
            raise TaskExists(command.task_id)
        return ()
    queued = TaskQueued(
        tool=command.tool,
        arguments=command.arguments,
        agent_id=command.agent_id,
        run_id=command.run_id,
        call_id=command.call_id,
        thread_id=command.thread_id,
        resource_id=command.resource_id,
        on_complete=command.on_complete,
        request_context=command.request_context,
        priority=command.priority,
        place=command.place,
        mode=command.mode,
        inline=command.verdict == "run_inline",
        hooked=command.hooked,
        limits=command.limits,
        fire=command.fire,
        message=command.message,
    )
    match command.verdict:
        case "queue":
            return (
                (queued, _start(state, command.worker, command.turn)) if command.turn else (queued,)
            )
        case "run_inline":
            return (queued, _start(state, command.worker))
        case "reject":
            return (queued, TaskRejected(reason=command.reason))


def _retry(state: TaskState, command: RetryTask) -> Events:
    """Try once more what has not succeeded. Of a task that is not over it changes nothing."""
    if state.status == "none":
        raise TaskNotFound(command.task_id)
    if state.status in WITHOUT_SUCCESS:
        return (TaskRequeued(by=command.by),)
    if state.over:
        raise AlreadyOver(command.task_id, state.status, "task")
    return ()


def _start(state: TaskState, worker: str, turn: int = 0) -> TaskStarted:
    return TaskStarted(attempt=state.attempt + 1, worker=worker, turn=turn)


def _fail(state: TaskState, command: FailToolCall) -> Events:
    if not _is_current(state, command.attempt):
        return _too_late(state, command.attempt, "failed")
    if command.ask:
        return (TaskInDoubt(attempt=command.attempt, cause=command.cause_of_doubt),)
    retry_at_ns = command.retry_at_ns(state.failures)
    if retry_at_ns is not None:
        scheduled = TaskRetryScheduled(
            attempt=command.attempt,
            at_ns=retry_at_ns,
            reason=command.error,
            elapsed_ms=command.elapsed_ms,
        )
        return (scheduled,)
    ended = TaskTimedOut if command.error.kind == "timeout" else TaskFailed
    return (ended(attempt=command.attempt, error=command.error, elapsed_ms=command.elapsed_ms),)


def _suspend(state: TaskState, command: SuspendToolCall) -> Events:
    """The tool asks something. Its attempt is over with the first thing that it asks."""
    asks = state.status == "running" or (state.status == "suspended" and bool(state.asks))
    if not asks or command.attempt != state.attempt:
        raise AttemptEnded(command.call_id, command.attempt)
    if command.key in state.asks:
        return ()
    suspended = TaskSuspended(
        attempt=command.attempt,
        key=command.key,
        payload=command.payload,
        answer_schema=command.answer_schema,
    )
    return (suspended,)


def _recover(state: TaskState, command: RecoverTask) -> Events:
    """Settle what is not being performed any more: calls of hooks, and an attempt."""
    call = CallTool(state.call_id, state.tool, state.attempt)
    running = state.status == "running" and call not in command.running
    owed = {CallHooks(end, number) for end, number in state.hooks.items()} - command.running
    if not (running or owed):
        return ()
    count = 1 if command.clean else state.recoveries + 1
    recovered = TaskRecovered(epoch=command.epoch, attempt=count, clean=command.clean)
    if running and _waits_for_its_turn(state, command, recovered):
        recovered = replace(recovered, suspected=True)
    events: list[TaskEvent] = [recovered]
    if owed and _too_often(state, command):  # Otherwise they are called once more.
        message = f"the process ended {count} times while they were called"
        failures = (Failure(kind="in_doubt", message=message),)
        events += [TaskHooksCalled(end=end, failures=failures) for end in state.hooks]
    if running and not recovered.suspected:
        events += _settle(state, command, count)
    return tuple(events)


def _waits_for_its_turn(state: TaskState, command: RecoverTask, recovered: TaskRecovered) -> bool:
    """Whether an attempt that was cut off is to be made again, but not beside others like it.

    A task that ends its process takes those along that run beside it. So that they are not
    blamed for it each time, those that were there again and again have their turns one by one:
    then the next end is that of one task.
    """
    again = command.in_doubt == "retry" and not (command.clean or _too_often(state, command))
    return again and evolve(state, recovered).suspected


def _too_often(state: TaskState, command: RecoverTask) -> bool:
    bound = command.max_recoveries
    return not command.clean and bound is not None and state.recoveries >= bound


def _settle(state: TaskState, command: RecoverTask, count: int) -> Events:
    """Return what becomes of an attempt that was cut off: again, asked about, or failed."""
    if command.in_doubt == "ask":
        return (TaskInDoubt(attempt=state.attempt),)
    if command.in_doubt == "fail":
        message = (
            "the process ended while the tool ran: whether it had its effect is unknown, and it "
            "must not be repeated"
        )
    elif _too_often(state, command):
        message = f"the process ended {count} times while the tool ran, without any progress"
    else:
        return (_start(state, command.worker, state.turn),)
    error = Failure(kind="in_doubt", message=message)
    return (TaskFailed(attempt=state.attempt, error=error),)


def _resume(state: TaskState, command: ResumeTask) -> Events:
    """A person answers. On a task that is queued or runs it changes nothing."""
    if state.status == "none":
        raise TaskNotFound(command.task_id)
    if _was_said(state, command) or state.status in ("queued", "running"):
        return ()
    if state.over:
        raise AlreadyOver(command.task_id, state.status, "task")
    if state.in_doubt:
        return _resolve(state, command)
    key = _asked_for(state, command)
    problem = problem_with(command.value, state.asks[key])
    if problem:
        raise InvalidResumeValue(command.task_id, key, problem, "task")
    resumed = TaskResumed(key=key, value=command.value, by=command.by)
    return _with_start(state, resumed, command.worker)


def _with_start(state: TaskState, fact: TaskEvent, worker: str) -> Events:
    """Return the fact; with it a task that needs no slot goes on at once."""
    after = evolve(state, fact)
    if after.inline and after.status == "queued":
        return (fact, _start(after, worker))
    return (fact,)


def _was_said(state: TaskState, command: ResumeTask) -> bool:
    """Whether this is a repeat of an answer that was taken before.

    Raises:
        AlreadyResumed: the question has another answer.
    """
    said = digest(canonical(command.value))
    if command.key in state.answers and command.key not in state.asks:
        if state.answers[command.key] != said:
            raise AlreadyResumed(command.task_id, command.key, "task")
        return True
    if not state.over or command.key is not None:
        return False
    outcome = resolution(command.value)
    return said in state.answers.values() or (
        outcome is not None and outcome[0] in state.resolved.values()
    )


def _asked_for(state: TaskState, command: ResumeTask) -> str:
    names = tuple(state.asks)
    if command.key is None:
        if len(names) == 1:
            return names[0]
        raise AmbiguousSuspension(command.task_id, names, "task")
    if command.key not in state.asks:
        raise SuspensionNotFound(command.task_id, command.key, names, "task")
    return command.key


def _resolve(state: TaskState, command: ResumeTask) -> Events:
    said = resolution(command.value)
    if said is None:
        wanted = 'of an attempt in doubt say {"outcome": ...}, {"error": "..."} or {"retry": true}'
        raise InvalidResumeValue(command.task_id, "", wanted, "task")
    outcome, value = said
    note = value if isinstance(value, str) and outcome == "failed" else ""
    resolved = TaskResolved(attempt=state.attempt, outcome=outcome, note=note, by=command.by)
    match outcome:
        case "retry":
            return _with_start(state, resolved, command.worker)
        case "completed":
            return (resolved, TaskSucceeded(attempt=state.attempt, result=value))
        case "failed":
            failure = Failure(kind="resolved", message=note or "a person says that it failed")
            return (resolved, TaskFailed(attempt=state.attempt, error=failure))


def resolution(value: Value) -> tuple[Outcome, Value] | None:
    """Return what a person says of an attempt in doubt; None if it is nothing of that sort."""
    match value:
        case {"outcome": outcome, **rest} if not rest:
            return "completed", outcome
        case {"error": str(error), **rest} if not rest:
            return "failed", error
        case {"retry": True, **rest} if not rest:
            return "retry", None
        case _:
            return None


def _is_ready(state: TaskState, now_ns: int) -> bool:
    return state.status == "queued" and (state.wake_at_ns is None or state.wake_at_ns <= now_ns)


def _is_current(state: TaskState, attempt: int) -> bool:
    return state.status == "running" and state.attempt == attempt


def _too_late(state: TaskState, attempt: int, outcome: Literal["completed", "failed"]) -> Events:
    """What follows from an outcome that is not waited for: told twice, or of no use any more.

    The attempt may have come to its end before it could be told that the task is cancelled.
    """
    if not state.cut_off or attempt != state.cut_off:
        return ()
    return (TaskResultIgnored(attempt=attempt, outcome=outcome),)


def _require_current(state: TaskState, command: CompleteStep | ReportProgress) -> None:
    if not _is_current(state, command.attempt):
        raise AttemptEnded(command.call_id, command.attempt)
