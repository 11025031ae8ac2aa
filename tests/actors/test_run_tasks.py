"""What a run does about the background tasks that it has asked for, as tables."""

from __future__ import annotations

from typing import Final, Literal

import pytest
from msgspec.structs import replace

from outlive.actors.mail import Acknowledge, Deliver
from outlive.actors.run.background import task_id_of
from outlive.actors.run.commands import (
    CancelRun,
    CompleteModelCall,
    CompleteToolCall,
    PlannedCall,
    ReceiveBackgroundResult,
    Recover,
    RefuseTask,
    RunCommand,
    StartRun,
    TaskTaken,
    Wake,
)
from outlive.actors.run.entity import open_entry, outstanding
from outlive.events import (
    BackgroundCall,
    BackgroundResultReceived,
    CallId,
    Failure,
    MessageDelivered,
    ModelCallStarted,
    RunCompleted,
    RunExists,
    RunId,
    RunState,
    RunWaiting,
    TaskRequested,
    ToolCallCompleted,
    ToolCallDeferred,
    ToolCallFailed,
    task_stream,
)
from outlive.events.run.background import IdlePolicy
from outlive.testing import Given, given
from tests.support.machine import tags

C0, C1 = CallId("0.0"), CallId("0.1")
TO_FIRST: Final = task_stream("r:0.0")
START: Final = StartRun(agent_id="a", input="go", model="m")
NOW: Final = 1_000
BOOM: Final = Failure(kind="timeout", message="too late")


def planned(index: int, *, awaited: bool = False, detached: bool = False) -> PlannedCall:
    task = BackgroundCall(
        task_id=f"r:0.{index}", mode="awaited" if awaited else "deferred", detached=detached
    )
    return PlannedCall(name="crawl", arguments={"n": index}, task=task)


def asked(*calls: PlannedCall) -> Given[RunState, RunCommand]:
    """A run whose model has asked for these calls."""
    return given().when(START, CompleteModelCall(step=0, attempt=1, tool_calls=calls)).after


def taken(index: int = 0, *, queued: bool = True) -> TaskTaken:
    return TaskTaken(
        sequence=index + 1, call_id=CallId(f"0.{index}"), task_id=f"r:0.{index}", queued=queued
    )


def result(index: int = 0, *, error: Failure | None = None) -> ReceiveBackgroundResult:
    return ReceiveBackgroundResult(
        call_id=CallId(f"0.{index}"),
        task_id=f"r:0.{index}",
        status="succeeded" if error is None else "timed_out",
        result=5 if error is None else None,
        error=error,
        elapsed_ms=7,
    )


DEFERRED: Final = asked(planned(0)).when(taken()).after
NEXT_CALL: Final = ModelCallStarted(step=1, model="m", messages=3)


def test_a_task_is_asked_for_in_the_commit_that_records_the_models_wish() -> None:
    history = asked(planned(0), planned(1, awaited=True))
    assert tags(history.events[-3:]) == ["model-call-completed", "task-requested", "task-requested"]
    assert history.events[-1] == TaskRequested(call_id=C1, task_id="r:0.1")
    assert list(outstanding(history.state)) == [
        Deliver(1, TO_FIRST, "queue-task", "0.0"),
        Deliver(2, task_stream("r:0.1"), "queue-task", "0.1"),
    ]


def test_once_the_task_is_there_the_model_is_told_so_and_goes_on() -> None:
    after = (
        asked(planned(0))
        .when(taken())
        .then(
            MessageDelivered(sequence=1, to=TO_FIRST),
            ToolCallDeferred(call_id=C0, task_id="r:0.0"),
            NEXT_CALL,
        )
    )
    after.when(taken()).then()


def test_a_run_waits_too_if_its_next_call_waits_for_the_turn_of_that_task() -> None:
    one_at_a_time = replace(START, tool_concurrency=1)
    calls = (planned(0, awaited=True), PlannedCall(name="look", arguments={}))
    answer = CompleteModelCall(step=0, attempt=1, tool_calls=calls)
    after = given().when(one_at_a_time, answer, taken()).after
    assert tags(after.events[-2:]) == ["task-requested", "message-delivered"]
    row = open_entry(after.state)
    assert row is not None
    assert (row.status, row.owes) == ("waiting", False)
    assert tags(after.when(result()).after.events[-1:]) == ["tool-call-started"]


