"""What a run does about what it is told from outside, and what it tells others: as tables."""

from __future__ import annotations

from typing import Any, Final

import pytest

from outlive.actors import Retry
from outlive.actors.mail import Deliver
from outlive.actors.run.commands import (
    AnswerSuspension,
    CancelRun,
    CompleteModelCall,
    CompleteToolCall,
    FailModelCall,
    PlannedCall,
    ReceiveBackgroundResult,
    RunCommand,
    StartRun,
    SuspendToolCall,
    TaskTaken,
    TellRun,
    Wake,
)
from outlive.actors.run.entity import open_entry, outstanding
from outlive.actors.run.people import works_for
from outlive.events import (
    AlreadyOver,
    BackgroundCall,
    CallId,
    Failure,
    FireOf,
    MessageId,
    ModelCallCompleted,
    ModelCallStarted,
    ParentCall,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunId,
    RunNotFound,
    RunOver,
    RunSignalled,
    RunStarted,
    RunState,
    RunWaiting,
    StopOnTool,
    StreamId,
    TextPart,
    ToolCallStarted,
)
from outlive.events.background import OnComplete
from outlive.events.run.background import IdlePolicy
from outlive.events.run.state import SIGNALS_KEPT
from outlive.events.run.thread import ThreadPlace
from outlive.events.signals import Signal
from outlive.testing import Given, given

C0: Final = CallId("0.0")
BOOM: Final = Failure(kind="error", message="boom")
PARENT: Final = StreamId("run-p")
THREAD: Final = StreamId("thread-t")
HEARTBEAT: Final = StreamId("heartbeat-h")
HELLO: Final = Signal(text="hello")
CALL: Final = PlannedCall(name="t", arguments={})


def play(*commands: RunCommand, **more: Any) -> Given[RunState, RunCommand]:
    """A run that was started with `more`, and to which these commands have come."""
    start = StartRun(agent_id="a", input="go", model="m", **more)
    return given().when(start, *commands).after


def answers(*calls: PlannedCall, text: str = "", step: int = 0) -> CompleteModelCall:
    return CompleteModelCall(step=step, attempt=1, text=text, tool_calls=calls)


def tells(signal_id: str = "s1", message: MessageId | None = None) -> TellRun:
    return TellRun(run_id="r", signal_id=signal_id, signal=HELLO, message=message)


def told(signal_id: str = "s1", message: MessageId | None = None) -> RunSignalled:
    return RunSignalled(signal_id=signal_id, signal=HELLO, message=message)


def message(sender: StreamId, sequence: int = 1) -> MessageId:
    return MessageId(sender=sender, sequence=sequence)


def task(on_complete: OnComplete = "append") -> PlannedCall:
    wanted = BackgroundCall(task_id="r:0.0", on_complete=on_complete)
    return PlannedCall(name="t", arguments={}, task=wanted)


TAKEN: Final = TaskTaken(sequence=1, call_id=C0, task_id="r:0.0", queued=True)
RESULT: Final = ReceiveBackgroundResult(
    call_id=C0, task_id="r:0.0", status="succeeded", result=5, elapsed_ms=7
)
PLACE: Final = ThreadPlace(thread_id="t", resource_id="u")
ON_A_THREAD: Final[dict[str, Any]] = {"thread": PLACE, "message": message(THREAD)}
OF_A_RUN: Final[dict[str, Any]] = {
    "parent": ParentCall(run_id=RunId("p"), call_id=CallId("2.1")),
    "message": message(PARENT),
}
OF_A_HEARTBEAT: Final[dict[str, Any]] = {
    "fire": FireOf(heartbeat_id="h", fire=3),
    "message": message(HEARTBEAT),
}

RUNNING: Final = play()
ACTIVE: Final = play(**ON_A_THREAD)
WAITING: Final = play(
    answers(task()), TAKEN, answers(text="wait", step=1), until_idle=IdlePolicy(), **ON_A_THREAD
)
"""The model has answered, and the run waits for its task."""

# -- a signal --


def test_a_signal_is_recorded_and_the_call_in_flight_goes_on() -> None:
    after = RUNNING.when(tells()).then(told())
    assert (after.state.unread, after.state.messages) == (1, RUNNING.state.messages + 1)
    assert after.state.model_attempt == RUNNING.state.model_attempt


