"""What a run's facts say besides that they happened: of which step and attempt, how long, why.

Most runs are tested in their first step and attempt, which are also what an event says that does
not say it. Here a run is in its second step, and all that it does is done for the second time.
"""

from __future__ import annotations

from typing import Final, get_args

import pytest
from msgspec.structs import replace

from outlive.actors import Retry
from outlive.actors.run.commands import (
    CallModel,
    CallTool,
    CancelRun,
    CompleteModelCall,
    CompleteStep,
    CompleteToolCall,
    FailModelCall,
    FailToolCall,
    IgnoreToolResult,
    PlannedCall,
    RecordDelta,
    Recover,
    ReportProgress,
    RunCommand,
    StartRun,
    Wake,
)
from outlive.actors.run.entity import RUN, open_entry, outstanding
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    BackgroundResultReceived,
    CallId,
    ChildRunEnded,
    ChildRunStarted,
    Failure,
    MessageDelivered,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    OutputRejected,
    RequestedToolCall,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunExists,
    RunFailed,
    RunId,
    RunRecovered,
    RunResumed,
    RunSignalled,
    RunStarted,
    RunState,
    RunSuspended,
    RunWaiting,
    Signal,
    StreamId,
    TaskRequested,
    ToolCallCompleted,
    ToolCallDeferred,
    ToolCallFailed,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallStarted,
    ToolCallSuspended,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
    Usage,
)
from outlive.events.run import evolve
from outlive.events.run.evolving import look_ahead
from outlive.testing import Given, given

BOOM: Final = Failure(kind="error", message="boom", exception="ValueError")
ASKED: Final = RequestedToolCall(call_id=CallId("0.0"), name="t")
C10: Final = CallId("1.0")

MODEL: Final = given(
    RunStarted(agent_id="a", input="hi"),
    ModelCallStarted(model="m", messages=1),
    ModelCallCompleted(tool_calls=(ASKED,), finish_reason="tool_calls"),
    ToolCallStarted(call_id=ASKED.call_id, name="t"),
    ToolCallCompleted(call_id=ASKED.call_id, result=1),
    ModelCallStarted(step=1, attempt=2, model="m", messages=3),
)
"""Its model is called for the second step, for the second time."""

TOOL: Final = given(
    *MODEL.events,
    ModelCallCompleted(
        step=1,
        attempt=2,
        tool_calls=(RequestedToolCall(call_id=C10, name="t"),),
        finish_reason="tool_calls",
    ),
    ToolCallStarted(call_id=C10, name="t", attempt=2),
)
"""Its tool is called for the second time."""


# -- each fact names what it is about --


def test_a_piece_of_an_answer_names_its_step_and_attempt() -> None:
    MODEL.when(RecordDelta(step=1, attempt=2, text="a", kind="reasoning")).then(
        ModelDelta(step=1, attempt=2, text="a", kind="reasoning")
    )


def test_an_answer_names_its_step_and_attempt() -> None:
    MODEL.when(
        CompleteModelCall(step=1, attempt=2, text="x", usage=Usage(input_tokens=1), elapsed_ms=7)
    ).then(
        ModelCallCompleted(step=1, attempt=2, text="x", usage=Usage(input_tokens=1), elapsed_ms=7),
        RunCompleted(),
    )


def test_an_answer_names_what_was_asked() -> None:
    answer = CompleteModelCall(step=1, attempt=2, text="x", request_digest="d")
    assert MODEL.when(answer).decided[0] == ModelCallCompleted(
        step=1, attempt=2, text="x", request_digest="d"
    )


def test_a_failed_model_call_names_its_step_and_attempt() -> None:
    MODEL.when(FailModelCall(step=1, attempt=2, error=BOOM, elapsed_ms=7)).then(
        ModelCallFailed(step=1, attempt=2, error=BOOM, elapsed_ms=7), RunFailed(error=BOOM)
    )


def test_a_failed_model_call_names_what_was_asked_and_the_next_model_is_asked_the_same() -> None:
    command = FailModelCall(step=1, attempt=2, error=BOOM, fallback="m2", request_digest="d")
    MODEL.when(command).then(
        ModelCallFailed(step=1, attempt=2, error=BOOM, request_digest="d"),
        ModelCallStarted(step=1, attempt=3, model="m2", messages=3),
    )


