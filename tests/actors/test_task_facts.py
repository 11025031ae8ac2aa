"""What a task's facts say besides that they happened, and what refusals say: as tables.

Most tasks are tested in their first attempt, which is also what an event says that does not say
it. Here a task is in its second one.
"""

from __future__ import annotations

from typing import Any, Final

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
    FireOf,
    InvalidResumeValue,
    MessageId,
    OutliveError,
    StreamId,
    SuspensionNotFound,
    TaskCancelled,
    TaskEvent,
    TaskExists,
    TaskFailed,
    TaskHooksCalled,
    TaskInDoubt,
    TaskLimits,
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
)
from outlive.testing import Given
from outlive.testing import given as given_entity
from tests.support import SECOND

NOW: Final = 1_000 * SECOND
C: Final = CallId("2.1")
BOOM: Final = Failure(kind="error", message="boom", exception="ValueError")
LATE: Final = Failure(kind="timeout", message="no result within 3 s")
HEARTBEAT: Final = StreamId("heartbeat-h")
BY_HEARTBEAT: Final = MessageId(sender=HEARTBEAT, sequence=5)
Task = Given[TaskState, TaskCommand]

ASKS_FOR_ALL: Final = QueueTask(
    task_id="x",
    tool="t",
    arguments={"n": 1},
    agent_id="a",
    run_id="r",
    call_id=C,
    thread_id="th",
    resource_id="u",
    on_complete="wake",
    request_context={"tenant": 1},
    priority=-2,
    place=7,
    mode="awaited",
    limits=TaskLimits(max_retries=3),
    turn=9,
    worker="w",
    hooked=True,
    fire=FireOf(heartbeat_id="h", fire=3),
    message=BY_HEARTBEAT,
)
QUEUED: Final = TaskQueued(tool="t", agent_id="a", call_id=C)
STARTED: Final = TaskStarted(attempt=1, worker="w", turn=3)
AGAIN: Final = TaskRetryScheduled(attempt=1, at_ns=NOW, reason=BOOM)


def given(*events: Event) -> Task:
    return given_entity(*events, entity=TASK)


SECOND_TRY: Final = (QUEUED, STARTED, AGAIN, TaskStarted(attempt=2, worker="w", turn=4))
RUNNING: Final = given(*SECOND_TRY)
NUMBER: Final[dict[str, Any]] = {"type": "integer"}
ASKED: Final = given(*SECOND_TRY, TaskSuspended(attempt=2, key="k", answer_schema=NUMBER))
TWO_ASKED: Final = given(*ASKED.events, TaskSuspended(attempt=2, key="l"))
DOUBT: Final = given(*SECOND_TRY, TaskInDoubt(attempt=2))
SUCCEEDED: Final = given(*SECOND_TRY, TaskSucceeded(attempt=2, result=5))
CANCELLED: Final = given(*SECOND_TRY, TaskCancelled(reason="enough"))
RESOLVED: Final = given(
    *DOUBT.events, TaskResolved(attempt=2, outcome="completed"), TaskSucceeded(attempt=2)
)


def failed(error: Failure = BOOM, **more: Any) -> FailToolCall:
    return FailToolCall(call_id=C, attempt=2, error=error, now_ns=NOW, elapsed_ms=7, **more)


def says(value: Any, key: str | None = None) -> ResumeTask:
    return ResumeTask(task_id="x", value=value, key=key, by="p", worker="w2")


# -- asking for it --