def test_a_signal_of_its_thread_is_recorded_with_the_message_that_says_it() -> None:
    after = ACTIVE.when(tells(message=message(THREAD, 2))).then(told(message=message(THREAD, 2)))
    assert after.state.mail.heard == {THREAD: 2}


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(tells("s1"), id="the same signal"),
        pytest.param(tells("s1", message(THREAD, 3)), id="the same signal, by another message"),
        pytest.param(tells("s2", message(THREAD, 2)), id="the same message"),
        pytest.param(tells("s2", message(THREAD, 1)), id="a message before that"),
        pytest.param(tells("s2", message(StreamId("thread-x"), 9)), id="somebody else's message"),
    ],
)
def test_what_was_said_before_or_by_a_stranger_changes_nothing(again: TellRun) -> None:
    ACTIVE.when(tells("s1", message(THREAD, 2))).after.when(again).then()


def test_the_row_names_the_signals_that_no_model_call_has_seen() -> None:
    read = RUNNING.when(tells("s1"), tells("s2"), answers(text="x")).after
    assert read.state.unread == 0
    row = open_entry(read.when(tells("s3")).after.state)
    assert row is not None
    assert row.summary == {"agent_id": "a", "unread": '["s3"]'}
    before = open_entry(RUNNING.when(tells("s1"), tells("s2")).after.state)
    assert before is not None
    assert before.summary["unread"] == '["s1","s2"]'


def test_the_last_signals_are_known_again() -> None:
    signals = [told(f"s{number}") for number in range(SIGNALS_KEPT + 1)]
    history = given(*RUNNING.events, *signals)
    history.when(tells("s1")).then()
    history.when(tells(f"s{SIGNALS_KEPT}")).then()
    history.when(tells("s0")).then(told("s0"))


def test_an_answer_beside_which_a_signal_came_is_not_the_last_one() -> None:
    RUNNING.when(tells(), answers(text="x")).then(
        ModelCallCompleted(text="x"), ModelCallStarted(step=1, model="m", messages=3)
    )
    play(tells(), max_steps=1).when(answers(text="x")).then(
        ModelCallCompleted(text="x"), RunCompleted()
    )


def test_a_run_that_waits_for_its_tasks_hears_a_signal_at_once() -> None:
    after = WAITING.when(tells()).then(
        told(), ModelCallStarted(step=2, model="m", messages=WAITING.state.messages + 1)
    )
    assert not after.state.rests


@pytest.mark.parametrize(
    ("run", "command", "refused"),
    [
        pytest.param(given(), tells(), (RunNotFound, "'r'"), id="not begun"),
        pytest.param(
            RUNNING.when(answers(text="x")).after, tells(), (RunOver, "'r'.*completed"), id="over"
        ),
        pytest.param(given(), tells(message=message(THREAD)), None, id="not begun, by a thread"),
        pytest.param(
            ACTIVE.when(answers(text="x")).after,
            tells(message=message(THREAD, 2)),
            None,
            id="over, by its thread",
        ),
    ],
)
def test_where_nobody_reads_it_who_signals_is_told_and_a_thread_sees_it_itself(
    run: Given[RunState, RunCommand],
    command: TellRun,
    refused: tuple[type[RunNotFound | RunOver], str] | None,
) -> None:
    if refused is None:
        run.when(command).then()
    else:
        run.when(command).then_refused(refused[0], match=refused[1])


# -- for whom a run works --


@pytest.mark.parametrize(
    ("started", "sender"),
    [(OF_A_RUN, PARENT), (ON_A_THREAD, THREAD), (OF_A_HEARTBEAT, HEARTBEAT)],
    ids=["a run", "a thread", "a heartbeat"],
)
def test_who_has_begun_a_run_may_cancel_it_and_nobody_else_by_a_message(
    started: dict[str, Any], sender: StreamId
) -> None:
    run = play(**started)
    for other in (PARENT, THREAD, HEARTBEAT):
        assert works_for(run.state, message(other, 7)) is (other == sender)
    run.when(CancelRun(reason="late", message=message(StreamId("run-x"), 2))).then()
    run.when(CancelRun(reason="late", by="p", message=message(sender, 2))).then(
        RunCancelled(reason="late", by="p", message=message(sender, 2))
    )