def test_a_model_call_that_may_pass_is_made_again_in_its_step() -> None:
    retry = Retry(1, delay=3, jitter=0)
    command = FailModelCall(
        step=1, attempt=2, error=BOOM, retryable=True, retry=retry, now_ns=5, fallback="m2"
    )
    waits = MODEL.when(command).then(
        ModelCallFailed(step=1, attempt=2, error=BOOM, retry_at_ns=3_000_000_005)
    )
    waits.when(Wake(now_ns=3_000_000_005)).then(
        ModelCallStarted(step=1, attempt=3, model="m", messages=3)
    )


def test_those_who_call_a_model_at_the_same_time_are_spread() -> None:
    def wait(spread_by: str) -> int | None:
        retry = Retry(1, delay=3, jitter=0.5)
        command = FailModelCall(
            step=1, attempt=2, error=BOOM, retryable=True, retry=retry, spread_by=spread_by
        )
        [failed] = MODEL.when(command).decided
        assert isinstance(failed, ModelCallFailed)
        return failed.retry_at_ns

    assert len({wait(name) for name in ("a", "b", "c")}) == 3


def test_a_failure_is_retried_by_the_type_of_its_exception_or_one_above_it() -> None:
    retry = Retry(1, delay=3, jitter=0, retry_on=("OSError",))
    command = FailToolCall(
        call_id=C10, attempt=2, error=BOOM, types=("ConnectionError", "OSError"), now_ns=0
    )
    TOOL.when(replace(command, retry=retry)).then(
        ToolCallFailed(call_id=C10, attempt=2, error=BOOM, retry_at_ns=3_000_000_000)
    )
    assert TOOL.when(command).decided[0] == ToolCallFailed(call_id=C10, attempt=2, error=BOOM)


def test_what_a_cancelled_attempt_comes_to_names_it() -> None:
    cancelled = TOOL.when(CancelRun()).after
    cancelled.when(CompleteToolCall(call_id=C10, attempt=2, result=1)).then(
        ToolResultIgnored(call_id=C10, attempt=2, outcome="completed")
    )


def test_at_one_instant_calls_are_made_again_and_consent_is_too_late() -> None:
    c0, c1 = CallId("0.0"), CallId("0.1")
    asked = tuple(RequestedToolCall(call_id=call_id, name="t") for call_id in (c0, c1))
    both = given(
        RunStarted(agent_id="a", input="hi"),
        ModelCallStarted(model="m", messages=1),
        ModelCallCompleted(tool_calls=asked, finish_reason="tool_calls"),
        ApprovalRequested(call_id=c1, name="t", digest="d", expires_at_ns=9),
        ToolCallStarted(call_id=c0, name="t"),
        ToolCallFailed(call_id=c0, error=BOOM, retry_at_ns=9),
    )
    row = open_entry(both.state)
    assert row is not None
    assert row.wake_at_ns == 9
    assert both.when(Wake(now_ns=9)).decided[:2] == (
        ToolCallStarted(call_id=c0, name="t", attempt=2),
        ApprovalDenied(call_id=c1, expired=True),
    )


def test_a_step_of_a_tool_names_its_attempt_and_how_long_it_took() -> None:
    command = CompleteStep(call_id=C10, attempt=2, key="k", value=[1], elapsed_ms=7)
    TOOL.when(command).then(
        ToolStepCompleted(call_id=C10, attempt=2, key="k", value=[1], elapsed_ms=7)
    )


def test_progress_names_its_attempt_and_how_far_of_how_much() -> None:
    command = ReportProgress(call_id=C10, attempt=2, done=1.0, total=4.0, note="pages")
    TOOL.when(command).then(
        ToolProgressed(call_id=C10, attempt=2, done=1.0, total=4.0, note="pages")
    )


