"""Commands, events and whole histories of tasks."""

from __future__ import annotations

from typing import Any, Final, cast

from hypothesis import strategies as st

from outlive.actors import Retry
from outlive.actors.mail import Acknowledge
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
    Effect,
    QueueTask,
    RecoverTask,
    ResumeTask,
    RetryTask,
    StartTask,
    TaskCommand,
)
from outlive.actors.task.entity import TASK
from outlive.events import (
    CallId,
    Failure,
    MessageDelivered,
    StreamId,
    TaskCancelled,
    TaskEvent,
    TaskFailed,
    TaskHooksCalled,
    TaskInDoubt,
    TaskLimits,
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
from outlive.testing._drawn.runs import histories
from outlive.testing._drawn.values import values

_NEW: Final = TaskState()
_BOOM: Final = Failure(kind="error", message="boom", exception="ValueError")
_LATE: Final = Failure(kind="timeout", message="too late")
_VALUES: Final = values()
_FAILURES: Final = st.sampled_from([(), (_BOOM,)])
_RETRIES: Final = st.sampled_from([Retry(0), Retry(1), Retry(2, delay=0), Retry(5, jitter=1)])

# What brings a task on is in it several times.
_BY_STATUS: Final[dict[str, tuple[type[Any], ...]]] = {
    "queued": (*[StartTask] * 6, ResumeTask, CancelTask),
    "running": (
        *[CompleteToolCall] * 2,
        *[FailToolCall] * 4,
        *[SuspendToolCall] * 2,
        *[RecoverTask] * 3,
        CompleteStep,
        ReportProgress,
        CancelTask,
    ),
    "suspended": (*[ResumeTask] * 6, SuspendToolCall, CancelTask),
}
_LATER: Final[tuple[type[Any], ...]] = (
    *[ConcludeHooks] * 2,
    RetryTask,
    *[Acknowledge] * 3,
    IgnoreToolResult,
    CompleteToolCall,
    StartTask,
    RecoverTask,
    ResumeTask,
    CancelTask,
    QueueTask,
)
_ANY: Final[tuple[type[Any], ...]] = tuple(
    dict.fromkeys([*_BY_STATUS["queued"], *_BY_STATUS["running"], ResumeTask, *_LATER])
)


def _rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 9)) == 9


@st.composite
def task_commands(draw: st.DrawFn, state: TaskState = _NEW, *, now_ns: int = 0) -> TaskCommand:
    """Draw a command for a task in `state`: mostly one that brings it on.

    One that comes twice, too late, or for another attempt is drawn too; `decide` takes or
    refuses all of them.

    Args:
        state: what the task has come to. Before its first event it can only be queued.
        now_ns: the instant at which the command comes.
    """
    if state.status == "none":
        return _queue(draw)
    fitting = _BY_STATUS.get(state.status, _LATER)
    kinds = _ANY if _rarely(draw) else fitting
    kind: type[Any] = draw(st.sampled_from(kinds))
    off = draw(st.integers(-1, 1)) if _rarely(draw) else 0
    if kind in (QueueTask, StartTask, RecoverTask):
        return _from_inside(draw, state, kind, now_ns)
    if kind is RetryTask:
        return RetryTask(by="p")
    if kind is CancelTask:
        return CancelTask(reason="enough", by="p")
    if kind is ResumeTask:
        return _answer(draw, state)
    if kind is ConcludeHooks:
        end, number = draw(st.sampled_from([*state.hooks.items(), (state.ends, 1)]))
        return ConcludeHooks(end=end, number=number + off, failures=draw(_FAILURES))
    if kind is Acknowledge:
        return Acknowledge(sequence=state.mail.sent + off)
    return _of_attempt(draw, state, kind, state.attempt + off, now_ns)


def _queue(draw: st.DrawFn) -> QueueTask:
    return QueueTask(
        tool="t",
        arguments={"n": draw(st.integers(0, 1))},
        agent_id=draw(st.sampled_from(["a", "b"])),
        run_id=draw(st.sampled_from(["r", ""])),
        thread_id=draw(st.sampled_from(["", "t"])),
        on_complete=draw(st.sampled_from(["append", "wake", "ignore"])),
        request_context={},
        priority=draw(st.integers(-1, 1)),
        place=draw(st.integers(0, 9)),
        mode=draw(st.sampled_from(["deferred", "awaited"])),
        verdict=draw(st.sampled_from(["queue", "queue", "queue", "run_inline", "reject"])),
        turn=draw(st.sampled_from([0, 0, 1])),
        reason="no room",
        hooked=draw(st.booleans()),
    )


def _from_inside(
    draw: st.DrawFn, state: TaskState, kind: type[Any], now_ns: int
) -> QueueTask | StartTask | RecoverTask:
    if kind is QueueTask:
        return _queue(draw)
    if kind is StartTask:
        due = now_ns if state.wake_at_ns is None else draw(st.sampled_from([state.wake_at_ns, 0]))
        turn = 0 if state.inline is not _rarely(draw) else state.turn + 1
        return StartTask(now_ns=due, turn=turn, worker="w")
    running: frozenset[Effect] = frozenset()
    if _rarely(draw):
        running = frozenset(
            [
                CallTool(state.call_id, state.tool, state.attempt),
                *(CallHooks(end, number) for end, number in state.hooks.items()),
            ]
        )
    return RecoverTask(
        epoch=2,
        running=running,
        in_doubt=draw(st.sampled_from(["retry", "retry", "ask", "fail"])),
        clean=draw(st.booleans()),
        max_recoveries=draw(st.sampled_from([None, 0, 1, 3])),
    )