def test_a_cancel_by_message_comes_to_nothing_where_there_is_nothing_left_to_cancel() -> None:
    cancel = CancelRun(run_id="r", message=message(THREAD, 2))
    given().when(cancel).then()
    ACTIVE.when(answers(text="x"), cancel).then()
    ACTIVE.when(answers(text="x"), CancelRun(run_id="r")).then_refused(
        AlreadyOver, match="'r'.*completed"
    )


def test_a_run_says_all_that_it_was_started_with() -> None:
    more: dict[str, Any] = {
        "metadata": {"k": 1},
        "request_context": {"tenant": 2},
        "provider_options": {"seed": 3},
        "parts": (TextPart("go"),),
        "stop_when": (StopOnTool("t"),),
        "until_idle": IdlePolicy(react="all"),
        "max_steps": 4,
        "tool_concurrency": 5,
    }
    assert play(**more).events[0] == RunStarted(agent_id="a", input="go", **more)


def test_a_run_that_is_not_wanted_any_more_is_over_with_the_reason() -> None:
    withdrawn = play(withdrawn="enough", withdrawn_by="me", **ON_A_THREAD)
    assert withdrawn.events[1:] == (RunCancelled(reason="enough", by="me"),)


def test_a_run_says_by_whom_it_was_begun() -> None:
    for begun_by in (OF_A_RUN, ON_A_THREAD, OF_A_HEARTBEAT):
        run = play(**begun_by)
        assert run.events[0] == RunStarted(agent_id="a", input="go", **begun_by)
        assert run.state.mail.heard == {begun_by["message"].sender: 1}


# -- what it tells others --


def letters(run: Given[RunState, RunCommand]) -> list[Deliver]:
    return [effect for effect in outstanding(run.state) if isinstance(effect, Deliver)]


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ({}, []),
        (OF_A_RUN, [Deliver(1, PARENT, "ended", "2.1")]),
        (ON_A_THREAD, [Deliver(1, THREAD, "run-on-thread-ended")]),
        (OF_A_HEARTBEAT, [Deliver(1, HEARTBEAT, "fire-ended", "3")]),
    ],
    ids=["nobody", "a run", "a thread", "a heartbeat"],
)
@pytest.mark.parametrize(
    "end",
    [answers(text="x"), CancelRun(), FailModelCall(step=0, attempt=1, error=BOOM)],
    ids=["completed", "cancelled", "failed"],
)
def test_who_has_begun_a_run_is_told_that_it_is_over(
    end: RunCommand, started: dict[str, Any], expected: list[Deliver]
) -> None:
    over = play(end, **started)
    assert letters(over) == expected
    row = open_entry(over.state)
    assert (row is not None) is bool(expected)
    if row is not None:
        assert (row.kind, row.status, row.owes, row.over, row.summary) == (
            "run",
            over.state.status,
            True,
            True,
            {"agent_id": "a"},
        )


def test_a_parent_that_has_cancelled_a_run_is_not_told_so_but_a_heartbeat_is() -> None:
    assert letters(play(CancelRun(message=message(PARENT, 2)), **OF_A_RUN)) == []
    fired = play(CancelRun(message=message(HEARTBEAT, 2)), **OF_A_HEARTBEAT)
    assert letters(fired) == [Deliver(1, HEARTBEAT, "fire-ended", "3")]


def test_a_heartbeat_hears_when_its_run_waits_for_a_person_and_when_it_goes_on() -> None:
    asked = play(
        answers(CALL), SuspendToolCall(call_id=C0, attempt=1, key="sure?"), **OF_A_HEARTBEAT
    )
    assert letters(asked) == [Deliver(1, HEARTBEAT, "fire-suspended", "3")]
    on = asked.when(AnswerSuspension(value=True)).after
    assert [one.subject for one in on.state.mail.outbox.values()] == [
        "fire-suspended",
        "fire-resumed",
    ]


# -- results of tasks --