def test_a_result_names_its_attempt_and_how_long_it_took() -> None:
    TOOL.when(CompleteToolCall(call_id=C10, attempt=2, result=[1], elapsed_ms=7)).then(
        ToolCallCompleted(call_id=C10, attempt=2, result=[1], elapsed_ms=7),
        ModelCallStarted(step=2, model="m", messages=5),
    )


def test_a_failure_names_its_attempt_and_how_long_it_took() -> None:
    command = FailToolCall(call_id=C10, attempt=2, error=BOOM, now_ns=0, elapsed_ms=7)
    TOOL.when(command).then(
        ToolCallFailed(call_id=C10, attempt=2, error=BOOM, elapsed_ms=7),
        ModelCallStarted(step=2, model="m", messages=5),
    )


def test_a_failure_that_is_retried_says_how_long_it_took_too() -> None:
    retry = Retry(1, delay=3, jitter=0)
    command = FailToolCall(call_id=C10, attempt=2, error=BOOM, now_ns=5, retry=retry, elapsed_ms=7)
    TOOL.when(command).then(
        ToolCallFailed(call_id=C10, attempt=2, error=BOOM, retry_at_ns=3_000_000_005, elapsed_ms=7)
    )


def test_a_late_result_names_its_attempt() -> None:
    TOOL.when(IgnoreToolResult(call_id=C10, attempt=3, outcome="completed")).then(
        ToolResultIgnored(call_id=C10, attempt=3, outcome="completed")
    )


def test_a_start_that_asks_for_something_else_is_refused_whatever_has_happened_since() -> None:
    TOOL.when(StartRun(agent_id="a", input="ho", model="m")).then_refused(RunExists)


# -- recovering --


def test_a_model_call_that_was_cut_off_is_given_up_and_made_again_in_its_step() -> None:
    MODEL.when(Recover(epoch=4, in_doubt={}, model="m")).then(
        RunRecovered(epoch=4),
        ModelAttemptAbandoned(step=1, attempt=2),
        ModelCallStarted(step=1, attempt=3, model="m", messages=3),
    )


def test_a_tool_that_must_not_be_repeated_fails_with_words_for_the_model() -> None:
    (_, failed, _) = TOOL.when(Recover(epoch=4, in_doubt={"t": "fail"}, model="m")).decided
    assert failed == ToolCallFailed(
        call_id=C10,
        attempt=2,
        error=Failure(
            kind="in_doubt",
            message="the process ended while the tool ran: whether it had its effect is "
            "unknown, and it must not be repeated",
        ),
    )


def test_a_tool_without_a_policy_is_called_again() -> None:
    TOOL.when(Recover(epoch=4, in_doubt={"another": "fail"}, model="m")).then(
        RunRecovered(epoch=4), ToolCallStarted(call_id=C10, name="t", attempt=3)
    )


def test_a_run_that_has_been_handed_over_while_its_effects_run_goes_on_untouched() -> None:
    running = frozenset({CallTool(C10, "t", 2)})
    TOOL.when(Recover(epoch=4, running=running, in_doubt={}, model="m")).then()
    running_model = frozenset({CallModel(1, 2)})
    MODEL.when(Recover(epoch=4, running=running_model, in_doubt={}, model="m")).then()


# -- how many run at once --


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_as_many_calls_start_as_there_is_room_for_in_the_order_of_the_answer(limit: int) -> None:
    asked = tuple(PlannedCall(name=f"t{number}", arguments={}) for number in range(3))
    decided = (
        given(
            RunStarted(agent_id="a", input="hi", tool_concurrency=limit),
            ModelCallStarted(model="m", messages=1),
        )
        .when(CompleteModelCall(step=0, attempt=1, tool_calls=asked))
        .decided
    )
    assert decided[1:] == tuple(
        ToolCallStarted(call_id=CallId(f"0.{number}"), name=f"t{number}")
        for number in range(min(limit, 3))
    )