@pytest.mark.parametrize(
    ("call", "queued"),
    [(planned(0, awaited=True), True), (planned(0), False)],
    ids=["awaited", "inline or rejected"],
)
def test_a_call_that_is_waited_for_stays_open_without_memory(
    call: PlannedCall, queued: bool
) -> None:
    after = asked(call).when(taken(queued=queued)).then(MessageDelivered(sequence=1, to=TO_FIRST))
    row = open_entry(after.state)
    assert row is not None
    assert (row.status, row.owes) == ("waiting", False)
    after.when(result()).then(
        BackgroundResultReceived(call_id=C0, task_id="r:0.0", status="succeeded"),
        ToolCallCompleted(call_id=C0, result=5, elapsed_ms=7),
        NEXT_CALL,
    ).when(result()).then()


def test_a_failure_is_told_just_the_same() -> None:
    asked(planned(0, awaited=True)).when(result(error=BOOM)).then(
        BackgroundResultReceived(call_id=C0, task_id="r:0.0", status="timed_out"),
        ToolCallFailed(call_id=C0, error=BOOM, elapsed_ms=7),
        NEXT_CALL,
    )
    DEFERRED.when(result(error=BOOM)).then(
        BackgroundResultReceived(call_id=C0, task_id="r:0.0", status="timed_out", error=BOOM)
    )


def test_a_result_that_comes_before_the_news_that_the_task_is_there_answers_the_call() -> None:
    (
        asked(planned(0))
        .when(result())
        .then(
            BackgroundResultReceived(call_id=C0, task_id="r:0.0", status="succeeded"),
            ToolCallCompleted(call_id=C0, result=5, elapsed_ms=7),
            NEXT_CALL,
        )
        .when(taken())
        .then(MessageDelivered(sequence=1, to=TO_FIRST))
    )


def test_a_deferred_result_is_recorded_once_and_counted_as_a_message() -> None:
    before = DEFERRED.state.messages
    after = DEFERRED.when(result()).then(
        BackgroundResultReceived(call_id=C0, task_id="r:0.0", status="succeeded", result=5)
    )
    assert (after.state.messages, after.state.tasks) == (before + 1, {})
    after.when(result()).then()


def test_a_run_that_is_over_records_the_result_and_owes_nothing() -> None:
    over = DEFERRED.when(CompleteModelCall(step=1, attempt=1, text="fine")).after
    assert isinstance(over.events[-1], RunCompleted)
    assert open_entry(over.state) is None
    after = over.when(result()).after
    assert tags(after.events[-1:]) == ["background-result-received"]
    assert (after.state.status, open_entry(after.state)) == ("completed", None)


def test_what_is_said_for_another_task_or_call_changes_nothing() -> None:
    for history in (DEFERRED, asked(planned(0, awaited=True))):
        other = ReceiveBackgroundResult(call_id=C0, task_id="r:9.9", status="succeeded")
        history.when(other).then()
        history.when(result(1)).then()


def test_a_task_that_cannot_begin_is_an_error_to_the_model() -> None:
    refuse = RefuseTask(sequence=1, call_id=C0, task_id="r:0.0", error=BOOM)
    (
        asked(planned(0))
        .when(refuse)
        .then(
            MessageDelivered(sequence=1, to=TO_FIRST),
            ToolCallFailed(call_id=C0, attempt=0, error=BOOM),
            NEXT_CALL,
        )
        .when(refuse)
        .then()
    )


def test_other_calls_of_the_step_go_on_meanwhile() -> None:
    history = asked(planned(0), PlannedCall(name="t", arguments={}))
    assert tags(history.events[-2:]) == ["task-requested", "tool-call-started"]
    (
        history.when(CompleteToolCall(call_id=C1, attempt=1, result=1))
        .then(ToolCallCompleted(call_id=C1, result=1))
        .when(taken())
        .then(
            MessageDelivered(sequence=1, to=TO_FIRST),
            ToolCallDeferred(call_id=C0, task_id="r:0.0"),
            ModelCallStarted(step=1, model="m", messages=4),
        )
    )