def test_all_that_is_asked_for_is_recorded() -> None:
    there = (
        given()
        .when(ASKS_FOR_ALL)
        .then(
            TaskQueued(
                tool="t",
                arguments={"n": 1},
                agent_id="a",
                run_id="r",
                call_id=C,
                thread_id="th",
                resource_id="u",
                on_complete="wake",
                request_context={"tenant": 1},
                priority=-2,
                place=7,
                mode="awaited",
                limits=TaskLimits(max_retries=3),
                hooked=True,
                fire=FireOf(heartbeat_id="h", fire=3),
                message=BY_HEARTBEAT,
            ),
            TaskStarted(attempt=1, worker="w", turn=9),
        )
    )
    state = there.state
    assert (state.mode, state.limits, state.hooked) == ("awaited", TaskLimits(max_retries=3), True)
    assert (state.thread_id, state.priority, state.turn) == ("th", -2, 9)
    assert state.mail.heard == {HEARTBEAT: 5}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"priority": 1, "place": 2, "turn": 0, "request_context": {}, "hooked": False}, True),
        ({"thread_id": "th2"}, True),  # it is the run that asks
        ({"tool": "u"}, False),
        ({"arguments": {"n": 2}}, False),
        ({"agent_id": "b"}, False),
        ({"run_id": "s"}, False),
        ({"run_id": "", "thread_id": "th"}, False),
        ({"call_id": CallId("2.2")}, False),
    ],
)
def test_a_task_is_asked_for_once_under_its_id(other: dict[str, Any], same: bool) -> None:
    asked = replace(ASKS_FOR_ALL, message=None, fire=None)
    when = given().when(asked, replace(asked, **other))
    if same:
        when.then()
    else:
        when.then_refused(TaskExists, match="'x'")


def test_without_a_run_the_thread_is_part_of_what_is_asked_for() -> None:
    asked = replace(ASKS_FOR_ALL, run_id="", message=None, fire=None)
    given().when(asked, replace(asked, thread_id="th2")).then_refused(TaskExists)
    given().when(replace(asked, thread_id=""), asked).then_refused(TaskExists)


def test_a_heartbeat_asks_once_and_not_for_what_somebody_else_has_asked_for() -> None:
    there = given().when(ASKS_FOR_ALL).after
    there.when(ASKS_FOR_ALL).then()
    later = replace(ASKS_FOR_ALL, message=MessageId(sender=HEARTBEAT, sequence=6))
    there.when(later).then_refused(TaskExists, match="'x'")
    there.when(replace(ASKS_FOR_ALL, message=None)).then()


def test_what_is_rejected_or_runs_inline_says_so() -> None:
    rejected = replace(ASKS_FOR_ALL, verdict="reject", reason="no room")
    assert given().when(rejected).decided[1:] == (TaskRejected(reason="no room"),)
    inline = replace(ASKS_FOR_ALL, verdict="run_inline", turn=0)
    queued, started = given().when(inline).decided
    assert isinstance(queued, TaskQueued)
    assert queued.inline
    assert started == TaskStarted(attempt=1, worker="w", turn=0)


# -- what is recorded of it --

