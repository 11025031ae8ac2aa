"""Commands, events and whole histories of runs, and of entities of another kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from hypothesis import strategies as st

from outlive.actors import Retry
from outlive.actors.entity import Entity
from outlive.actors.run.commands import (
    Approval,
    CompleteModelCall,
    CompleteStep,
    CompleteToolCall,
    ConcludeCheck,
    FailModelCall,
    FailToolCall,
    IgnoreToolResult,
    PlannedCall,
    RecordDelta,
    Recover,
    ReportProgress,
    RunCommand,
    StartRun,
    SuspendToolCall,
    Wake,
)
from outlive.actors.run.entity import RUN, outstanding
from outlive.events import (
    CallId,
    Event,
    Failure,
    FilePart,
    ImagePart,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    OutliveError,
    OutputRejected,
    RequestedToolCall,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunState,
    StopAfterSteps,
    StopOnText,
    StopOnTool,
    TextPart,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
    Usage,
)
from outlive.events.run.stopping import StopCondition, StopFunction
from outlive.testing._drawn.children import (
    PARENT,
    STARTED_BY,
    SUB_AGENT,
    cancelled_by_its_parent,
    child_of,
    child_runs,
    children_of,
    events_of_children,
    messages,
    parents,
    told,
)
from outlive.testing._drawn.errands import (
    BACKGROUND,
    background_calls,
    events_of_tasks,
    idle_policies,
    task_of,
    tasks_of,
    told_of_task,
)
from outlive.testing._drawn.people import (
    asked_by,
    cancelled,
    waits_for_a_person,
    what_is_said,
)
from outlive.testing._drawn.signalled import (
    BEGUN_BY,
    ON_THREAD,
    events_of_signals,
    places,
    told_by_thread,
)
from outlive.testing._drawn.values import values

S = TypeVar("S")
C = TypeVar("C")

SECOND_NS: Final = 1_000_000_000

_NEW: Final = RunState()
_TOOLS: Final = ("t", "u")
_CALLED: Final = (*_TOOLS, SUB_AGENT, BACKGROUND)
_BOOM: Final = Failure(kind="error", message="boom", exception="ValueError")

# The kinds of commands that come while the model, or a tool, is being called. What brings a run
# on is in it several times.
_MODEL: Final = (*[CompleteModelCall] * 4, RecordDelta, Recover, *[FailModelCall] * 2)
_WAIT: Final = (*[Wake] * 4, Recover)  # for the model to be called again
_CHECK: Final = (*[ConcludeCheck] * 3, Recover)
_TOOL: Final = (
    *[CompleteToolCall] * 2,
    *[FailToolCall] * 3,
    *[Wake] * 2,
    *[Recover] * 2,
    CompleteStep,
    ReportProgress,
    IgnoreToolResult,
    SuspendToolCall,
)
_ANY: Final = (StartRun, *dict.fromkeys((*_MODEL, *_TOOL, *_CHECK)))

_RETRIES: Final = st.sampled_from([Retry(0), Retry(1), Retry(2, delay=0), Retry(5, jitter=1)])
_STOPS: Final[list[StopCondition]] = [
    StopAfterSteps(2),
    StopOnTool("t"),
    StopOnText("m"),
    StopFunction("f"),
]
_WRONG: Final = Failure(kind="invalid_output", message="malformed")

_POLICIES: Final = idle_policies()
_SELDOM: Final = st.sampled_from([False, False, False, True])
_VALUES: Final = values()  # Made anew for each draw, it is validated anew each time.


def _rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 9)) == 9


@st.composite
def run_commands(
    draw: st.DrawFn, state: RunState = _NEW, *, now_ns: int = 0, stale: bool = True
) -> RunCommand:
    """Draw a command for a run in `state`: mostly one that brings it on.

    One that comes twice, too late, or for another attempt is drawn too, unless `stale` is
    false; `decide` takes or refuses all of them.

    Args:
        state: what the run has come to. Before its first event it can only be started.
        now_ns: the instant at which the command comes.
        stale: draw what does not fit, once in a while.
    """
    if state.status == "none":
        is_child = _rarely(draw)
        on_thread = not is_child and _rarely(draw)
        return StartRun(
            agent_id="a",
            input=draw(st.sampled_from("xy")),
            model="m",
            max_steps=draw(st.integers(1, 6)),
            tool_concurrency=draw(st.integers(1, 3)),
            stop_when=tuple(draw(st.lists(st.sampled_from(_STOPS), max_size=2))),
            until_idle=draw(_POLICIES),
            parent=PARENT if is_child else None,
            thread=ON_THREAD if on_thread else None,
            message=STARTED_BY if is_child else BEGUN_BY if on_thread else None,
        )
    if not state.over and _rarely(draw) and _rarely(draw):
        by_parent = state.parent is not None and draw(st.booleans())
        return cancelled_by_its_parent() if by_parent else cancelled()
    if _rarely(draw) and draw(st.booleans()):
        return told_by_thread(draw, state)
    # One that waits for its tasks answers before it hears of them.
    may_wait = state.until_idle is not None and state.tasks and state.model_attempt is not None
    if len(tasks_of(state)) > 0 and draw(_SELDOM if may_wait else st.booleans()):
        return told_of_task(draw, state)
    if (state.mail.outbox or children_of(state)) and draw(st.booleans()):
        return told(draw, state)
    if waits_for_a_person(state) and (state.status == "suspended" or draw(st.booleans())):
        return what_is_said(draw, state)
    if state.model_attempt is not None:
        fitting: tuple[type[Any], ...] = _MODEL
    elif state.model_wait is not None:
        fitting = _WAIT
    else:
        fitting = _CHECK if state.checking else _TOOL
    kind: type[Any] = draw(st.sampled_from(_ANY if stale and _rarely(draw) else fitting))
    off = draw(st.integers(-1, 1)) if stale and _rarely(draw) else 0
    if kind in _MODEL and kind is not Recover:
        return _model_command(draw, state, kind, off, now_ns)
    if kind is ConcludeCheck:
        return _check_command(draw, state, off)
    if kind in (StartRun, Recover, Wake):
        return _general_command(draw, state, kind, now_ns)
    return _tool_command(draw, state, kind, off, now_ns)


def _general_command(
    draw: st.DrawFn, state: RunState, kind: type[Any], now_ns: int
) -> StartRun | Recover | Wake:
    if kind is StartRun:
        return StartRun(agent_id="a", input=draw(st.sampled_from("xy")), model="m")
    if kind is Wake:
        due = [call.wake_at_ns for call in state.calls.values() if call.wake_at_ns is not None]
        if state.model_wait is not None:
            due.append(state.model_wait.wake_at_ns)
        if state.rests_until_ns is not None:
            due.append(state.rests_until_ns)
        return Wake(now_ns=draw(st.sampled_from([*due, now_ns])))
    return Recover(
        epoch=2,
        running=frozenset(effect for effect in outstanding(state) if draw(st.booleans())),
        in_doubt={_TOOLS[0]: draw(st.sampled_from(["retry", "fail", "ask"]))},
        clean=draw(st.booleans()),
        max_recoveries=draw(st.sampled_from([None, 0, 1, 3])),
        model=draw(st.sampled_from([state.model or "m", "m2"])),
    )


def _check_command(draw: st.DrawFn, state: RunState, off: int) -> ConcludeCheck:
    said = draw(st.sampled_from(["", "", "", "f"]))
    error = _BOOM if _rarely(draw) else None
    return ConcludeCheck(step=state.step, number=state.checks + off, stop=said, error=error)


def _model_command(
    draw: st.DrawFn, state: RunState, kind: type[Any], off: int, now_ns: int
) -> RecordDelta | CompleteModelCall | FailModelCall:
    attempt = (state.model_attempt.attempt if state.model_attempt is not None else 1) + off
    if kind is RecordDelta:
        return RecordDelta(step=state.step, attempt=attempt, text="d")
    if kind is FailModelCall:
        return FailModelCall(
            step=state.step,
            attempt=attempt,
            error=_BOOM,
            now_ns=now_ns,
            retry=draw(_RETRIES),
            retryable=draw(st.sampled_from([None, True])),
            retry_after_ns=draw(st.sampled_from([0, SECOND_NS])),
            fallback=draw(st.sampled_from(["", "n"])),
        )
    fewest = draw(st.sampled_from([0, *[1] * 9]))  # Without a call, the run is over.
    names = draw(st.lists(st.sampled_from(_CALLED), min_size=fewest, max_size=4))
    waits = state.until_idle is not None and len(state.tasks) > 0 and not draw(_SELDOM)
    if waits:  # For its tasks.
        names = []
    elif state.until_idle is not None and not draw(_SELDOM):
        names = [BACKGROUND]
    planned = tuple(
        PlannedCall(
            name=name,
            arguments={},
            problem=_BOOM if _rarely(draw) else None,
            approval=Approval(digest="d", expires_at_ns=now_ns + SECOND_NS)
            if name != SUB_AGENT and _rarely(draw)
            else None,
            child=child_of(state.step, index) if name == SUB_AGENT else None,
            task=task_of(draw, state.step, index) if name == BACKGROUND else None,
        )
        for index, name in enumerate(names)
    )
    problem = _WRONG if not (names or waits) and draw(st.booleans()) else None
    return CompleteModelCall(
        step=state.step,
        attempt=attempt,
        problem=problem,
        repairs=draw(st.integers(0, 2)),
        repair="again",
        data=None if problem is not None else draw(_VALUES),
        text="m",
        tool_calls=planned,
        now_ns=now_ns,
        usage=Usage(input_tokens=1, output_tokens=2),
    )


def _tool_command(
    draw: st.DrawFn, state: RunState, kind: type[Any], off: int, now_ns: int
) -> RunCommand:
    call_id, attempt = CallId(f"{state.step}.0"), 1
    if state.calls:
        call_id = draw(st.sampled_from(list(state.calls)))
        attempt = state.calls[call_id].attempt + off
    if kind is CompleteStep:
        return CompleteStep(call_id=call_id, attempt=attempt, key="k", value=draw(_VALUES))
    if kind is SuspendToolCall:
        return asked_by(draw, call_id, attempt)
    if kind is ReportProgress:
        return ReportProgress(call_id=call_id, attempt=attempt, done=1.0)
    if kind is IgnoreToolResult:
        return IgnoreToolResult(call_id=call_id, attempt=attempt, outcome="failed")
    if kind is FailToolCall:
        retry = draw(_RETRIES)
        return FailToolCall(
            call_id=call_id, attempt=attempt, error=_BOOM, now_ns=now_ns, retry=retry
        )
    return CompleteToolCall(call_id=call_id, attempt=attempt, result=draw(_VALUES))


@st.composite
def histories(
    draw: st.DrawFn,
    commands: Callable[[S, int], st.SearchStrategy[C]],
    *,
    entity: Entity[S, C, Any],
    max_commands: int = 40,
) -> list[tuple[Event, ...]]:
    """Draw what may have happened to an entity: its commits, each caused by a command.

    What a command is refused leaves nothing. A second passes between two of them. Shrinks to
    fewer commands and simpler ones.

    Args:
        commands: for a state and the instant in nanoseconds, what may be wished then.
        entity: whose `decide` and `evolve` it is.
        max_commands: how many commands come.
    """
    state, commits = entity.initial, list[tuple[Event, ...]]()
    for number in range(draw(st.integers(1, max_commands))):
        try:
            events = entity.decide(state, draw(commands(state, number * SECOND_NS)))
        except OutliveError:
            continue
        if events:
            commits.append(events)
        for event in events:
            state = entity.evolve(state, event)
    return commits


def run_histories(*, max_commands: int = 40) -> st.SearchStrategy[list[tuple[RunEvent, ...]]]:
    """Draw valid histories of runs, from nothing at all to their end and what comes after it.

    A list of commits, each with its events, as `decide` has caused them.
    """
    drawn = histories(
        lambda state, now_ns: run_commands(state, now_ns=now_ns),
        entity=RUN,
        max_commands=max_commands,
    )
    return cast("st.SearchStrategy[list[tuple[RunEvent, ...]]]", drawn)


def run_events() -> st.SearchStrategy[RunEvent]:
    """Draw a single event of a run, with anything in it that it may hold.

    For what must take any event whatever came before it: codecs, exporters, views. For events
    that follow from each other see `run_histories`.
    """
    text, count = st.text(max_size=10), st.integers(0, 2**31)
    attempt = st.integers(1, 100)
    failures = st.builds(Failure, kind=text, message=text, exception=text)
    usages = st.builds(Usage, input_tokens=count, output_tokens=count)
    call_ids = st.tuples(count, count).map(lambda pair: CallId(f"{pair[0]}.{pair[1]}"))
    objects = st.dictionaries(text, values(), max_size=3)
    calls = st.builds(
        RequestedToolCall,
        call_id=call_ids,
        name=text,
        arguments=objects,
        provider_id=text,
        child=child_runs(),
        task=background_calls(),
    )
    conditions = st.one_of(
        st.builds(StopAfterSteps, attempt),
        st.builds(StopOnTool, text),
        st.builds(StopOnText, text),
        st.builds(StopFunction, text),
    )
    parts = st.one_of(
        st.builds(TextPart, text),
        st.builds(ImagePart, media_type=text, data=st.binary(max_size=10), url=text),
        st.builds(FilePart, media_type=text, data=st.binary(max_size=10), url=text, name=text),
    )
    instants = st.none() | st.integers(0, 2**62)
    of_model = {"step": count, "attempt": attempt}
    of_call = {"call_id": call_ids, "attempt": attempt}
    amount = st.floats(0, 1e12)
    return st.one_of(
        st.builds(
            RunStarted,
            agent_id=text,
            input=text,
            max_steps=attempt,
            tool_concurrency=attempt,
            metadata=objects,
            stop_when=st.lists(conditions, max_size=3).map(tuple),
            request_context=objects,
            provider_options=objects,
            parts=st.lists(parts, max_size=3).map(tuple),
            until_idle=idle_policies(),
            parent=parents(),
            thread=places(),
            message=messages(),
        ),
        st.builds(RunRecovered, epoch=attempt, attempt=attempt, clean=st.booleans(), model=text),
        st.builds(ModelCallStarted, model=text, messages=count, **of_model),
        st.builds(ModelDelta, text=text, kind=st.sampled_from(["text", "reasoning"]), **of_model),
        st.builds(
            ModelCallCompleted,
            text=text,
            reasoning=text,
            tool_calls=st.lists(calls, max_size=3).map(tuple),
            usage=usages,
            finish_reason=text,
            elapsed_ms=count,
            request_digest=text,
            **of_model,
        ),
        st.builds(
            ModelCallFailed,
            error=failures,
            elapsed_ms=count,
            retry_at_ns=instants,
            request_digest=text,
            **of_model,
        ),
        st.builds(OutputRejected, step=count, error=failures, message=text),
        st.builds(ModelAttemptAbandoned, **of_model),
        st.builds(ToolCallStarted, name=text, **of_call),
        st.builds(ToolStepCompleted, key=text, value=values(), elapsed_ms=count, **of_call),
        st.builds(ToolProgressed, done=amount, total=st.none() | amount, note=text, **of_call),
        st.builds(ToolCallCompleted, result=values(), elapsed_ms=count, **of_call),
        st.builds(
            ToolCallFailed,
            error=failures,
            retry_at_ns=instants,
            elapsed_ms=count,
            **of_call,
        ),
        st.builds(ToolResultIgnored, outcome=st.sampled_from(["completed", "failed"]), **of_call),
        st.builds(RunCompleted, finish_reason=text, data=values()),
        st.builds(RunFailed, error=failures),
        events_of_children(call_ids, usages),
        events_of_tasks(call_ids, failures),
        events_of_signals(),
    )