# -- cancelling --


def cancels(history: Given[RunState, RunCommand]) -> list[tuple[str, str]]:
    after = history.when(CancelRun(reason="enough")).after
    return [
        (effect.to, effect.subject)
        for effect in outstanding(after.state)
        if isinstance(effect, Deliver)
    ]


def test_a_cancelled_run_wants_its_tasks_to_be_cancelled() -> None:
    assert cancels(DEFERRED) == [(TO_FIRST, "cancel-task")]
    awaited = asked(planned(0, awaited=True)).when(taken()).after
    assert cancels(awaited) == [(TO_FIRST, "cancel-task")]


def test_a_beginning_that_was_not_delivered_is_taken_back() -> None:
    assert cancels(asked(planned(0))) == [(TO_FIRST, "cancel-task")]


def test_detached_tasks_and_those_that_are_over_are_left_alone() -> None:
    assert cancels(asked(planned(0, detached=True)).when(taken()).after) == []
    assert cancels(DEFERRED.when(result()).after) == []


def test_a_beginning_of_a_detached_task_is_delivered_all_the_same() -> None:
    assert cancels(asked(planned(0, detached=True))) == [(TO_FIRST, "queue-task")]


def test_a_cancelled_run_hears_how_a_deferred_task_has_ended() -> None:
    cancelled = DEFERRED.when(CancelRun(reason="enough"), Acknowledge(sequence=2)).after
    after = cancelled.when(result(error=BOOM)).after
    assert tags(after.events[-1:]) == ["background-result-received"]
    assert open_entry(after.state) is None


def test_a_task_that_waits_for_its_turn_is_not_cancelled_as_it_never_began() -> None:
    one_at_a_time = replace(START, tool_concurrency=1)
    calls = (planned(0, awaited=True), planned(1, awaited=True))
    answer = CompleteModelCall(step=0, attempt=1, tool_calls=calls)
    run = given().when(one_at_a_time, answer, taken()).after
    assert run.state.calls[C0].attempt == 1
    over = run.when(CancelRun()).after
    assert list(outstanding(over.state)) == [Deliver(2, TO_FIRST, "cancel-task", "0.0")]


# -- until idle --

ANSWER: Final = CompleteModelCall(step=1, attempt=1, text="so far", now_ns=NOW)


def patient(
    react: Literal["each", "all"] = "each", *, most: int | None = None, tasks: int = 1
) -> Given[RunState, RunCommand]:
    """A run until idle whose tasks are queued, and whose model is being called."""
    start = replace(START, until_idle=IdlePolicy(react=react, max_wait_ns=most))
    calls = tuple(planned(index) for index in range(tasks))
    asks = CompleteModelCall(step=0, attempt=1, tool_calls=calls)
    return given().when(start, asks, *(taken(index) for index in range(tasks))).after


def test_a_run_until_idle_waits_for_its_tasks_when_the_model_has_answered() -> None:
    after = patient().when(ANSWER).after
    assert tags(after.events[-2:]) == ["model-call-completed", "run-waiting"]
    row = open_entry(after.state)
    assert row is not None
    assert (row.status, row.owes, row.wake_at_ns) == ("waiting", False, None)


def test_it_calls_the_model_with_each_result_and_is_over_after_the_last() -> None:
    after = patient(tasks=2).when(ANSWER, result(0)).after
    assert tags(after.events[-2:]) == ["background-result-received", "model-call-started"]
    again = replace(ANSWER, step=2)
    after = after.when(again).after
    assert tags(after.events[-1:]) == ["run-waiting"]
    after = after.when(result(1), replace(ANSWER, step=3)).after
    assert tags(after.events[-1:]) == ["run-completed"]