def _answer(draw: st.DrawFn, state: TaskState) -> ResumeTask:
    said: list[Value] = [{"outcome": 1}, {"error": "no"}, {"retry": True}]
    value = draw(st.sampled_from(said)) if state.in_doubt else draw(st.integers(0, 2))
    key = draw(st.sampled_from(list(state.asks))) if state.asks else None
    return ResumeTask(value=value, key=key, by="p")


def _of_attempt(
    draw: st.DrawFn, state: TaskState, kind: type[Any], attempt: int, now_ns: int
) -> TaskCommand:
    call_id = state.call_id
    if kind is CompleteStep:
        return CompleteStep(call_id=call_id, attempt=attempt, key="k", value=draw(_VALUES))
    if kind is SuspendToolCall:
        key = draw(st.sampled_from(["k", "l"]))
        return SuspendToolCall(call_id=call_id, attempt=attempt, key=key)
    if kind is ReportProgress:
        return ReportProgress(call_id=call_id, attempt=attempt, done=1.0)
    if kind is IgnoreToolResult:
        return IgnoreToolResult(call_id=call_id, attempt=attempt, outcome="failed")
    if kind is FailToolCall:
        return FailToolCall(
            call_id=call_id,
            attempt=attempt,
            error=draw(st.sampled_from([_BOOM, _LATE])),
            now_ns=now_ns,
            retry=draw(_RETRIES),
            ask=_rarely(draw),
        )
    return CompleteToolCall(call_id=call_id, attempt=attempt, result=draw(_VALUES))


def task_histories(*, max_commands: int = 40) -> st.SearchStrategy[list[tuple[TaskEvent, ...]]]:
    """Draw valid histories of tasks, from nothing at all to their end and what comes after it.

    A list of commits, each with its events, as `decide` has caused them.
    """
    drawn = histories(
        lambda state, now_ns: task_commands(state, now_ns=now_ns),
        entity=TASK,
        max_commands=max_commands,
    )
    return cast("st.SearchStrategy[list[tuple[TaskEvent, ...]]]", drawn)


def task_events() -> st.SearchStrategy[TaskEvent]:
    """Draw a single event of a task, with anything in it that it may hold.

    For what must take any event whatever came before it: codecs, exporters, views. For events
    that follow from each other see `task_histories`.
    """
    text, count = st.text(max_size=10), st.integers(0, 2**31)
    attempt, instants = st.integers(1, 100), st.integers(0, 2**62)
    amount, share = st.floats(0, 1e12), st.floats(0, 1)
    failures = st.builds(Failure, kind=text, message=text, exception=text)
    objects = st.dictionaries(text, values(), max_size=3)
    limits = st.builds(
        TaskLimits,
        timeout_ns=st.none() | instants,
        stall_timeout_ns=st.none() | instants,
        max_retries=count,
        delay_ns=instants,
        factor=amount,
        max_delay_ns=instants,
        jitter=share,
        retry_on=st.none() | st.lists(text, max_size=2).map(tuple),
    )
    return st.one_of(
        st.builds(
            TaskQueued,
            tool=text,
            arguments=objects,
            agent_id=text,
            run_id=text,
            call_id=st.tuples(count, count).map(lambda pair: CallId(f"{pair[0]}.{pair[1]}")),
            thread_id=text,
            resource_id=text,
            on_complete=st.sampled_from(["append", "wake", "ignore"]),
            request_context=objects,
            priority=st.integers(-(2**31), 2**31),
            place=count,
            mode=st.sampled_from(["deferred", "awaited"]),
            inline=st.booleans(),
            hooked=st.booleans(),
            limits=limits,
        ),
        st.builds(TaskRejected, reason=text),
        st.builds(TaskStarted, attempt=attempt, worker=text, turn=count),
        st.builds(
            TaskProgressed, attempt=attempt, done=amount, total=st.none() | amount, note=text
        ),
        st.builds(TaskStepCompleted, attempt=attempt, key=text, value=values(), elapsed_ms=count),
        st.builds(
            TaskSuspended,
            attempt=attempt,
            key=text,
            payload=values(),
            answer_schema=st.none() | objects,
        ),
        st.builds(TaskResumed, key=text, value=values(), by=text),
        st.builds(TaskInDoubt, attempt=attempt, cause=st.sampled_from(["crash", "timeout"])),
        st.builds(
            TaskResolved,
            attempt=attempt,
            outcome=st.sampled_from(["completed", "failed", "retry"]),
            note=text,
            by=text,
        ),
        st.builds(
            TaskRetryScheduled,
            attempt=attempt,
            at_ns=instants,
            reason=failures,
            elapsed_ms=count,
        ),
        st.builds(
            TaskRecovered,
            epoch=attempt,
            attempt=attempt,
            clean=st.booleans(),
            suspected=st.booleans(),
        ),
        st.builds(TaskSucceeded, attempt=attempt, result=values(), elapsed_ms=count),
        st.builds(TaskFailed, attempt=attempt, error=failures, elapsed_ms=count),
        st.builds(TaskTimedOut, attempt=attempt, error=failures, elapsed_ms=count),
        st.builds(TaskCancelled, reason=text, by=text),
        st.builds(
            TaskResultIgnored, attempt=attempt, outcome=st.sampled_from(["completed", "failed"])
        ),
        st.builds(TaskRequeued, by=text),
        st.builds(TaskHooksCalled, end=attempt, failures=st.lists(failures, max_size=2).map(tuple)),
        st.builds(MessageDelivered, sequence=attempt, to=text.map(StreamId)),
    )