@pytest.mark.parametrize(
    ("on_complete", "expected"),
    [("append", ["late-result"]), ("wake", ["late-result"]), ("ignore", [])],
)
def test_the_thread_hears_of_a_result_that_comes_after_the_end(
    on_complete: OnComplete, expected: list[str]
) -> None:
    over = play(answers(task(on_complete)), TAKEN, answers(text="x", step=1), **ON_A_THREAD)
    assert [one.subject for one in over.state.mail.outbox.values()] == ["run-on-thread-ended"]
    late = over.when(RESULT).after
    found = list(late.state.mail.outbox.values())[1:]
    assert [(one.to, one.subject, one.about) for one in found] == [
        (THREAD, subject, "0.0") for subject in expected
    ]
    assert letters(play(answers(task()), TAKEN, answers(text="x", step=1), RESULT)) == []


@pytest.mark.parametrize(
    ("on_complete", "expected"),
    [
        ("append", ["run-on-thread-ended"]),
        ("wake", ["run-on-thread-ended", "late-result"]),
    ],
)
def test_a_thread_is_woken_by_a_result_that_no_model_call_has_seen(
    on_complete: OnComplete, expected: list[str]
) -> None:
    run = play(answers(task(on_complete)), TAKEN, RESULT, **ON_A_THREAD)
    assert run.state.untold == 1
    over = run.when(answers(text="x", step=1)).after
    assert [one.subject for one in over.state.mail.outbox.values()] == expected
    done = CompleteToolCall(call_id=CallId("1.0"), attempt=1, result=None)
    failed = FailModelCall(
        step=1, attempt=1, error=BOOM, retryable=True, retry=Retry(1, delay=1, jitter=0)
    )
    again = run.when(failed, Wake(now_ns=1_000_000_000)).after.state
    assert (again.untold, again.wakes) == (run.state.untold, run.state.wakes)
    seen = run.when(answers(CALL, step=1), done, answers(text="x", step=2)).after
    assert [one.subject for one in seen.state.mail.outbox.values()] == ["run-on-thread-ended"]


# -- waiting for what its tasks come to --


def test_a_run_that_waits_until_all_are_there_keeps_its_deadline() -> None:
    calls = [
        PlannedCall(name="t", arguments={}, task=BackgroundCall(task_id=f"r:0.{number}"))
        for number in range(2)
    ]
    history: tuple[RunEvent, ...] = (
        RunStarted(agent_id="a", input="go", until_idle=IdlePolicy(react="all", max_wait_ns=50)),
        ModelCallStarted(model="m", messages=1),
    )
    second = TaskTaken(sequence=2, call_id=CallId("0.1"), task_id="r:0.1", queued=True)
    answer = CompleteModelCall(step=1, attempt=1, text="wait", now_ns=7)
    waits = given(*history).when(answers(*calls), TAKEN, second, answer)
    assert waits.decided[1:] == (RunWaiting(until_ns=57),)
    one = waits.after.when(RESULT).after
    assert (one.state.rests, one.state.rests_until_ns) == (True, 57)
    row = open_entry(one.state)
    assert row is not None
    assert (row.status, row.owes, row.wake_at_ns) == ("waiting", False, 57)
    heard = one.when(tells()).after
    row = open_entry(heard.state)
    assert row is not None
    assert (heard.state.rests, heard.state.rests_until_ns, row.wake_at_ns) == (False, None, None)
    last = ReceiveBackgroundResult(call_id=CallId("0.1"), task_id="r:0.1", status="succeeded")
    both = one.when(last).after
    assert (both.state.rests, both.state.rests_until_ns) == (False, None)
    assert both.state.model_attempt is not None


def test_a_run_that_reacts_to_each_result_waits_no_more_once_there_is_one() -> None:
    after = WAITING.when(RESULT).after
    assert (after.state.rests, after.state.untold) == (False, 0)
    assert after.state.model_attempt is not None


def test_a_tool_call_begins_as_any_other_after_the_signal_that_woke_its_run() -> None:
    decided = WAITING.when(tells(), answers(CALL, step=2)).decided
    assert decided[-1] == ToolCallStarted(call_id=CallId("2.0"), name="t")