def test_results_that_come_while_the_model_answers_are_told_together() -> None:
    after = patient(tasks=2).when(result(0), result(1), ANSWER).after
    assert tags(after.events[-2:]) == ["model-call-completed", "model-call-started"]
    last = after.events[-1]
    assert isinstance(last, ModelCallStarted)
    assert last.messages == after.state.messages == 7
    assert tags(after.when(replace(ANSWER, step=2)).after.events[-1:]) == ["run-completed"]


def test_with_all_it_calls_the_model_after_the_last_result() -> None:
    after = patient("all", tasks=2).when(ANSWER, result(0)).after
    assert tags(after.events[-1:]) == ["background-result-received"]
    assert after.state.waiting
    after = after.when(result(1)).after
    assert tags(after.events[-2:]) == ["background-result-received", "model-call-started"]


def test_it_ends_without_what_does_not_come_in_time() -> None:
    waits = patient(most=5).when(ANSWER).after
    row = open_entry(waits.state)
    assert row is not None
    assert row.wake_at_ns == NOW + 5
    waits.when(Wake(now_ns=NOW + 4)).then()
    over = waits.when(Wake(now_ns=NOW + 5)).then(RunCompleted(finish_reason="tasks_pending"))
    assert open_entry(over.state) is None
    assert tags(over.when(result()).after.events[-1:]) == ["background-result-received"]


def test_a_run_that_may_make_no_further_step_does_not_wait_and_says_so() -> None:
    start = replace(START, until_idle=IdlePolicy(), max_steps=2)
    asks = CompleteModelCall(step=0, attempt=1, tool_calls=(planned(0),))
    answer = replace(ANSWER, data={"n": 1})
    over = RunCompleted(finish_reason="max_steps", data={"n": 1})
    assert given().when(start, asks, taken(), answer).after.events[-1] == over
    told = given().when(start, asks, taken(), result(), answer).after
    assert told.events[-1] == over  # Of a result, too, that the model has not been told of.
    idle = given().when(replace(start, max_steps=1), replace(ANSWER, step=0)).after
    assert idle.events[-1] == RunCompleted(finish_reason="stop")


def test_a_recovery_leaves_a_run_that_waits_as_it_is() -> None:
    waits = patient().when(ANSWER).after
    recover = Recover(epoch=2, in_doubt={}, model="n")
    assert tags(waits.when(recover).after.events[-1:]) == ["run-recovered"]


def test_a_run_that_waits_can_be_cancelled() -> None:
    assert cancels(patient().when(ANSWER).after) == [(TO_FIRST, "cancel-task")]


def test_another_policy_is_another_request() -> None:
    other = replace(START, until_idle=IdlePolicy(react="all"))
    patient().when(other).then_refused(RunExists)


@pytest.mark.parametrize(
    ("react", "most", "after"),
    [
        ("each", 1, "model-call-started"),  # a result has come that the model does not know
        ("each", 2, "model-call-started"),
        ("all", 1, "model-call-started"),
        ("all", 2, "run-waiting"),  # it is told of all of them together
    ],
)
def test_what_has_come_while_the_model_answered_is_told_at_once_or_with_the_rest(
    react: Literal["each", "all"], most: int, after: str
) -> None:
    answered = patient(react, tasks=most).when(result(), ANSWER).after
    assert tags(answered.events[-1:]) == [after]


def test_what_the_model_has_said_is_kept_while_results_are_waited_for() -> None:
    waits = patient().when(replace(ANSWER, data={"n": 1})).decided[1]
    assert waits == RunWaiting(data={"n": 1})


# -- ids --


def test_a_call_has_the_same_task_each_time_however_long_the_runs_id_is() -> None:
    assert task_id_of(RunId("7f3a"), C1) == "7f3a:0.1"
    long = RunId("ü" * 99)
    assert task_id_of(long, C1) == task_id_of(long, C1) != task_id_of(long, C0)
    assert len(task_id_of(long, C1).encode()) <= 200
    assert task_id_of(RunId("ö" * 99), C0) != task_id_of(long, C0)
    assert task_id_of(RunId("a" * 196), C0) == "a" * 196 + ":0.0"