FACTS: Final[list[tuple[str, Task, TaskCommand, tuple[TaskEvent, ...]]]] = [
    (
        "a start",
        given(QUEUED, STARTED, AGAIN),
        StartTask(now_ns=NOW, turn=4, worker="w2"),
        (TaskStarted(attempt=2, worker="w2", turn=4),),
    ),
    (
        "a result",
        RUNNING,
        CompleteToolCall(call_id=C, attempt=2, result=[5], elapsed_ms=7),
        (TaskSucceeded(attempt=2, result=[5], elapsed_ms=7),),
    ),
    ("a failure", RUNNING, failed(), (TaskFailed(attempt=2, error=BOOM, elapsed_ms=7),)),
    ("a timeout", RUNNING, failed(LATE), (TaskTimedOut(attempt=2, error=LATE, elapsed_ms=7),)),
    (
        "a failure that is tried again",
        RUNNING,
        failed(retry=Retry(2, delay=3, factor=1, jitter=0)),
        (TaskRetryScheduled(attempt=2, at_ns=NOW + 3 * SECOND, reason=BOOM, elapsed_ms=7),),
    ),
    (
        "a failure of a type that is tried again",
        RUNNING,
        failed(
            retry=Retry(2, delay=3, factor=1, jitter=0, retry_on=("OSError",)),
            types=("ConnectionError", "OSError"),
        ),
        (TaskRetryScheduled(attempt=2, at_ns=NOW + 3 * SECOND, reason=BOOM, elapsed_ms=7),),
    ),
    ("a failure in doubt", RUNNING, failed(ask=True), (TaskInDoubt(attempt=2, cause="crash"),)),
    (
        "a timeout in doubt",
        RUNNING,
        failed(LATE, ask=True),
        (TaskInDoubt(attempt=2, cause="timeout"),),
    ),
    (
        "a step",
        RUNNING,
        CompleteStep(call_id=C, attempt=2, key="s", value=[1], elapsed_ms=7),
        (TaskStepCompleted(attempt=2, key="s", value=[1], elapsed_ms=7),),
    ),
    (
        "progress",
        RUNNING,
        ReportProgress(call_id=C, attempt=2, done=1.0, total=4.0, note="pages"),
        (TaskProgressed(attempt=2, done=1.0, total=4.0, note="pages"),),
    ),
    (
        "a question",
        RUNNING,
        SuspendToolCall(call_id=C, attempt=2, key="k", payload=["shown"], answer_schema=NUMBER),
        (TaskSuspended(attempt=2, key="k", payload=["shown"], answer_schema=NUMBER),),
    ),
    ("an answer", ASKED, says(3), (TaskResumed(key="k", value=3, by="p"),)),
    (
        "an outcome of what is in doubt",
        DOUBT,
        says({"outcome": "failed"}),
        (
            TaskResolved(attempt=2, outcome="completed", by="p"),
            TaskSucceeded(attempt=2, result="failed"),
        ),
    ),
    (
        "a failure of what is in doubt",
        DOUBT,
        says({"error": "lost"}),
        (
            TaskResolved(attempt=2, outcome="failed", note="lost", by="p"),
            TaskFailed(attempt=2, error=Failure(kind="resolved", message="lost")),
        ),
    ),
    (
        "a failure of what is in doubt, without a reason",
        DOUBT,
        says({"error": ""}),
        (
            TaskResolved(attempt=2, outcome="failed", by="p"),
            TaskFailed(
                attempt=2, error=Failure(kind="resolved", message="a person says that it failed")
            ),
        ),
    ),
    (
        "another try of what is in doubt",
        DOUBT,
        says({"retry": True}),
        (TaskResolved(attempt=2, outcome="retry", by="p"),),
    ),
    (
        "another try of what is in doubt and needs no slot",
        given(replace(QUEUED, inline=True), *DOUBT.events[1:]),
        says({"retry": True}),
        (
            TaskResolved(attempt=2, outcome="retry", by="p"),
            TaskStarted(attempt=3, worker="w2"),
        ),
    ),
    (
        "a cancel",
        RUNNING,
        CancelTask(task_id="x", reason="enough", by="p"),
        (TaskCancelled(reason="enough", by="p"),),
    ),
    (
        "what a cancelled attempt comes to",
        CANCELLED,
        CompleteToolCall(call_id=C, attempt=2, result=5),
        (TaskResultIgnored(attempt=2, outcome="completed"),),
    ),
    (
        "what an attempt comes to that was given up",
        RUNNING,
        IgnoreToolResult(call_id=C, attempt=3, outcome="failed"),
        (TaskResultIgnored(attempt=3, outcome="failed"),),
    ),
    ("another try", CANCELLED, RetryTask(task_id="x", by="p"), (TaskRequeued(by="p"),)),
    (
        "an attempt that was cut off",
        RUNNING,
        RecoverTask(epoch=5, worker="w2"),
        (TaskRecovered(epoch=5), TaskStarted(attempt=3, worker="w2", turn=4)),
    ),
    (
        "an attempt that was cut off by a clean end",
        given(*SECOND_TRY, TaskRecovered(epoch=4)),
        RecoverTask(epoch=5, worker="w2", clean=True, max_recoveries=0),
        (TaskRecovered(epoch=5, clean=True), TaskStarted(attempt=3, worker="w2", turn=4)),
    ),
    (
        "an attempt that was cut off and is to be asked about",
        RUNNING,
        RecoverTask(epoch=5, in_doubt="ask"),
        (TaskRecovered(epoch=5), TaskInDoubt(attempt=2)),
    ),
    (
        "an attempt that was cut off and must not be repeated",
        RUNNING,
        RecoverTask(epoch=5, in_doubt="fail"),
        (
            TaskRecovered(epoch=5),
            TaskFailed(
                attempt=2,
                error=Failure(
                    kind="in_doubt",
                    message="the process ended while the tool ran: whether it had its effect is "
                    "unknown, and it must not be repeated",
                ),
            ),
        ),
    ),
    (
        "an attempt that was cut off too often",
        given(*SECOND_TRY, TaskRecovered(epoch=4)),
        RecoverTask(epoch=5, max_recoveries=1),
        (
            TaskRecovered(epoch=5, attempt=2),
            TaskFailed(
                attempt=2,
                error=Failure(
                    kind="in_doubt",
                    message="the process ended 2 times while the tool ran, without any progress",
                ),
            ),
        ),
    ),
]