def test_a_call_that_waits_for_its_retry_keeps_its_place() -> None:
    asked = tuple(RequestedToolCall(call_id=CallId(f"0.{n}"), name="t") for n in range(3))
    history = given(
        RunStarted(agent_id="a", input="hi", tool_concurrency=2),
        ModelCallStarted(model="m", messages=1),
        ModelCallCompleted(tool_calls=asked),
        ToolCallStarted(call_id=CallId("0.0"), name="t"),
        ToolCallStarted(call_id=CallId("0.1"), name="t"),
        ToolCallFailed(call_id=CallId("0.0"), error=BOOM, retry_at_ns=9),
    )
    history.when(CompleteToolCall(call_id=CallId("0.1"), attempt=1, result=1)).then(
        ToolCallCompleted(call_id=CallId("0.1"), result=1),
        ToolCallStarted(call_id=CallId("0.2"), name="t"),
    )


@pytest.mark.parametrize("ended", [1, 2, 3])
def test_as_many_start_as_have_ended(ended: int) -> None:
    asked = tuple(RequestedToolCall(call_id=CallId(f"0.{n}"), name="t") for n in range(7))
    history = given(
        RunStarted(agent_id="a", input="hi", tool_concurrency=4),
        ModelCallStarted(model="m", messages=1),
        ModelCallCompleted(tool_calls=asked),
        *(ToolCallStarted(call_id=one.call_id, name="t") for one in asked[:4]),
        *(ToolCallCompleted(call_id=one.call_id) for one in asked[: ended - 1]),
    )
    last = asked[ended - 1].call_id
    decided = history.when(CompleteToolCall(call_id=last, attempt=1, result=None)).decided
    assert decided[1:] == tuple(
        ToolCallStarted(call_id=one.call_id, name="t") for one in asked[4 : 4 + ended]
    )


# -- what the facts come to --


@pytest.mark.parametrize(
    "end",
    [RunCancelled(), RunCompleted(), RunFailed(error=BOOM)],
    ids=["cancelled", "completed", "failed"],
)
def test_a_run_that_is_over_waits_for_nothing(end: RunEvent) -> None:
    failed = ModelCallFailed(step=1, attempt=2, error=BOOM, retry_at_ns=9)
    waits = given(*MODEL.events, failed)
    assert waits.state.model_wait is not None
    over = given(*waits.events, end).state
    assert (over.over, outstanding(over), open_entry(over)) == (True, {}, None)
    answered = ModelCallCompleted(step=1, attempt=2, text="x")
    rests = given(*MODEL.events, answered, RunWaiting(until_ns=9))
    assert rests.state.rests
    over = given(*rests.events, end).state
    assert (over.rests, over.rests_until_ns) == (False, None)
    cancelled = given(*waits.events, RunCancelled()).state
    assert cancelled.model_wait is None


@pytest.mark.parametrize("retry_at_ns", [None, 9])
def test_a_failed_model_call_is_something_new(retry_at_ns: int | None) -> None:
    crashed = (*MODEL.events, RunRecovered(epoch=2, attempt=3))
    failed = ModelCallFailed(step=1, attempt=2, error=BOOM, retry_at_ns=retry_at_ns)
    assert given(*crashed).state.recoveries == 3
    assert given(*crashed, failed).state.recoveries == 0


@pytest.mark.parametrize("end", [RunCompleted(), RunFailed(error=BOOM)], ids=["done", "failed"])
@pytest.mark.parametrize("history", [MODEL, TOOL], ids=["model", "tool"])
def test_a_run_that_is_over_owes_nothing_whatever_was_open(
    history: Given[RunState, RunCommand], end: RunEvent
) -> None:
    state = given(*history.events, end).state
    assert state.over
    assert state.calls == {}
    assert open_entry(state) is None


def test_a_failed_run_owes_no_model_call() -> None:
    assert outstanding(given(*MODEL.events, RunFailed(error=BOOM)).state) == {}


@pytest.mark.parametrize(
    "event",
    [
        ModelAttemptAbandoned(step=1, attempt=2),
        ModelCallFailed(step=1, attempt=2, error=BOOM),
        ModelCallCompleted(step=1, attempt=2),
    ],
    ids=["abandoned", "failed", "completed"],
)
def test_a_model_call_is_owed_until_its_outcome_is_a_fact(event: RunEvent) -> None:
    assert list(outstanding(MODEL.state)) == [CallModel(1, 2)]
    assert outstanding(given(*MODEL.events, event).state) == {}


