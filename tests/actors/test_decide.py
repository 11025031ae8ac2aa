"""What a run does about each command, in each state it can be in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, get_args

import pytest

from outlive.actors import Retry
from outlive.actors.entity import Exhausted
from outlive.actors.mail import Acknowledge
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
    Effect,
    EndChildRun,
    FailModelCall,
    FailToolCall,
    IgnoreToolResult,
    InDoubt,
    PlannedCall,
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
from outlive.actors.run.decide import decide
from outlive.actors.run.entity import open_entry, outstanding
from outlive.events import (
    AttemptEnded,
    CallId,
    Failure,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    OutliveError,
    RequestedToolCall,
    RunCompleted,
    RunEvent,
    RunExists,
    RunFailed,
    RunRecovered,
    RunStarted,
    RunState,
    TextPart,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
    Usage,
    Value,
)
from outlive.testing import Given, given
from tests.support import SECOND, tags

C0, C1, C2 = CallId("0.0"), CallId("0.1"), CallId("0.2")
NOW: Final = 1_000 * SECOND
BOOM: Final = Failure(kind="error", message="boom", exception="ValueError")

START: Final = StartRun(agent_id="a", input="hi", model="m")
STARTED: Final = RunStarted(agent_id="a", input="hi")
CALLING: Final = ModelCallStarted(step=0, model="m", messages=1)


def started(*, max_steps: int = 20, tool_concurrency: int = 10) -> tuple[RunEvent, ...]:
    return (
        RunStarted(
            agent_id="a", input="hi", max_steps=max_steps, tool_concurrency=tool_concurrency
        ),
        CALLING,
    )


def asked(*names: str, step: int = 0, attempt: int = 1) -> ModelCallCompleted:
    calls = tuple(
        RequestedToolCall(call_id=CallId(f"{step}.{index}"), name=name)
        for index, name in enumerate(names)
    )
    return ModelCallCompleted(
        step=step, attempt=attempt, tool_calls=calls, finish_reason="tool_calls"
    )


def answer(*names: str, step: int = 0, attempt: int = 1, text: str = "") -> CompleteModelCall:
    return CompleteModelCall(
        step=step,
        attempt=attempt,
        text=text,
        tool_calls=tuple(PlannedCall(name=name, arguments={}) for name in names),
        finish_reason="tool_calls" if names else "stop",
    )


def begun(call_id: CallId, attempt: int = 1, name: str = "t") -> ToolCallStarted:
    return ToolCallStarted(call_id=call_id, name=name, attempt=attempt)


def done(call_id: CallId, attempt: int = 1, result: Value = None) -> CompleteToolCall:
    return CompleteToolCall(call_id=call_id, attempt=attempt, result=result)


def failed(
    call_id: CallId, attempt: int = 1, *, retry: Retry | None = None, error: Failure = BOOM
) -> FailToolCall:
    return FailToolCall(
        call_id=call_id,
        attempt=attempt,
        error=error,
        now_ns=NOW,
        retry=retry or Retry(0),
        spread_by=f"r1/{call_id}",
    )


def waiting_until(
    call_id: CallId, retry_at_ns: int = NOW + SECOND, attempt: int = 1
) -> ToolCallFailed:
    return ToolCallFailed(call_id=call_id, attempt=attempt, error=BOOM, retry_at_ns=retry_at_ns)


def recover(
    *running: Effect,
    in_doubt: InDoubt = "retry",
    clean: bool = False,
    max_recoveries: int | None = 5,
    model: str = "m",
) -> Recover:
    return Recover(
        epoch=2,
        running=frozenset(running),
        in_doubt={"t": in_doubt},
        clean=clean,
        max_recoveries=max_recoveries,
        model=model,
    )


# -- every command in every state --

NONE: Final = given()
MODEL: Final = given(*started())
STARTED_CALL: Final = given(*started(), asked("t"), begun(C0))
QUEUED_CALL: Final = given(*started(tool_concurrency=1), asked("t", "t"), begun(C0))
RETRYING: Final = given(*started(), asked("t"), begun(C0), waiting_until(C0))
COMPLETED: Final = given(*started(), ModelCallCompleted(text="x"), RunCompleted())
FAILED: Final = given(*started(), ModelCallFailed(error=BOOM), RunFailed(error=BOOM))

STATES: Final = (NONE, MODEL, STARTED_CALL, QUEUED_CALL, RETRYING, COMPLETED, FAILED)
NAMES: Final = ("none", "model", "started", "queued", "retrying", "completed", "failed")


@dataclass(frozen=True)
class Row:
    """What one command causes in each state: tags of events, nothing, or a refusal."""

    command: RunCommand
    none: str | type[OutliveError] = ""
    model: str | type[OutliveError] = ""
    started: str | type[OutliveError] = ""
    queued: str | type[OutliveError] = ""
    retrying: str | type[OutliveError] = ""
    completed: str | type[OutliveError] = ""
    failed: str | type[OutliveError] = ""


TABLE: Final = (
    Row(START, none="run-started model-call-started"),
    Row(
        StartRun(agent_id="a", input="something else", model="m"),
        none="run-started model-call-started",
        model=RunExists,
        started=RunExists,
        queued=RunExists,
        retrying=RunExists,
        completed=RunExists,
        failed=RunExists,
    ),
    Row(
        recover(),
        model="run-recovered model-attempt-abandoned model-call-started",
        started="run-recovered tool-call-started",
        queued="run-recovered tool-call-started",
        retrying="run-recovered",
    ),
    Row(Wake(now_ns=NOW + SECOND), retrying="tool-call-started"),
    Row(Wake(now_ns=NOW + SECOND - 1)),
    Row(ConcludeCheck(step=0, number=0, stop="nobody was asked")),
    Row(RecordDelta(step=0, attempt=1, text="a"), model="model-delta"),
    Row(RecordDelta(step=0, attempt=2, text="a")),
    Row(RecordDelta(step=1, attempt=1, text="a")),
    Row(answer(text="x"), model="model-call-completed run-completed"),
    Row(answer("t"), model="model-call-completed tool-call-started"),
    Row(answer(text="x", attempt=2)),
    Row(answer(text="x", step=1)),
    Row(
        FailModelCall(step=0, attempt=1, error=BOOM),
        model="model-call-failed run-failed",
    ),
    Row(FailModelCall(step=0, attempt=2, error=BOOM)),
    Row(FailModelCall(step=1, attempt=1, error=BOOM)),
    Row(
        CompleteStep(call_id=C0, attempt=1, key="k", value=1),
        none=AttemptEnded,
        model=AttemptEnded,
        started="tool-step-completed",
        queued="tool-step-completed",
        retrying=AttemptEnded,
        completed=AttemptEnded,
        failed=AttemptEnded,
    ),
    Row(
        CompleteStep(call_id=C1, attempt=0, key="a call that waits", value=1),
        none=AttemptEnded,
        model=AttemptEnded,
        started=AttemptEnded,
        queued=AttemptEnded,
        retrying=AttemptEnded,
        completed=AttemptEnded,
        failed=AttemptEnded,
    ),
    Row(
        ReportProgress(call_id=C0, attempt=1, done=1.0),
        none=AttemptEnded,
        model=AttemptEnded,
        started="tool-progressed",
        queued="tool-progressed",
        retrying=AttemptEnded,
        completed=AttemptEnded,
        failed=AttemptEnded,
    ),
    Row(
        ReportProgress(call_id=C0, attempt=2, done=1.0),
        none=AttemptEnded,
        model=AttemptEnded,
        started=AttemptEnded,
        queued=AttemptEnded,
        retrying=AttemptEnded,
        completed=AttemptEnded,
        failed=AttemptEnded,
    ),
    Row(
        done(C0),
        started="tool-call-completed model-call-started",
        queued="tool-call-completed tool-call-started",
    ),
    Row(done(C0, attempt=2)),
    Row(done(C1)),
    Row(done(C1, attempt=0)),
    Row(
        failed(C0),
        started="tool-call-failed model-call-started",
        queued="tool-call-failed tool-call-started",
    ),
    Row(failed(C0, retry=Retry(1)), started="tool-call-failed", queued="tool-call-failed"),
    Row(failed(C0, attempt=2)),
    Row(failed(C1, attempt=0)),
    Row(
        IgnoreToolResult(call_id=C0, attempt=1, outcome="completed"),
        model="tool-result-ignored",
        started="tool-result-ignored",
        queued="tool-result-ignored",
        retrying="tool-result-ignored",
        completed="tool-result-ignored",
        failed="tool-result-ignored",
    ),
)

CELLS: Final = [
    pytest.param(
        state,
        row.command,
        getattr(row, name),
        id=f"{name}-{type(row.command).__name__}-{index}",
    )
    for index, row in enumerate(TABLE)
    for state, name in zip(STATES, NAMES, strict=True)
]


@pytest.mark.parametrize(("state", "command", "expected"), CELLS)
def test_each_command_in_each_state_causes_what_the_table_says(
    state: Given[RunState, RunCommand], command: RunCommand, expected: str | type[OutliveError]
) -> None:
    if isinstance(expected, str):
        assert tags(state.when(command).decided) == expected.split()
    else:
        state.when(command).then_refused(expected)


def test_the_table_names_every_command() -> None:
    of_people = {AnswerSuspension, CancelRun, DecideApproval, ResolveToolCall, SuspendToolCall}
    of_others = {Acknowledge, EndChildRun, RefuseChildRun}
    of_others |= {TaskTaken, RefuseTask, ReceiveBackgroundResult, TellRun}
    assert {type(row.command) for row in TABLE} == set(get_args(RunCommand)) - of_people - of_others


# -- starting --


def test_a_run_starts_with_its_input_and_the_first_model_call_in_one_commit() -> None:
    (
        given()
        .when(
            StartRun(
                agent_id="a",
                input="hi",
                model="gpt",
                max_steps=3,
                tool_concurrency=2,
                metadata={"k": [1, None]},
            )
        )
        .then(
            RunStarted(
                agent_id="a",
                input="hi",
                max_steps=3,
                tool_concurrency=2,
                metadata={"k": [1, None]},
            ),
            ModelCallStarted(step=0, attempt=1, model="gpt", messages=1),
        )
    )


@pytest.mark.parametrize(
    "other",
    [
        StartRun(agent_id="b", input="hi", model="m"),
        StartRun(agent_id="a", input="ho", model="m"),
        StartRun(agent_id="a", input="hi", model="m", metadata={"k": 1}),
        StartRun(agent_id="a", input="hi", model="m", request_context={"k": 1}),
        StartRun(agent_id="a", input="hi", model="m", provider_options={"k": 1}),
        StartRun(agent_id="a", input="hi", model="m", parts=(TextPart("hi"),)),
    ],
    ids=["agent", "input", "metadata", "context", "options", "parts"],
)
def test_a_start_under_the_same_id_is_refused_if_it_asks_for_something_else(
    other: StartRun,
) -> None:
    given().when(START, other).then_refused(RunExists)


def test_a_start_is_the_same_whatever_the_order_of_its_metadata() -> None:
    one = StartRun(agent_id="a", input="hi", model="m", metadata={"x": 1, "y": {"p": 1, "q": 2}})
    two = StartRun(agent_id="a", input="hi", model="m", metadata={"y": {"q": 2, "p": 1}, "x": 1})
    given().when(one, two).then()


def test_a_start_is_the_same_after_the_agents_settings_and_model_have_changed() -> None:
    again = StartRun(agent_id="a", input="hi", model="m2", max_steps=1, tool_concurrency=1)
    given().when(START, again).then()


def test_agent_and_input_are_told_apart_even_if_they_join_to_the_same_text() -> None:
    one = StartRun(agent_id="ab", input="c", model="m")
    two = StartRun(agent_id="a", input="bc", model="m")
    given().when(one, two).then_refused(RunExists)


# -- the model's answer --


def test_an_answer_without_tool_calls_ends_the_run_in_the_same_commit() -> None:
    (
        MODEL.when(
            CompleteModelCall(
                step=0,
                attempt=1,
                text="forty-two",
                reasoning="hm",
                usage=Usage(input_tokens=3, output_tokens=4),
                finish_reason="length",
                elapsed_ms=12,
            )
        ).then(
            ModelCallCompleted(
                text="forty-two",
                reasoning="hm",
                usage=Usage(input_tokens=3, output_tokens=4),
                finish_reason="length",
                elapsed_ms=12,
            ),
            RunCompleted(finish_reason="length"),
        )
    )


def test_an_empty_answer_ends_the_run_too() -> None:
    MODEL.when(answer()).then(ModelCallCompleted(), RunCompleted())


def test_tool_calls_get_ids_of_their_step_and_start_in_the_commit_of_the_answer() -> None:
    (given(*started(), asked("t"), begun(C0), ToolCallCompleted(call_id=C0)).when(done(C0)).then())
    (
        given(
            *started(),
            asked("t"),
            begun(C0),
            ToolCallCompleted(call_id=C0),
            ModelCallStarted(step=1, model="m", messages=3),
        )
        .when(
            CompleteModelCall(
                step=1,
                attempt=1,
                tool_calls=(
                    PlannedCall(name="t", arguments={"x": 1}, provider_id="p-1"),
                    PlannedCall(name="u", arguments={}),
                ),
                finish_reason="tool_calls",
            )
        )
        .then(
            ModelCallCompleted(
                step=1,
                tool_calls=(
                    RequestedToolCall(
                        call_id=CallId("1.0"), name="t", arguments={"x": 1}, provider_id="p-1"
                    ),
                    RequestedToolCall(call_id=CallId("1.1"), name="u"),
                ),
                finish_reason="tool_calls",
            ),
            begun(CallId("1.0")),
            begun(CallId("1.1"), name="u"),
        )
    )


def test_an_answer_delivered_twice_is_recorded_once() -> None:
    MODEL.when(answer("t"), answer("t")).then()
    MODEL.when(answer(text="x"), answer(text="x")).then()


def test_deltas_of_an_attempt_that_is_over_are_dropped() -> None:
    late = RecordDelta(step=0, attempt=1, text="late")
    MODEL.when(answer("t"), late).then()
    MODEL.when(recover(), late).then()


def test_deltas_change_no_state() -> None:
    delta = RecordDelta(step=0, attempt=1, text="a", kind="reasoning")
    after = MODEL.when(delta).then(ModelDelta(text="a", kind="reasoning"))
    assert after.state == MODEL.state


def test_a_failed_model_call_fails_the_run_with_its_reason() -> None:
    after = MODEL.when(FailModelCall(step=0, attempt=1, error=BOOM, elapsed_ms=3)).then(
        ModelCallFailed(error=BOOM, elapsed_ms=3), RunFailed(error=BOOM)
    )
    assert after.state.over
    assert after.state.error == BOOM
    assert outstanding(after.state) == {}


# -- calls that cannot be made --

UNKNOWN: Final = Failure(kind="unknown_tool", message="there is no tool 'u'")
INVALID: Final = Failure(kind="invalid_arguments", message="expected int")


def test_calls_that_cannot_be_made_fail_without_an_attempt_next_to_good_ones_that_start() -> None:
    planned = (
        PlannedCall(name="u", arguments={}, problem=UNKNOWN),
        PlannedCall(name="t", arguments={}),
        PlannedCall(name="t", arguments={"x": "?"}, problem=INVALID),
    )
    after = MODEL.when(
        CompleteModelCall(step=0, attempt=1, tool_calls=planned, finish_reason="tool_calls")
    ).then(
        ModelCallCompleted(
            tool_calls=(
                RequestedToolCall(call_id=C0, name="u"),
                RequestedToolCall(call_id=C1, name="t"),
                RequestedToolCall(call_id=C2, name="t", arguments={"x": "?"}),
            ),
            finish_reason="tool_calls",
        ),
        ToolCallFailed(call_id=C0, attempt=0, error=UNKNOWN),
        ToolCallFailed(call_id=C2, attempt=0, error=INVALID),
        begun(C1),
    )
    after.when(done(C1)).then(
        ToolCallCompleted(call_id=C1), ModelCallStarted(step=1, model="m", messages=5)
    )


def test_the_model_is_asked_again_at_once_when_none_of_its_calls_can_be_made() -> None:
    planned = (PlannedCall(name="u", arguments={}, problem=UNKNOWN),)
    command = CompleteModelCall(step=0, attempt=1, tool_calls=planned)
    MODEL.when(command).then(
        ModelCallCompleted(tool_calls=(RequestedToolCall(call_id=C0, name="u"),)),
        ToolCallFailed(call_id=C0, attempt=0, error=UNKNOWN),
        ModelCallStarted(step=1, model="m", messages=3),
    )


def test_a_call_that_cannot_be_made_takes_no_place_of_those_that_run_at_once() -> None:
    planned = (
        PlannedCall(name="u", arguments={}, problem=UNKNOWN),
        PlannedCall(name="t", arguments={}),
        PlannedCall(name="t", arguments={}),
    )
    command = CompleteModelCall(step=0, attempt=1, tool_calls=planned)
    decided = given(*started(tool_concurrency=1)).when(command).decided
    assert decided[1:] == (ToolCallFailed(call_id=C0, attempt=0, error=UNKNOWN), begun(C1))


# -- parallel calls, and their limits --


def test_the_model_is_called_again_once_the_last_call_is_over_whatever_the_order() -> None:
    open_calls = given(*started(), asked("t", "t"), begun(C0), begun(C1))
    after = open_calls.when(done(C1, result=1)).then(ToolCallCompleted(call_id=C1, result=1))
    after.when(done(C0, result=2)).then(
        ToolCallCompleted(call_id=C0, result=2),
        ModelCallStarted(step=1, model="m", messages=4),
    )


def test_a_failed_call_counts_as_an_answer_for_the_model() -> None:
    open_calls = given(*started(), asked("t", "t"), begun(C0), begun(C1))
    after = open_calls.when(failed(C0)).then(ToolCallFailed(call_id=C0, error=BOOM))
    after.when(done(C1)).then(
        ToolCallCompleted(call_id=C1), ModelCallStarted(step=1, model="m", messages=4)
    )


def test_no_more_calls_than_the_limit_run_at_once_and_the_next_starts_as_one_ends() -> None:
    busy = given(*started(tool_concurrency=2)).when(answer("t", "t", "t")).after
    assert busy.events[-2:] == (begun(C0), begun(C1))
    busy.when(done(C1)).then(ToolCallCompleted(call_id=C1), begun(C2))


def test_a_call_that_waits_for_its_retry_keeps_its_place() -> None:
    busy = given(*started(tool_concurrency=1)).when(answer("t", "t")).after
    waiting = busy.when(failed(C0, retry=Retry(1, jitter=0))).then(waiting_until(C0))
    assert list(outstanding(waiting.state)) == []
    again = waiting.when(Wake(now_ns=NOW + SECOND)).then(begun(C0, 2))
    again.when(done(C0, attempt=2)).then(ToolCallCompleted(call_id=C0, attempt=2), begun(C1))


def test_the_last_of_its_steps_runs_its_tools_and_then_completes_the_run() -> None:
    last = given(*started(max_steps=1)).when(answer("t")).after
    after = last.when(done(C0)).then(
        ToolCallCompleted(call_id=C0), RunCompleted(finish_reason="max_steps")
    )
    assert after.state.finish_reason == "max_steps"


def test_an_answer_in_the_last_step_completes_the_run_as_any_other() -> None:
    given(*started(max_steps=1)).when(answer(text="x")).then(
        ModelCallCompleted(text="x"), RunCompleted(finish_reason="stop")
    )


def test_the_last_step_ends_the_run_also_when_none_of_its_calls_can_be_made() -> None:
    planned = (PlannedCall(name="u", arguments={}, problem=UNKNOWN),)
    command = CompleteModelCall(step=0, attempt=1, tool_calls=planned)
    decided = given(*started(max_steps=1)).when(command).decided
    assert decided[-1] == RunCompleted(finish_reason="max_steps")


def test_a_result_delivered_twice_is_recorded_once() -> None:
    STARTED_CALL.when(done(C0, result=1), done(C0, result=1)).then()
    STARTED_CALL.when(done(C0, result=1), failed(C0)).then()
    STARTED_CALL.when(failed(C0), done(C0)).then()


def test_a_result_of_an_attempt_that_was_given_up_is_not_applied() -> None:
    again = STARTED_CALL.when(recover()).after
    again.when(done(C0, attempt=1)).then()
    again.when(failed(C0, attempt=1)).then()
    again.when(CompleteStep(call_id=C0, attempt=1, key="k", value=1)).then_refused(AttemptEnded)
    assert tags(again.when(done(C0, attempt=2)).decided)[0] == "tool-call-completed"


def test_a_call_of_an_earlier_step_never_comes_back() -> None:
    later = given(
        *started(),
        asked("t"),
        begun(C0),
        ToolCallCompleted(call_id=C0),
        ModelCallStarted(step=1, model="m", messages=3),
        asked("t", step=1),
        begun(CallId("1.0")),
    )
    later.when(done(C0)).then()


# -- steps and progress --


def test_a_step_is_recorded_with_its_value() -> None:
    STARTED_CALL.when(
        CompleteStep(call_id=C0, attempt=1, key="page-1", value={"n": [1]}, elapsed_ms=7)
    ).then(ToolStepCompleted(call_id=C0, attempt=1, key="page-1", value={"n": [1]}, elapsed_ms=7))


def test_progress_changes_no_state() -> None:
    after = STARTED_CALL.when(
        ReportProgress(call_id=C0, attempt=1, done=1.0, total=2.0, note="n")
    ).then(ToolProgressed(call_id=C0, done=1.0, total=2.0, note="n"))
    assert after.state == STARTED_CALL.state


def test_a_refused_step_says_which_attempt_is_over() -> None:
    with pytest.raises(AttemptEnded) as refused:
        decide(STARTED_CALL.state, CompleteStep(call_id=C0, attempt=7, key="k", value=1))
    assert (refused.value.call_id, refused.value.attempt) == (C0, 7)


# -- retries --


def retry_wait_ns(retry: Retry, *, attempt: int = 1, error: Failure = BOOM) -> int | None:
    before = [
        event
        for number in range(1, attempt)
        for event in (begun(C0, number), waiting_until(C0, attempt=number))
    ]
    history = given(*started(), asked("t"), *before, begun(C0, attempt))
    (event, *_) = history.when(failed(C0, attempt, retry=retry, error=error)).decided
    assert isinstance(event, ToolCallFailed)
    return None if event.retry_at_ns is None else event.retry_at_ns - NOW


def test_a_retry_is_one_event_with_the_instant_at_which_it_is_due() -> None:
    after = STARTED_CALL.when(failed(C0, retry=Retry(1, delay=3, jitter=0))).then(
        ToolCallFailed(call_id=C0, error=BOOM, retry_at_ns=NOW + 3 * SECOND)
    )
    assert outstanding(after.state) == {}
    entry = open_entry(after.state)
    assert entry is not None
    assert (entry.wake_at_ns, entry.owes) == (NOW + 3 * SECOND, False)


def test_max_retries_says_how_often() -> None:
    assert retry_wait_ns(Retry(0)) is None
    assert retry_wait_ns(Retry(2), attempt=2) is not None
    assert retry_wait_ns(Retry(2), attempt=3) is None


def test_delay_is_the_first_wait_and_factor_what_the_next_ones_grow_by() -> None:
    def waits(retry: Retry) -> list[int]:
        found = [retry_wait_ns(retry, attempt=attempt) for attempt in (1, 2, 3)]
        return [0 if wait is None else wait // SECOND for wait in found]

    assert waits(Retry(3, delay=2, jitter=0)) == [2, 4, 8]
    assert waits(Retry(3, delay=2, factor=3, jitter=0)) == [2, 6, 18]
    assert waits(Retry(3, delay=5, factor=1, jitter=0)) == [5, 5, 5]


def test_max_delay_bounds_the_wait_however_often() -> None:
    retry = Retry(1_000_000, delay=1, factor=10, max_delay=60, jitter=0)
    assert retry_wait_ns(retry, attempt=900) == 60 * SECOND
    for factor in (10, 1_000.0):
        retry = Retry(1_000_000, delay=1, factor=factor, max_delay=60, jitter=0)
        assert retry.delay_ns(900_000, "x") == 60 * SECOND


def test_jitter_spreads_the_wait_by_its_share_and_always_in_the_same_way() -> None:
    waits = [
        retry_wait_ns(Retry(9, delay=10, factor=1, jitter=0.5), attempt=n) for n in range(1, 10)
    ]
    assert waits == [
        retry_wait_ns(Retry(9, delay=10, factor=1, jitter=0.5), attempt=n) for n in range(1, 10)
    ]
    assert len(set(waits)) == 9
    assert all(wait is not None and 5 * SECOND <= wait <= 15 * SECOND for wait in waits)
    assert retry_wait_ns(Retry(9, delay=10, jitter=0)) == 10 * SECOND


def test_parallel_calls_that_fail_at_the_same_instant_are_not_retried_at_the_same_instant() -> None:
    history = given(*started(), asked("t", "t"), begun(C0), begun(C1))
    (one,) = history.when(failed(C0, retry=Retry(1))).decided
    (two,) = history.when(failed(C1, retry=Retry(1))).decided
    assert isinstance(one, ToolCallFailed)
    assert isinstance(two, ToolCallFailed)
    assert one.retry_at_ns != two.retry_at_ns


@pytest.mark.parametrize(
    ("retry_on", "retried"),
    [
        (("error",), True),
        (("timeout",), False),
        (("ConnectionError",), True),
        (("ValueError", "ConnectionError"), True),
        (("connectionerror",), False),
        ((), False),
    ],
)
def test_retry_on_names_kinds_of_failure_or_exception_types(
    retry_on: tuple[str, ...], *, retried: bool
) -> None:
    error = Failure(kind="error", message="m", exception="ConnectionError")
    assert (retry_wait_ns(Retry(1, retry_on=retry_on), error=error) is not None) is retried


@pytest.mark.parametrize("kind", ["unserialisable", "invalid_output", "in_doubt"])
def test_what_will_not_go_better_next_time_is_not_retried_by_default(kind: str) -> None:
    assert retry_wait_ns(Retry(5), error=Failure(kind=kind)) is None


def test_the_last_failure_is_the_models_answer() -> None:
    history = given(*started(), asked("t"), begun(C0), waiting_until(C0), begun(C0, 2))
    history.when(failed(C0, 2, retry=Retry(1))).then(
        ToolCallFailed(call_id=C0, attempt=2, error=BOOM),
        ModelCallStarted(step=1, model="m", messages=3),
    )


def test_an_attempt_that_a_crash_cut_off_uses_no_retry() -> None:
    recovered = STARTED_CALL.when(recover()).after
    (event, *_) = recovered.when(failed(C0, 2, retry=Retry(1))).decided
    assert isinstance(event, ToolCallFailed)
    assert event.retry_at_ns is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_retries": -1},
        {"max_retries": 2_000_000},
        {"max_retries": 1, "delay": -0.1},
        {"max_retries": 1, "max_delay": -1},
        {"max_retries": 1, "factor": 0.5},
        {"max_retries": 1, "jitter": 1.1},
        {"max_retries": 1, "jitter": -0.1},
        {"max_retries": 1, "jitter": float("nan")},
        {"max_retries": 1, "retry_on": "timeout"},
    ],
)
def test_a_retry_that_cannot_hold_is_refused_at_construction(wrong: dict[str, object]) -> None:
    with pytest.raises(OutliveError):
        Retry(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_retries": 1, "delay": float("nan")},
        {"max_retries": 1, "factor": float("nan")},
        {"max_retries": 1, "delay": float("inf"), "max_delay": float("inf")},
        {"max_retries": 1, "delay": 1e300, "max_delay": 1e300},
        {"max_retries": 1.5},
        {"max_retries": "3"},
    ],
)
def test_a_retry_that_would_fail_when_it_is_due_is_refused_at_construction(
    wrong: dict[str, object],
) -> None:
    with pytest.raises(OutliveError):
        Retry(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -- waking --


def test_a_wake_starts_just_the_calls_that_are_due() -> None:
    waiting = given(
        *started(),
        asked("t", "t", "t"),
        begun(C0),
        begun(C1),
        begun(C2),
        waiting_until(C0, NOW + 3),
        waiting_until(C1, NOW + 5),
        waiting_until(C2, NOW + 4),
    )
    waiting.when(Wake(now_ns=NOW + 2)).then()
    after = waiting.when(Wake(now_ns=NOW + 4)).then(begun(C0, 2), begun(C2, 2))
    entry = open_entry(after.state)
    assert entry is not None
    assert (entry.wake_at_ns, entry.owes) == (NOW + 5, True)
    after.when(Wake(now_ns=NOW + 4)).then()
    after.when(Wake(now_ns=NOW + 9)).then(begun(C1, 2))


def test_a_wake_that_comes_twice_starts_once() -> None:
    RETRYING.when(Wake(now_ns=NOW + SECOND), Wake(now_ns=NOW + SECOND)).then()


# -- recovering --


def test_a_model_call_that_was_cut_off_is_made_again_with_the_same_history() -> None:
    after = MODEL.when(recover(model="m2")).then(
        RunRecovered(epoch=2, attempt=1, model="m2"),
        ModelAttemptAbandoned(step=0, attempt=1),
        ModelCallStarted(step=0, attempt=2, model="m2", messages=1),
    )
    after.when(recover(model="m2")).then(
        RunRecovered(epoch=2, attempt=2),
        ModelAttemptAbandoned(step=0, attempt=2),
        ModelCallStarted(step=0, attempt=3, model="m2", messages=1),
    )


def test_a_tool_that_was_cut_off_is_called_again_if_it_may_be_repeated() -> None:
    STARTED_CALL.when(recover()).then(RunRecovered(epoch=2), begun(C0, 2))


def test_a_tool_that_was_cut_off_fails_if_it_must_not_be_repeated() -> None:
    decided = STARTED_CALL.when(recover(in_doubt="fail")).decided
    assert tags(decided) == ["run-recovered", "tool-call-failed", "model-call-started"]
    event = decided[1]
    assert isinstance(event, ToolCallFailed)
    assert (event.call_id, event.attempt, event.retry_at_ns) == (C0, 1, None)
    assert event.error.kind == "in_doubt"


def test_each_call_is_settled_by_its_own_tools_policy() -> None:
    history = given(*started(), asked("t", "u"), begun(C0), begun(C1, name="u"))
    command = Recover(epoch=2, in_doubt={"t": "fail", "u": "retry"}, model="m")
    decided = history.when(command).decided
    assert tags(decided) == ["run-recovered", "tool-call-failed", "tool-call-started"]
    assert decided[2] == begun(C1, 2, name="u")


def test_what_still_runs_in_this_process_is_left_alone() -> None:
    MODEL.when(recover(CallModel(0, 1))).then()
    STARTED_CALL.when(recover(CallTool(C0, "t", 1))).then()


def test_an_effect_of_another_attempt_does_not_count_as_running() -> None:
    again = given(*started(), asked("t"), begun(C0), begun(C0, 2))
    again.when(recover(CallTool(C0, "t", 1))).then(RunRecovered(epoch=2), begun(C0, 3))
    MODEL.when(recover(CallModel(1, 1), CallModel(0, 2))).then(
        RunRecovered(epoch=2),
        ModelAttemptAbandoned(),
        ModelCallStarted(attempt=2, model="m", messages=1),
    )


def test_of_two_calls_only_the_one_that_does_not_run_is_settled() -> None:
    history = given(*started(), asked("t", "t"), begun(C0), begun(C1))
    history.when(recover(CallTool(C0, "t", 1))).then(RunRecovered(epoch=2), begun(C1, 2))


def test_calls_that_are_over_or_have_not_begun_or_wait_for_a_retry_stay_as_they_are() -> None:
    history = given(
        *started(tool_concurrency=3),
        asked("t", "t", "t", "t"),
        begun(C0),
        begun(C1),
        begun(C2),
        ToolCallCompleted(call_id=C0),
        begun(CallId("0.3")),
        waiting_until(C1),
    )
    history.when(recover()).then(RunRecovered(epoch=2), begun(C2, 2), begun(CallId("0.3"), 2))


def test_calls_that_have_not_begun_start_as_far_as_the_limit_allows() -> None:
    history = given(*started(tool_concurrency=1), asked("t", "t"), begun(C0))
    decided = history.when(recover(in_doubt="fail")).decided
    assert tags(decided) == ["run-recovered", "tool-call-failed", "tool-call-started"]
    assert decided[2] == begun(C1)


def test_a_run_that_is_over_or_has_not_begun_is_not_recovered() -> None:
    for history in (NONE, COMPLETED, FAILED):
        history.when(recover()).then()


def test_recoveries_without_progress_are_counted_up_to_the_limit() -> None:
    history = MODEL
    for attempt in (1, 2, 3):
        history = history.when(recover(max_recoveries=3)).after
        assert history.state.recoveries == attempt
    history.when(recover(max_recoveries=3)).then_refused(Exhausted, match="3 times")
    history.when(recover(max_recoveries=4)).after.when(recover(max_recoveries=4)).then_refused(
        Exhausted
    )


def test_no_recovery_is_allowed_if_the_limit_is_none_at_all() -> None:
    MODEL.when(recover(max_recoveries=0)).then_refused(Exhausted)


def test_a_limit_of_none_never_ends() -> None:
    history = STARTED_CALL
    for _ in range(50):
        history = history.when(recover(max_recoveries=None)).after
    assert history.state.recoveries == 50


def test_a_clean_end_before_does_not_count() -> None:
    history = MODEL
    for _ in range(10):
        history = history.when(recover(clean=True, max_recoveries=1)).after
    assert history.state.recoveries == 0
    assert isinstance(history.events[-3], RunRecovered)
    assert history.events[-3] == RunRecovered(epoch=2, attempt=1, clean=True)


def test_a_clean_end_between_crashes_neither_counts_nor_resets_the_count() -> None:
    history = MODEL.when(recover()).after.when(recover()).after
    history = history.when(recover(clean=True)).after
    assert history.state.recoveries == 2


@pytest.mark.parametrize(
    "progress",
    [
        ToolStepCompleted(call_id=C0, attempt=2, key="k"),
        ToolCallCompleted(call_id=C1, attempt=2),
        ToolCallFailed(call_id=C1, attempt=2, error=BOOM),
        ToolCallFailed(call_id=C1, attempt=2, error=BOOM, retry_at_ns=5),
    ],
    ids=["step", "result", "failure", "retry"],
)
def test_anything_new_in_between_begins_the_count_anew(progress: RunEvent) -> None:
    history = given(*started(), asked("t", "t"), begun(C0), begun(C1)).when(recover()).after
    assert history.state.recoveries == 1
    assert given(*history.events, progress).state.recoveries == 0


def test_a_models_answer_begins_the_count_anew() -> None:
    history = MODEL.when(recover()).after.when(answer("t", attempt=2)).after
    assert history.state.recoveries == 0


@pytest.mark.parametrize(
    "event",
    [ModelDelta(attempt=2, text="x"), ToolProgressed(call_id=C0, done=1.0)],
    ids=["delta", "progress"],
)
def test_deltas_and_progress_are_nothing_new(event: RunEvent) -> None:
    history = MODEL.when(recover()).after
    assert given(*history.events, event).state.recoveries == 1


def test_after_a_recovery_the_next_model_call_is_recorded_with_the_model_that_is_called() -> None:
    recovered = STARTED_CALL.when(recover(model="new")).after
    decided = recovered.when(done(C0, attempt=2)).decided
    assert decided[-1] == ModelCallStarted(step=1, model="new", messages=3)


# -- late results --


def test_a_late_result_is_recorded_and_changes_nothing() -> None:
    after = STARTED_CALL.when(IgnoreToolResult(call_id=C0, attempt=1, outcome="failed")).then(
        ToolResultIgnored(call_id=C0, attempt=1, outcome="failed")
    )
    assert after.state == STARTED_CALL.state


# -- the row of the open table --


def test_the_row_says_what_is_owed_and_when_the_run_wants_to_be_woken() -> None:
    rows = [open_entry(state.state) for state in STATES]
    seen = [None if row is None else (row.status, row.owes, row.wake_at_ns) for row in rows]
    assert seen == [
        None,
        ("running", True, None),
        ("running", True, None),
        ("running", True, None),
        ("running", False, NOW + SECOND),
        None,
        None,
    ]
    assert all(row is None or row.summary == {"agent_id": "a"} for row in rows)


def test_the_row_has_the_earliest_of_several_instants() -> None:
    waiting = given(
        *started(),
        asked("t", "t"),
        begun(C0),
        begun(C1),
        waiting_until(C0, NOW + 9),
        waiting_until(C1, NOW + 4),
    )
    entry = open_entry(waiting.state)
    assert entry is not None
    assert entry.wake_at_ns == NOW + 4


def test_effects_are_owed_in_the_order_in_which_the_model_asked() -> None:
    history = given(*started(), asked("t", "u", "t"), begun(C0), begun(C1, name="u"), begun(C2))
    assert list(outstanding(history.state)) == [
        CallTool(C0, "t", 1),
        CallTool(C1, "u", 1),
        CallTool(C2, "t", 1),
    ]
    assert list(outstanding(MODEL.state)) == [CallModel(0, 1)]


def test_messages_are_counted_as_the_model_will_see_them() -> None:
    history = given(*started())
    for step in range(3):
        history = history.when(answer("t", "t", step=step)).after
        history = history.when(done(CallId(f"{step}.1"))).after
        history = history.when(failed(CallId(f"{step}.0"))).after
    counts = [event.messages for event in history.events if isinstance(event, ModelCallStarted)]
    assert counts == [1, 4, 7, 10]
    assert all(later - earlier == 3 for earlier, later in pairwise(counts))
    assert history.state.model_calls == 4
    assert history.state.step == 3