@pytest.mark.parametrize(
    ("task", "command", "events"),
    [pytest.param(task, command, events, id=name) for name, task, command, events in FACTS],
)
def test_a_fact_says_of_which_attempt_it_is_by_whom_and_what_of_it(
    task: Task, command: TaskCommand, events: tuple[TaskEvent, ...]
) -> None:
    task.when(command).then(*events)


# -- what a refusal says --


REFUSALS: Final[list[tuple[Task, TaskCommand, type[OutliveError], str]]] = [
    (given(), RetryTask(task_id="x"), TaskNotFound, "'x'"),
    (given(), says(3), TaskNotFound, "'x'"),
    (given(), CancelTask(task_id="x"), TaskNotFound, "'x'"),
    (SUCCEEDED, RetryTask(task_id="x"), AlreadyOver, "task 'x' is over already: succeeded"),
    (SUCCEEDED, says(3), AlreadyOver, "task 'x' is over already: succeeded"),
    (SUCCEEDED, CancelTask(task_id="x"), AlreadyOver, "task 'x' is over already: succeeded"),
    (
        ASKED,
        says("three"),
        InvalidResumeValue,
        "suspension 'k' of task 'x' does not fit: Expected `int`",
    ),
    (
        DOUBT,
        says(3),
        InvalidResumeValue,
        r"what is said of task 'x' does not fit: of an attempt in doubt say \{\"outcome\": ",
    ),
    (ASKED, says(3, "m"), SuspensionNotFound, r"task 'x' has no suspension 'm' \(open: 'k'\)"),
    (TWO_ASKED, says(3), AmbiguousSuspension, "task 'x' waits .*: 'k', 'l'"),
    (
        ASKED.when(says(3)).after,
        says(4, "k"),
        AlreadyResumed,
        "suspension 'k' of task 'x' has another answer",
    ),
    (RUNNING, SuspendToolCall(call_id=C, attempt=1, key="k"), AttemptEnded, "1.*'2.1'"),
    (RUNNING, CompleteStep(call_id=C, attempt=1, key="k", value=1), AttemptEnded, "1.*'2.1'"),
    (RUNNING, ReportProgress(call_id=C, attempt=3, done=1.0), AttemptEnded, "3.*'2.1'"),
    (DOUBT, SuspendToolCall(call_id=C, attempt=2, key="k"), AttemptEnded, "2.*'2.1'"),
]


@pytest.mark.parametrize(("task", "command", "error", "words"), REFUSALS)
def test_a_refusal_names_the_task_and_what_stands_in_the_way(
    task: Task, command: TaskCommand, error: type[OutliveError], words: str
) -> None:
    task.when(command).then_refused(error, match=words)


def test_what_was_said_before_is_known_again_when_the_task_is_over() -> None:
    answered = ASKED.when(says(3), CancelTask(task_id="x")).after
    answered.when(says(3)).then()
    answered.when(says(4)).then_refused(AlreadyOver)
    RESOLVED.when(says({"outcome": 1})).then()
    RESOLVED.when(says({"retry": True})).then_refused(AlreadyOver)
    RESOLVED.when(says({"outcome": 1}, "k")).then_refused(AlreadyOver)