def test_what_was_looked_up_ahead_is_known_for_that_state_and_for_no_other() -> None:
    again = ModelCallStarted(step=1, attempt=3, model="m", messages=3)
    ahead = look_ahead(MODEL.state, again)
    assert evolve(MODEL.state, again) is ahead
    other = replace(MODEL.state, messages=9)
    assert evolve(other, again) == replace(ahead, messages=9)


@pytest.mark.parametrize("event_type", get_args(RunEvent), ids=lambda one: one.__name__)
def test_any_fact_is_taken_in_even_if_nothing_led_to_it(event_type: type[RunEvent]) -> None:
    samples = [
        RunStarted(agent_id="a", input="hi"),
        *(event for event in TOOL.events if isinstance(event, get_args(RunEvent))),
        ToolCallFailed(call_id=C10, error=BOOM, retry_at_ns=5),
        ToolCallFailed(call_id=C10, error=BOOM),
        ToolStepCompleted(call_id=C10, key="k"),
        ToolProgressed(call_id=C10, done=1.0),
        ToolResultIgnored(call_id=C10, attempt=1, outcome="failed"),
        ModelDelta(text="x"),
        ModelAttemptAbandoned(),
        ModelCallFailed(error=BOOM),
        ModelCallFailed(error=BOOM, retry_at_ns=5),
        OutputRejected(error=BOOM, message="again"),
        RunRecovered(epoch=2),
        RunCompleted(),
        RunFailed(error=BOOM),
        ToolCallSuspended(call_id=C10, key="k"),
        RunResumed(call_id=C10, key="k", value=1),
        ApprovalRequested(call_id=C10, name="t", digest="d"),
        ApprovalGranted(call_id=C10, digest="d"),
        ApprovalDenied(call_id=C10),
        ToolCallInDoubt(call_id=C10),
        ToolCallResolved(call_id=C10, outcome="retry"),
        RunSuspended(),
        RunCancelled(),
        ChildRunStarted(call_id=C10, run_id=RunId("p:1.0"), agent_id="h"),
        ChildRunEnded(call_id=C10, run_id=RunId("p:1.0"), status="completed"),
        MessageDelivered(sequence=1, to=StreamId("run-p:1.0")),
        TaskRequested(call_id=C10, task_id="r:1.0"),
        ToolCallDeferred(call_id=C10, task_id="r:1.0"),
        BackgroundResultReceived(call_id=C10, task_id="r:1.0", status="succeeded"),
        RunWaiting(until_ns=5),
        RunSignalled(signal_id="s", signal=Signal(text="hear")),
    ]
    found = [sample for sample in samples if type(sample) is event_type]
    assert found, "give this event type a sample"
    for sample in found:
        assert isinstance(evolve(RunState(), sample), RunState)


def test_a_call_that_nobody_asked_for_has_no_failures_and_no_name() -> None:
    started = evolve(RunState(), ToolCallStarted(call_id=C10, name="t", attempt=2))
    assert (started.calls[C10].failures, started.calls[C10].attempt) == (0, 2)
    failed = evolve(RunState(), ToolCallFailed(call_id=C10, error=BOOM, retry_at_ns=5))
    assert (failed.calls[C10].name, failed.calls[C10].failures) == ("", 1)


# -- the entity --


def test_the_row_of_a_run_tells_its_kind() -> None:
    row = open_entry(TOOL.state)
    assert row is not None
    assert (row.kind, row.status, row.summary) == ("run", "running", {"agent_id": "a"})


def test_the_entity_is_made_of_the_runs_pure_parts() -> None:
    assert RUN.initial == RunState()
    assert RUN.outstanding(TOOL.state) == outstanding(TOOL.state) == {CallTool(C10, "t", 2): None}
    assert RUN.open_entry(TOOL.state) == open_entry(TOOL.state)
    done = CompleteToolCall(call_id=C10, attempt=2, result=1)
    events = RUN.decide(TOOL.state, done)
    assert events == TOOL.when(done).decided
    assert RUN.evolve(TOOL.state, events[0]) == evolve(TOOL.state, events[0])
