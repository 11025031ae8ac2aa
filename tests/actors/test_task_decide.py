"""What a task does about each command, in each state it can be in."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, get_args

import pytest
from msgspec.structs import replace

from outlive.actors import Retry
from outlive.actors.mail import Acknowledge, Deliver
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
from outlive.actors.task.entity import TASK, open_entry, outstanding
from outlive.events import (
    AlreadyOver,
    AlreadyResumed,
    AmbiguousSuspension,
    AttemptEnded,
    CallId,
    Event,
    Failure,
    InvalidResumeValue,
    MessageDelivered,
    OpenEntry,
    OutliveError,
    StreamId,
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
from outlive.events.task.state import TaskStatus
from outlive.testing import Given
from outlive.testing import given as given_entity
from tests.support import SECOND

NOW: Final = 1_000 * SECOND
C: Final = CallId("2.1")
RUN: Final = StreamId("run-r")
THREAD: Final = StreamId("thread-t")
BOOM: Final = Failure(kind="error", message="boom", exception="ValueError")
LATE: Final = Failure(kind="timeout", message="no result within 3 s")

QUEUED: Final = TaskQueued(
    tool="t", arguments={"n": 1}, agent_id="a", run_id="r", call_id=C, place=7
)
INLINE: Final = TaskQueued(tool="t", agent_id="a", run_id="r", call_id=C, inline=True)
STARTED: Final = TaskStarted(attempt=1, worker="w", turn=3)
AGAIN: Final = TaskRetryScheduled(attempt=1, at_ns=NOW + SECOND, reason=BOOM)
ASKED: Final = TaskSuspended(attempt=1, key="k", answer_schema={"type": "integer"})
DOUBT: Final = TaskInDoubt(attempt=1)

ENDS: Final[dict[str, TaskEvent]] = {
    "succeeded": TaskSucceeded(attempt=1, result=5),
    "failed": TaskFailed(attempt=1, error=BOOM),
    "timed_out": TaskTimedOut(attempt=1, error=LATE),
    "cancelled": TaskCancelled(reason="enough"),
}
HISTORIES: Final[dict[str, tuple[TaskEvent, ...]]] = {
    "none": (),
    "queued": (QUEUED,),
    "retrying": (QUEUED, STARTED, AGAIN),
    "running": (QUEUED, STARTED),
    "suspended": (QUEUED, STARTED, ASKED),
    "in_doubt": (QUEUED, STARTED, DOUBT),
    "rejected": (QUEUED, TaskRejected(reason="no room")),
    **{name: (QUEUED, STARTED, end) for name, end in ENDS.items()},
    "running again": (QUEUED, STARTED, AGAIN, TaskStarted(attempt=2, turn=4)),
    "tried once more": (
        *(QUEUED, STARTED, ENDS["failed"]),
        *(MessageDelivered(sequence=1, to=RUN), TaskRequeued()),
    ),
}
OVER: Final = ("rejected", *ENDS)


def given(*events: Event) -> Given[TaskState, TaskCommand]:
    return given_entity(*events, entity=TASK)


def queue(**changes: object) -> QueueTask:
    fields: dict[str, object] = {
        "tool": "t",
        "arguments": {"n": 1},
        "agent_id": "a",
        "run_id": "r",
        "call_id": C,
        "request_context": {},
        "place": 7,
    }
    return QueueTask(**{**fields, **changes})  # type: ignore[arg-type]


START: Final = StartTask(now_ns=NOW, turn=3, worker="w")


def done(attempt: int = 1) -> CompleteToolCall:
    return CompleteToolCall(call_id=C, attempt=attempt, result=5)


def failed(
    error: Failure = BOOM, attempt: int = 1, *, retry: Retry | None = None, ask: bool = False
) -> FailToolCall:
    return FailToolCall(
        call_id=C, attempt=attempt, error=error, now_ns=NOW, retry=retry or Retry(0), ask=ask
    )


RECOVER: Final = RecoverTask(epoch=2, worker="w2")


def test_what_a_cancelled_attempt_comes_to_is_recorded_once() -> None:
    cancelled = given(QUEUED, STARTED, TaskCancelled())
    ignored = cancelled.when(done()).after
    ignored.when(done()).then()
    cancelled.when(done(attempt=2)).then()
    cancelled.when(RetryTask(task_id="x")).after.when(done()).then(TaskResultIgnored(attempt=1))
    given(QUEUED, STARTED, ENDS["succeeded"], TaskRequeued()).when(done()).then()


# -- the whole table: status by command --

COMMANDS: Final[dict[str, TaskCommand]] = {
    "queue": queue(),
    "queue other": queue(tool="u"),
    "start": START,
    "complete": done(),
    "fail": failed(),
    "time out": failed(LATE),
    "step": CompleteStep(call_id=C, attempt=1, key="s", value=1),
    "progress": ReportProgress(call_id=C, attempt=1, done=1.0),
    "ask": SuspendToolCall(call_id=C, attempt=1, key="l"),
    "late": IgnoreToolResult(call_id=C, attempt=1, outcome="completed"),
    "recover": RECOVER,
    "resume": ResumeTask(task_id="x", value=4),
    "cancel": CancelTask(task_id="x", reason="enough"),
    "acknowledge": Acknowledge(sequence=1),
    "conclude hooks": ConcludeHooks(number=1),
    "retry": RetryTask(task_id="x", by="p"),
}
NOTHING: Final[tuple[TaskEvent, ...]] = ()
Follows = tuple[TaskEvent, ...] | type[OutliveError]
FROM_ELSEWHERE: Final[dict[str, Follows]] = {
    # What an attempt says that is over, and what does not belong to the status.
    "queue": NOTHING,
    "queue other": TaskExists,
    "start": NOTHING,
    "complete": NOTHING,
    "fail": NOTHING,
    "time out": NOTHING,
    "step": AttemptEnded,
    "progress": AttemptEnded,
    "ask": AttemptEnded,
    "late": (TaskResultIgnored(attempt=1),),
    "recover": NOTHING,
    "resume": NOTHING,
    "cancel": (TaskCancelled(reason="enough"),),
    "acknowledge": NOTHING,
    "conclude hooks": NOTHING,
    "retry": NOTHING,
}
AFTER_THE_END: Final[dict[str, Follows]] = {
    **FROM_ELSEWHERE,
    "resume": AlreadyOver,
    "cancel": AlreadyOver,
    "acknowledge": (MessageDelivered(sequence=1, to=RUN),),
    "retry": (TaskRequeued(by="p"),),
}
TABLE: Final[dict[str, dict[str, Follows]]] = {
    "none": {
        **FROM_ELSEWHERE,
        "queue": (QUEUED,),
        "queue other": (
            TaskQueued(tool="u", arguments={"n": 1}, agent_id="a", run_id="r", call_id=C, place=7),
        ),
        "late": NOTHING,
        "resume": TaskNotFound,
        "cancel": TaskNotFound,
        "retry": TaskNotFound,
    },
    "queued": {**FROM_ELSEWHERE, "start": (STARTED,)},
    "retrying": FROM_ELSEWHERE,
    "running": {
        **FROM_ELSEWHERE,
        "complete": (ENDS["succeeded"],),
        "fail": (ENDS["failed"],),
        "time out": (ENDS["timed_out"],),
        "step": (TaskStepCompleted(key="s", value=1),),
        "progress": (TaskProgressed(done=1.0),),
        "ask": (TaskSuspended(key="l"),),
        "recover": (
            TaskRecovered(epoch=2),
            TaskStarted(attempt=2, worker="w2", turn=3),
        ),
    },
    "suspended": {
        **FROM_ELSEWHERE,
        "ask": (TaskSuspended(key="l"),),
        "resume": (TaskResumed(key="k", value=4),),
    },
    "in_doubt": {**FROM_ELSEWHERE, "resume": InvalidResumeValue},
    **dict.fromkeys(OVER, AFTER_THE_END),
    "running again": {
        **FROM_ELSEWHERE,  # all that the first attempt says
        "recover": (TaskRecovered(epoch=2), TaskStarted(attempt=3, worker="w2", turn=4)),
    },
    "tried once more": {
        **FROM_ELSEWHERE,
        "start": (TaskStarted(attempt=2, worker="w", turn=3),),
    },
    "cancelled": {
        **AFTER_THE_END,
        "cancel": NOTHING,
        # It may come to its end before it can be told.
        "complete": (TaskResultIgnored(attempt=1),),
        "fail": (TaskResultIgnored(attempt=1, outcome="failed"),),
        "time out": (TaskResultIgnored(attempt=1, outcome="failed"),),
    },
    "succeeded": {**AFTER_THE_END, "retry": AlreadyOver},
    "rejected": {**AFTER_THE_END, "retry": AlreadyOver},
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("status", HISTORIES)
def test_each_command_in_each_status(status: str, command: str) -> None:
    when = given(*HISTORIES[status]).when(COMMANDS[command])
    follows = TABLE[status][command]
    if isinstance(follows, tuple):
        when.then(*follows)
    else:
        when.then_refused(follows)


def test_the_table_knows_every_kind_of_command_and_every_status() -> None:
    assert {type(command) for command in COMMANDS.values()} == set(TaskCommand.__args__)
    assert {given(*events).state.status for events in HISTORIES.values()} == set(
        get_args(TaskStatus)
    )
    assert all(set(row) == set(COMMANDS) for row in TABLE.values())


@pytest.mark.parametrize("status", HISTORIES)
def test_a_command_that_comes_twice_is_obeyed_once(status: str) -> None:
    """But for what an attempt that runs tells of itself, and for a wish that is new by then."""
    once_more = ("step", "progress", "late", "recover")
    for name, command in COMMANDS.items():
        follows = TABLE[status][name]
        if isinstance(follows, tuple) and follows and name not in once_more:
            with suppress(AlreadyOver):
                again = given(*HISTORIES[status], *follows).when(command)
                assert again.decided == (), f"{name} twice"


# -- what is owed, and the row --


@pytest.mark.parametrize("status", HISTORIES)
def test_only_an_attempt_and_a_message_are_owed(status: str) -> None:
    state = given(*HISTORIES[status]).state
    wanted: dict[object, None] = {}
    if state.status == "running":
        wanted[CallTool(C, "t", state.attempt)] = None
    if status in OVER:
        wanted[Deliver(1, RUN, "task-outcome")] = None
    assert outstanding(state) == wanted
    row = open_entry(state)
    assert (row is not None and row.owes) is bool(wanted)
    assert (row is not None and row.over) is (status in OVER)


def test_a_task_that_has_told_its_run_has_no_row() -> None:
    told = given(*HISTORIES["succeeded"], MessageDelivered(sequence=1, to=RUN)).state
    assert (outstanding(told), open_entry(told)) == ({}, None)


def test_a_task_that_no_run_has_asked_for_tells_nobody() -> None:
    history = given(TaskQueued(tool="t"), TaskStarted(turn=1))
    state = history.when(CompleteToolCall(call_id=CallId("0.0"), attempt=1, result=1)).after.state
    assert (outstanding(state), open_entry(state), state.over) == ({}, None, True)


def test_the_row_tells_what_lists_and_admission_need() -> None:
    queued = {"agent_id": "a", "tool": "t", "run_id": "r", "place": "7"}
    expected: dict[str, OpenEntry] = {
        "queued": OpenEntry(kind="task", status="queued", summary=queued),
        "retrying": OpenEntry(
            kind="task",
            status="queued",
            wake_at_ns=NOW + SECOND,
            summary={**queued, "turn": "3"},
        ),
        "running": OpenEntry(
            kind="task", status="running", owes=True, summary={**queued, "turn": "3"}
        ),
        "suspended": OpenEntry(
            kind="task", status="suspended", summary={**queued, "turn": "3", "waiting_for": "1"}
        ),
    }
    assert {name: open_entry(given(*HISTORIES[name]).state) for name in expected} == expected
    row = open_entry(given(TaskQueued(tool="t", priority=-2, inline=True)).state)
    assert row is not None
    assert (row.summary["priority"], row.summary["inline"]) == ("-2", "yes")


# -- retries --


def test_a_failure_that_may_pass_is_tried_again_when_its_wait_is_over() -> None:
    retry = Retry(2, delay=10, jitter=0)
    (
        given(QUEUED, STARTED)
        .when(failed(retry=retry))
        .then(TaskRetryScheduled(attempt=1, at_ns=NOW + 10 * SECOND, reason=BOOM))
        .when(StartTask(now_ns=NOW + 10 * SECOND - 1, turn=4))
        .then()
        .when(StartTask(now_ns=NOW + 10 * SECOND, turn=4))
        .then(TaskStarted(attempt=2, turn=4))
        .when(failed(attempt=2, retry=retry))
        .then(TaskRetryScheduled(attempt=2, at_ns=NOW + 20 * SECOND, reason=BOOM))
        .when(StartTask(now_ns=NOW + 20 * SECOND, turn=5))
        .then(TaskStarted(attempt=3, turn=5))
        .when(failed(attempt=3, retry=retry))
        .then(TaskFailed(attempt=3, error=BOOM))
    )


def test_waits_grow_by_the_factor_up_to_the_longest_and_are_spread() -> None:
    def wait(failures: int, retry: Retry, spread_by: str = "") -> int:
        history = [QUEUED, *[STARTED, AGAIN] * failures, STARTED]
        command = FailToolCall(
            call_id=C, attempt=1, error=BOOM, now_ns=NOW, retry=retry, spread_by=spread_by
        )
        [scheduled] = given(*history).when(command).decided
        assert isinstance(scheduled, TaskRetryScheduled)
        return scheduled.at_ns - NOW

    plain = Retry(9, delay=2, factor=3, max_delay=10, jitter=0)
    assert [wait(number, plain) // SECOND for number in range(3)] == [2, 6, 10]
    spread = Retry(9, delay=2, factor=3, max_delay=10, jitter=0.5)
    waits = {wait(0, spread, str(number)) for number in range(9)}
    assert len(waits) == 9
    assert all(1 * SECOND <= one <= 3 * SECOND for one in waits)


@pytest.mark.parametrize(
    ("retry_on", "again"),
    [(None, True), (("error",), True), (("ValueError",), True), (("timeout",), False), ((), False)],
    ids=str,
)
def test_only_what_the_policy_names_is_tried_again(
    retry_on: tuple[str, ...] | None, again: bool
) -> None:
    decided = given(QUEUED, STARTED).when(failed(retry=Retry(1, retry_on=retry_on))).decided
    assert isinstance(decided[0], TaskRetryScheduled) is again


def test_a_task_of_which_no_slot_is_held_is_woken_with_its_old_place() -> None:
    state = given(QUEUED, STARTED, AGAIN).state
    row = open_entry(state)
    assert row is not None
    assert (row.status, row.wake_at_ns, row.summary["place"]) == ("queued", NOW + SECOND, "7")


def test_a_task_that_has_been_given_a_slot_begins_with_the_commit_that_records_it() -> None:
    (
        given()
        .when(queue(turn=3, worker="w"))
        .then(QUEUED, TaskStarted(attempt=1, worker="w", turn=3))
        .when(queue(turn=4, worker="w"))
        .then()
    )


# -- inline --


def test_a_task_that_runs_inline_begins_at_once_and_needs_no_slot() -> None:
    (
        given()
        .when(queue(arguments={}, place=0, verdict="run_inline", worker="w"))
        .then(INLINE, TaskStarted(attempt=1, worker="w"))
        .when(failed(retry=Retry(1, delay=1, jitter=0)))
        .then(TaskRetryScheduled(attempt=1, at_ns=NOW + SECOND, reason=BOOM))
        .when(StartTask(now_ns=NOW + SECOND, turn=9))
        .then()
        .when(StartTask(now_ns=NOW + SECOND, turn=0, worker="w"))
        .then(TaskStarted(attempt=2, worker="w"))
        .when(SuspendToolCall(call_id=C, attempt=2, key="k"))
        .then(TaskSuspended(attempt=2, key="k"))
        .when(ResumeTask(value=1, worker="w"))
        .then(TaskResumed(key="k", value=1), TaskStarted(attempt=3, worker="w"))
    )


def test_a_task_that_needs_a_slot_is_not_woken_without_one() -> None:
    given(QUEUED).when(StartTask(now_ns=NOW, turn=0)).then()


def test_a_task_that_is_rejected_is_over_with_the_reason_and_tells_its_run() -> None:
    after = (
        given()
        .when(queue(verdict="reject", reason="no room"))
        .then(QUEUED, TaskRejected(reason="no room"))
    )
    assert after.state.error == Failure(kind="rejected", message="no room")
    assert list(outstanding(after.state)) == [Deliver(1, RUN, "task-outcome")]


# -- in doubt --


def test_an_attempt_that_still_runs_in_this_process_is_left_alone() -> None:
    call = CallTool(C, "t", 1)
    given(QUEUED, STARTED).when(RecoverTask(epoch=2, running=frozenset([call]))).then()


def test_what_is_not_to_be_repeated_has_failed() -> None:
    decided = given(QUEUED, STARTED).when(RecoverTask(epoch=2, in_doubt="fail")).decided
    assert [type(event) for event in decided] == [TaskRecovered, TaskFailed]
    assert isinstance(decided[1], TaskFailed)
    assert decided[1].error.kind == "in_doubt"


@pytest.mark.parametrize(
    ("said", "follows"),
    [
        ({"retry": True}, (TaskResolved(outcome="retry", by="p"),)),
        (
            {"outcome": [1]},
            (TaskResolved(outcome="completed", by="p"), TaskSucceeded(result=[1])),
        ),
        (
            {"error": "lost"},
            (
                TaskResolved(outcome="failed", note="lost", by="p"),
                TaskFailed(error=Failure(kind="resolved", message="lost")),
            ),
        ),
    ],
    ids=["retry", "completed", "failed"],
)
def test_a_person_says_what_became_of_an_attempt_in_doubt(
    said: Value, follows: tuple[TaskEvent, ...]
) -> None:
    after = (
        given(QUEUED, STARTED)
        .when(RecoverTask(epoch=2, in_doubt="ask"))
        .then(TaskRecovered(epoch=2), DOUBT)
        .when(ResumeTask(value=said, by="p"))
        .then(*follows)
    )
    after.when(ResumeTask(value=said, by="p")).then()  # said twice is said once


@pytest.mark.parametrize(
    "said", [None, 4, {}, {"retry": False}, {"outcome": 1, "retry": True}, {"error": 4}], ids=str
)
def test_of_an_attempt_in_doubt_just_one_of_three_things_is_said(said: Value) -> None:
    given(QUEUED, STARTED, DOUBT).when(ResumeTask(task_id="x", value=said)).then_refused(
        InvalidResumeValue, match="of task 'x'"
    )


def test_a_timeout_of_what_must_not_be_repeated_is_in_doubt() -> None:
    given(QUEUED, STARTED).when(failed(LATE, retry=Retry(3), ask=True)).then(
        TaskInDoubt(attempt=1, cause="timeout")
    )


def test_a_task_that_kills_its_process_does_so_a_bounded_number_of_times() -> None:
    history, starts = given(QUEUED, STARTED), 1
    while history.state.status == "running":
        history = history.when(RecoverTask(epoch=2, max_recoveries=3)).after
        if history.state.status == "queued":
            history = history.when(START).after
        starts += history.state.status == "running"
    assert (starts, history.state.status) == (4, "failed")
    assert history.state.error is not None
    assert history.state.error.kind == "in_doubt"


def test_a_task_that_was_cut_off_again_without_anything_new_waits_for_its_turn() -> None:
    crashed = given(QUEUED, STARTED).when(RECOVER).after
    waits = crashed.when(RECOVER).then(TaskRecovered(epoch=2, attempt=2, suspected=True))
    entry = open_entry(waits.state)
    assert entry is not None
    assert (entry.status, entry.summary["suspected"]) == ("queued", "yes")
    began = waits.when(START).then(TaskStarted(attempt=3, worker="w", turn=3))
    step = began.when(CompleteStep(call_id=C, attempt=3, key="s", value=1)).after
    assert not step.state.suspected, "it has got further"


@pytest.mark.parametrize(
    ("command", "then"),
    [
        (RecoverTask(epoch=2, clean=True), [TaskRecovered, TaskStarted]),
        (RecoverTask(epoch=2, in_doubt="ask"), [TaskRecovered, TaskInDoubt]),
        (RecoverTask(epoch=2, in_doubt="fail"), [TaskRecovered, TaskFailed]),
        (RecoverTask(epoch=2, max_recoveries=1), [TaskRecovered, TaskFailed]),
    ],
    ids=["clean", "ask", "fail", "too often"],
)
def test_only_what_is_made_again_after_an_unclean_end_waits_for_its_turn(
    command: RecoverTask, then: list[type[TaskEvent]]
) -> None:
    crashed = given(QUEUED, STARTED).when(RECOVER).after
    assert [type(event) for event in crashed.when(command).decided] == then


def test_what_runs_inline_holds_no_slot_and_does_not_wait_for_one() -> None:
    inline = given(replace(QUEUED, inline=True), STARTED).when(RECOVER).after
    decided = inline.when(RECOVER).decided
    assert [type(event) for event in decided] == [TaskRecovered, TaskStarted]


def test_a_step_that_was_recorded_begins_the_count_anew_and_a_clean_end_does_not_count() -> None:
    crashed = given(QUEUED, STARTED).when(RECOVER).after
    assert crashed.state.recoveries == 1
    step = CompleteStep(call_id=C, attempt=2, key="s", value=1)
    assert crashed.when(step).after.state.recoveries == 0
    assert crashed.when(RecoverTask(epoch=2, clean=True)).after.state.recoveries == 1


def test_attempts_that_a_crash_has_cut_off_use_up_no_retry() -> None:
    crashed = given(QUEUED, STARTED).when(RECOVER).after
    decided = crashed.when(failed(attempt=2, retry=Retry(1))).decided
    assert isinstance(decided[0], TaskRetryScheduled)


# -- people --


def test_a_task_is_queued_again_at_its_old_place_once_all_is_answered() -> None:
    after = (
        given(QUEUED, STARTED, ASKED, TaskSuspended(attempt=1, key="l"))
        .when(ResumeTask(task_id="x", value=4))
        .then_refused(AmbiguousSuspension, match="task 'x'")
        .when(ResumeTask(value=4, key="k"))
        .then(TaskResumed(key="k", value=4))
    )
    assert after.state.status == "suspended"
    after = after.when(ResumeTask(value="b")).then(TaskResumed(key="l", value="b"))
    assert (after.state.status, after.state.place, after.state.attempt) == ("queued", 7, 1)
    after.when(START).then(TaskStarted(attempt=2, worker="w", turn=3))


def test_the_same_answer_twice_is_one_and_another_one_is_refused() -> None:
    after = given(QUEUED, STARTED, ASKED).when(ResumeTask(value=4, key="k")).after
    for later in (after, after.when(START).after, after.when(CancelTask()).after):
        later.when(ResumeTask(value=4, key="k")).then()
        later.when(ResumeTask(task_id="x", value=5, key="k")).then_refused(AlreadyResumed)
    after.when(CancelTask()).after.when(ResumeTask(value=4)).then()


def test_an_answer_that_does_not_fit_leaves_the_task_suspended() -> None:
    given(QUEUED, STARTED, ASKED).when(ResumeTask(task_id="x", value="four")).then_refused(
        InvalidResumeValue, match="'k' of task 'x'"
    )
    given(QUEUED, STARTED, ASKED).when(ResumeTask(task_id="x", value=4, key="m")).then_refused(
        SuspensionNotFound, match="open: 'k'"
    )


def test_a_question_asked_twice_is_asked_once() -> None:
    given(QUEUED, STARTED, ASKED).when(SuspendToolCall(call_id=C, attempt=1, key="k")).then()


def test_an_attempt_that_was_replaced_says_nothing_any_more() -> None:
    later = given(QUEUED, STARTED, AGAIN, TaskStarted(attempt=2, turn=4))
    later.when(done(1)).then()
    later.when(failed(attempt=1)).then()
    later.when(CompleteStep(call_id=C, attempt=1, key="s", value=1)).then_refused(AttemptEnded)
    later.when(SuspendToolCall(call_id=C, attempt=1, key="k")).then_refused(AttemptEnded)


# -- hooks --

HOOKED: Final = TaskQueued(tool="t", agent_id="a", hooked=True)
TOLD: Final = (HOOKED, STARTED, TaskSucceeded(result=5))


def test_who_wants_to_know_is_told_once_when_the_task_is_over() -> None:
    ended = given(HOOKED, STARTED).when(done()).after
    assert list(outstanding(ended.state)) == [CallHooks(1, 1)]
    row = open_entry(ended.state)
    assert row is not None
    assert (row.over, row.owes) == (True, True)
    told = ended.when(ConcludeHooks(number=1, failures=(BOOM,))).then(
        TaskHooksCalled(failures=(BOOM,))
    )
    assert (outstanding(told.state), open_entry(told.state)) == ({}, None)
    told.when(ConcludeHooks(number=1)).then()


def test_a_task_that_ends_before_it_starts_tells_as_well() -> None:
    assert list(outstanding(given(HOOKED, TaskCancelled()).state)) == [CallHooks(1, 1)]
    assert list(outstanding(given(HOOKED, TaskRejected()).state)) == [CallHooks(1, 1)]


def test_after_a_crash_in_the_middle_they_are_told_once_more() -> None:
    again = given(*TOLD).when(RECOVER).then(TaskRecovered(epoch=2))
    assert list(outstanding(again.state)) == [CallHooks(1, 2)]
    again.when(ConcludeHooks(number=1)).then()
    again.when(ConcludeHooks(number=2)).then(TaskHooksCalled())
    still = RecoverTask(epoch=2, running=frozenset([CallHooks(1, 1)]))
    given(*TOLD).when(still).then()


def test_hooks_that_kill_their_process_do_so_a_bounded_number_of_times() -> None:
    history, calls = given(*TOLD), 1
    while history.state.hooks:
        history = history.when(RecoverTask(epoch=2, max_recoveries=3)).after
        calls += len(history.state.hooks)
    assert calls == 4
    last = history.events[-1]
    assert isinstance(last, TaskHooksCalled)
    assert [one.kind for one in last.failures] == ["in_doubt"]


def test_each_end_of_a_task_that_is_tried_again_is_told() -> None:
    failed_before = TaskFailed(error=BOOM)
    history = given(HOOKED, STARTED, failed_before, TaskRequeued(), TaskStarted(attempt=2, turn=2))
    assert CallHooks(1, 1) in outstanding(history.state), "nobody has been told of the first end"
    ended = history.when(done(2)).after
    assert list(outstanding(ended.state)) == [CallHooks(1, 1), CallHooks(2, 1)]
    told = ended.when(ConcludeHooks(end=1, number=1)).then(TaskHooksCalled(end=1))
    assert list(outstanding(told.state)) == [CallHooks(2, 1)]
    told.when(ConcludeHooks(end=2, number=1)).then(TaskHooksCalled(end=2))


def test_hooks_and_an_attempt_that_died_together_both_go_on() -> None:
    failed_before = TaskFailed(error=BOOM)
    history = given(HOOKED, STARTED, failed_before, TaskRequeued(), TaskStarted(attempt=2, turn=2))
    again = history.when(RECOVER).then(
        TaskRecovered(epoch=2), TaskStarted(attempt=3, worker=RECOVER.worker, turn=2)
    )
    assert CallHooks(1, 2) in outstanding(again.state)
    still = RecoverTask(epoch=2, running=frozenset([CallHooks(1, 1)]), worker=RECOVER.worker)
    history.when(still).then(
        TaskRecovered(epoch=2), TaskStarted(attempt=3, worker=RECOVER.worker, turn=2)
    )


# -- once more --


def test_a_task_that_is_tried_once_more_has_its_history_and_its_retries_again() -> None:
    retry = Retry(1, delay=1, jitter=0)
    failed_twice = (
        given(QUEUED, STARTED, AGAIN, TaskStarted(attempt=2, turn=4))
        .when(failed(attempt=2, retry=retry))
        .after
    )
    again = failed_twice.when(RetryTask(by="p")).then(TaskRequeued(by="p"))
    assert (again.state.status, again.state.error, again.state.attempt) == ("queued", None, 2)
    again.when(RetryTask()).then()
    after = again.when(START).then(TaskStarted(attempt=3, worker="w", turn=3))
    decided = after.when(failed(attempt=3, retry=retry)).decided
    assert isinstance(decided[0], TaskRetryScheduled)


def test_its_run_hears_of_the_first_end_and_its_thread_of_the_next_ones() -> None:
    def tried_again(queued: TaskQueued) -> list[Effect]:
        heard = MessageDelivered(sequence=1, to=RUN)
        again = given(queued, STARTED, ENDS["failed"], heard).when(RetryTask(), START, done(2))
        assert again.after.state.status == "succeeded"
        return list(outstanding(again.after.state))

    told = Deliver(2, THREAD, "task-outcome", "2")
    assert tried_again(replace(QUEUED, thread_id="t")) == [told]
    assert tried_again(replace(QUEUED, thread_id="t", on_complete="ignore")) == []
    assert tried_again(QUEUED) == []


def test_a_task_that_no_run_has_asked_for_tells_its_thread_of_each_end() -> None:
    queued = replace(QUEUED, run_id="", thread_id="t")
    over = given(queued, STARTED, ENDS["failed"])
    assert list(outstanding(over.state)) == [Deliver(1, THREAD, "task-outcome")]
    again = over.when(RetryTask(), START, done(2)).after
    assert list(outstanding(again.state)) == [Deliver(1, THREAD, "task-outcome")], "in order"
    heard = again.when(Acknowledge(sequence=1)).after
    assert list(outstanding(heard.state)) == [Deliver(2, THREAD, "task-outcome", "2")]