def test_a_question_that_was_asked_again_has_no_answer_yet() -> None:
    again = ASKED.when(
        says(3),
        StartTask(now_ns=NOW, turn=5),
        SuspendToolCall(call_id=C, attempt=3, key="k", answer_schema=NUMBER),
    ).after
    again.when(says(4, "k")).then(TaskResumed(key="k", value=4, by="p"))


# -- what others are told --


def letters(task: Task) -> list[Deliver]:
    return [one for one in outstanding(task.state) if isinstance(one, Deliver)]


def test_a_heartbeat_hears_when_its_task_waits_goes_on_and_is_over() -> None:
    fired = replace(QUEUED, fire=FireOf(heartbeat_id="h", fire=3))
    task = given(fired, *SECOND_TRY[1:])

    def subjects(task: Task) -> list[tuple[str, str, str]]:
        found = task.state.mail.outbox.values()
        return [(one.to, one.subject, one.about) for one in found]

    assert subjects(task) == []
    waits = task.when(SuspendToolCall(call_id=C, attempt=2, key="k")).after
    assert subjects(waits) == [(HEARTBEAT, "fire-suspended", "3")]
    both = waits.when(SuspendToolCall(call_id=C, attempt=2, key="l")).after
    assert subjects(both) == subjects(waits), "it waits already"
    one = both.when(says(1, "k")).after
    assert subjects(one) == subjects(waits), "it waits still"
    on = one.when(says(2, "l")).after
    assert [subject for _, subject, _ in subjects(on)] == ["fire-suspended", "fire-resumed"]
    over = on.when(CancelTask()).after
    assert subjects(over)[2:] == [(HEARTBEAT, "fire-ended", "3")]
    tried_again = over.when(RetryTask(), CancelTask()).after
    assert subjects(tried_again) == subjects(over), "it has heard of the end"
    doubt = task.when(failed(ask=True)).after
    assert subjects(doubt) == subjects(waits)
    again = doubt.when(says({"retry": True})).after
    assert [subject for _, subject, _ in subjects(again)] == ["fire-suspended", "fire-resumed"]


def test_an_end_that_was_heard_of_leaves_nothing_to_be_told() -> None:
    over = given(replace(QUEUED, run_id="r"), STARTED, TaskSucceeded(attempt=1))
    assert letters(over) == [Deliver(1, StreamId("run-r"), "task-outcome")]
    assert letters(over.when(Acknowledge(sequence=1)).after) == []


# -- functions that are told of an end --

HOOKED: Final = given(
    replace(QUEUED, hooked=True), *SECOND_TRY[1:], TaskFailed(attempt=2, error=BOOM), TaskRequeued()
)
"""Somebody is being told of its first end; it is tried once more."""


def test_what_is_told_of_an_end_is_told_by_its_number() -> None:
    HOOKED.when(ConcludeHooks(end=1, number=1, failures=(BOOM,))).then(
        TaskHooksCalled(end=1, failures=(BOOM,))
    )
    HOOKED.when(ConcludeHooks(end=2, number=1)).then()


def test_what_kills_the_process_while_it_is_told_is_given_up_for_each_end() -> None:
    both = HOOKED.when(
        StartTask(now_ns=NOW, turn=5), CompleteToolCall(call_id=C, attempt=3, result=5)
    ).after
    assert list(outstanding(both.state)) == [CallHooks(1, 1), CallHooks(2, 1)]
    given_up = Failure(kind="in_doubt", message="the process ended 2 times while they were called")
    both.when(RecoverTask(epoch=4), RecoverTask(epoch=5, max_recoveries=1)).then(
        TaskRecovered(epoch=5, attempt=2),
        TaskHooksCalled(end=1, failures=(given_up,)),
        TaskHooksCalled(end=2, failures=(given_up,)),
    )
    still = frozenset([CallHooks(1, 1), CallHooks(2, 1)])
    both.when(RecoverTask(epoch=4, running=still)).then()
    both.when(RecoverTask(epoch=4, running=still - {CallHooks(2, 1)})).then(TaskRecovered(epoch=4))


def test_an_attempt_that_still_runs_is_left_alone_beside_those_who_are_told() -> None:
    running = HOOKED.when(StartTask(now_ns=NOW, turn=5)).after
    call = CallTool(C, "t", 3)
    running.when(RecoverTask(epoch=4, running=frozenset([call, CallHooks(1, 1)]))).then()
    running.when(RecoverTask(epoch=4, running=frozenset([call]))).then(TaskRecovered(epoch=4))
    running.when(RecoverTask(epoch=4, running=frozenset([CallTool(C, "t", 2)]))).then(
        TaskRecovered(epoch=4), TaskStarted(attempt=4, turn=5)
    )


# -- the row --


def test_the_row_of_a_task_that_is_over_stays_until_all_are_told() -> None:
    over = open_entry(HOOKED.when(CancelTask()).after.state)
    assert over is not None
    assert (over.kind, over.status, over.owes, over.over) == ("task", "cancelled", True, True)
    two = open_entry(TWO_ASKED.state)
    assert two is not None
    assert two.summary["waiting_for"] == "2"
    doubt = open_entry(DOUBT.state)
    assert doubt is not None
    assert doubt.summary["waiting_for"] == "1"


# -- what the facts come to --


@pytest.mark.parametrize(
    ("event", "recoveries"),
    [
        (TaskStepCompleted(attempt=2, key="s"), 0),
        (TaskSuspended(attempt=2, key="k"), 0),
        (TaskRetryScheduled(attempt=2, at_ns=NOW, reason=BOOM), 0),
        (TaskSucceeded(attempt=2), 0),
        (TaskInDoubt(attempt=2), 2),
        (TaskProgressed(attempt=2, done=1.0), 2),
        (TaskStarted(attempt=3), 2),
        (TaskRecovered(epoch=3, clean=True), 2),
        (TaskRecovered(epoch=3, attempt=3), 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_something_new_begins_the_count_of_recoveries_anew(
    event: TaskEvent, recoveries: int
) -> None:
    crashed = (*SECOND_TRY, TaskRecovered(epoch=2, attempt=2))
    assert given(*crashed, event).state.recoveries == recoveries


def test_what_a_person_says_begins_it_anew_too() -> None:
    again = TaskRecovered(epoch=2, attempt=2)
    answered = given(*ASKED.events, again, TaskResumed(key="k", value=3)).state
    resolved = given(*DOUBT.events, again, TaskResolved(attempt=2, outcome="retry")).state
    requeued = given(*CANCELLED.events, again, TaskRequeued()).state
    assert [state.recoveries for state in (answered, resolved, requeued)] == [0, 0, 0]
    assert not resolved.in_doubt
    assert resolved.resolved == {2: "retry"}


def test_a_task_that_ran_inline_is_tried_once_more_in_its_turn() -> None:
    inline = given(replace(QUEUED, inline=True), STARTED, TaskFailed(attempt=1, error=BOOM))
    again = inline.when(RetryTask(task_id="x")).after
    assert not again.state.inline
    again.when(StartTask(now_ns=NOW, turn=5)).then(TaskStarted(attempt=2, turn=5))


@pytest.mark.parametrize(
    "task", [ASKED, DOUBT, given(QUEUED, STARTED, AGAIN)], ids=["asked", "in doubt", "retrying"]
)
def test_one_that_is_over_waits_for_nothing(task: Task) -> None:
    state = task.when(CancelTask(reason="enough")).after.state
    assert (state.asks, state.in_doubt, state.wake_at_ns) == ({}, False, None)
    assert state.cut_off == 0, "no attempt went on"
    assert state.error == Failure(kind="cancelled", message="enough")


def test_only_the_attempt_that_was_cut_off_is_waited_for() -> None:
    assert CANCELLED.state.cut_off == 2
    assert given(*CANCELLED.events, TaskResultIgnored(attempt=1)).state.cut_off == 2
    assert given(*CANCELLED.events, TaskResultIgnored(attempt=2)).state.cut_off == 0
