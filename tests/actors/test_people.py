"""What a run does about what people say, as tables: suspension, approval, doubt, cancel."""

from __future__ import annotations

from typing import Any, Final, Literal

import pytest

from outlive.actors.run.approvals import arguments_digest
from outlive.actors.run.commands import (
    AnswerSuspension,
    Approval,
    CancelRun,
    CompleteModelCall,
    CompleteStep,
    CompleteToolCall,
    DecideApproval,
    FailToolCall,
    InDoubt,
    PlannedCall,
    Recover,
    ResolveToolCall,
    RunCommand,
    StartRun,
    SuspendToolCall,
    Wake,
)
from outlive.actors.run.entity import open_entry
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
    ModelCallStarted,
    NotSuspended,
    OutliveError,
    RunCancelled,
    RunEvent,
    RunRecovered,
    RunResumed,
    RunState,
    RunSuspended,
    SuspensionNotFound,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallStarted,
    ToolCallSuspended,
    ToolResultIgnored,
    Value,
)
from outlive.testing import Given, given
from tests.support.machine import tags

C0, C1, C2 = CallId("0.0"), CallId("0.1"), CallId("0.2")
SECOND: Final = 1_000_000_000
NUMBER: Final[dict[str, Value]] = {"type": "integer"}
START: Final = StartRun(agent_id="a", input="go", model="m")


def play(*commands: RunCommand) -> Given[RunState, RunCommand]:
    """A run to which these commands have come."""
    run: Given[RunState, RunCommand] = given()
    for command in commands:
        run = run.when(command).after
    return run


def wants(*planned: PlannedCall) -> CompleteModelCall:
    return CompleteModelCall(step=0, attempt=1, tool_calls=planned)


def call(*, digest: str | None = None, expires_at_ns: int | None = None) -> PlannedCall:
    approval = None if digest is None else Approval(digest=digest, expires_at_ns=expires_at_ns)
    return PlannedCall(name="t", arguments={"n": 1}, approval=approval)


def asks(key: str, call_id: CallId = C0, attempt: int = 1) -> SuspendToolCall:
    return SuspendToolCall(call_id=call_id, attempt=attempt, key=key, answer_schema=NUMBER)


def says(value: Value, suspension: str | None = None) -> AnswerSuspension:
    return AnswerSuspension(run_id="r", value=value, suspension=suspension)


def decides(granted: bool, call_id: CallId = C0, **more: Any) -> DecideApproval:
    return DecideApproval(run_id="r", call_id=call_id, granted=granted, **more)


def recover(in_doubt: InDoubt) -> Recover:
    return Recover(epoch=2, in_doubt={"t": in_doubt}, model="m")


RUNNING: Final = play(START, wants(call()))
ASKED: Final = play(START, wants(call()), asks("how many"))
TWO_KEYS: Final = play(START, wants(call()), asks("how many"), asks("how big"))
TWO_CALLS: Final = play(START, wants(call(), call()), asks("size"), asks("size", C1))
ANSWERED: Final = play(START, wants(call()), asks("how many"), says(3))
SURE: Final = play(START, wants(call()), asks("sure?"), says(3))
APPROVAL: Final = play(START, wants(call(digest="d1")))
EXPIRES: Final = play(START, wants(call(digest="d1", expires_at_ns=SECOND)))
GRANTED: Final = play(START, wants(call(digest="d1")), decides(True))
DENIED: Final = play(START, wants(call(digest="d1")), decides(False))
IN_DOUBT: Final = play(START, wants(call()), recover("ask"))
RESOLVED: Final = play(
    START,
    wants(call()),
    recover("ask"),
    ResolveToolCall(run_id="r", call_id=C0, outcome="completed", result=1),
)
COMPLETED: Final = play(START, CompleteModelCall(step=0, attempt=1, text="x"))
CANCELLED: Final = play(START, CancelRun(run_id="r"))

RESUMED: Final = "run-resumed tool-call-started"
AGREED: Final = "approval-granted tool-call-started"

ANSWERS: Final[list[tuple[str, Given[RunState, RunCommand], AnswerSuspension, Any]]] = [
    ("the only one", ASKED, says(3), RESUMED),
    ("by its key", ASKED, says(3, "how many"), RESUMED),
    ("by its full name", ASKED, says(3, "0.0/how many"), RESUMED),
    ("of the wrong shape", ASKED, says("three"), InvalidResumeValue),
    ("to another name", ASKED, says(3, "how far"), SuspensionNotFound),
    ("without a name, of two", TWO_KEYS, says(3), AmbiguousSuspension),
    ("one of two", TWO_KEYS, says(3, "how big"), "run-resumed run-suspended"),
    ("a key that two calls have", TWO_CALLS, says(3, "size"), AmbiguousSuspension),
    ("one of two calls", TWO_CALLS, says(3, "0.1/size"), RESUMED),
    ("the same again", ANSWERED, says(3), ""),
    ("the same again, by its key", ANSWERED, says(3, "how many"), ""),
    ("another one", ANSWERED, says(4), AlreadyResumed),
    ("another one, by its key", ANSWERED, says(4, "how many"), AlreadyResumed),
    ("the same again, to a key with a question mark", SURE, says(3), ""),
    ("another one, to such a key", SURE, says(4), AlreadyResumed),
    ("to a run that runs", RUNNING, says(3), NotSuspended),
    ("to a run that is over", COMPLETED, says(3), NotSuspended),
    ("to a run that is cancelled", CANCELLED, says(3), NotSuspended),
    (
        "yes to an approval",
        APPROVAL,
        says({"approved": True}),
        AGREED,
    ),
    (
        "no to an approval",
        APPROVAL,
        says({"approved": False, "note": "no"}),
        "approval-denied tool-call-failed model-call-started",
    ),
    ("nonsense to an approval", APPROVAL, says("yes"), InvalidResumeValue),
    ("yes again", GRANTED, says({"approved": True}), ""),
    ("no after yes", GRANTED, says({"approved": False}), AlreadyDecided),
    ("an answer to a doubt", IN_DOUBT, says(3), InvalidResumeValue),
    ("an answer after a doubt", RESOLVED, says(3), NotSuspended),
    ("an answer to a doubt that is over", RESOLVED, says(3, "0.0?1"), NotSuspended),
]

DECISIONS: Final[list[tuple[str, Given[RunState, RunCommand], DecideApproval, Any]]] = [
    ("yes", APPROVAL, decides(True), AGREED),
    (
        "yes, with the digest",
        APPROVAL,
        decides(True, digest="d1"),
        AGREED,
    ),
    ("yes, with another digest", APPROVAL, decides(True, digest="d2"), ArgumentsChanged),
    ("no, with another digest", APPROVAL, decides(False, digest="d2"), ArgumentsChanged),
    (
        "yes, with other arguments",
        APPROVAL,
        decides(True, arguments={"n": 2}),
        AGREED,
    ),
    ("no", APPROVAL, decides(False), "approval-denied tool-call-failed model-call-started"),
    ("yes again", GRANTED, decides(True), ""),
    ("yes again, with the digest", GRANTED, decides(True, digest="d1"), ""),
    ("yes again, with other arguments", GRANTED, decides(True, arguments={"n": 2}), AlreadyDecided),
    ("no after yes", GRANTED, decides(False), AlreadyDecided),
    ("no again", DENIED, decides(False), ""),
    ("yes after no", DENIED, decides(True), AlreadyDecided),
    ("yes, in time", EXPIRES, decides(True, now_ns=SECOND - 1), AGREED),
    ("yes, too late", EXPIRES, decides(True, now_ns=SECOND), AlreadyDecided),
    ("no, too late", EXPIRES, decides(False, now_ns=SECOND), ""),
    ("another call", APPROVAL, decides(True, C1), SuspensionNotFound),
    ("a call that needs none", RUNNING, decides(True), NotSuspended),
    ("a run that is over", COMPLETED, decides(True), NotSuspended),
]

CANCELS: Final[list[tuple[str, Given[RunState, RunCommand], Any]]] = [
    ("a model call", play(START), "run-cancelled"),
    ("a tool call", RUNNING, "run-cancelled"),
    ("a suspension", ASKED, "run-cancelled"),
    ("an approval", APPROVAL, "run-cancelled"),
    ("a doubt", IN_DOUBT, "run-cancelled"),
    ("cancelled", CANCELLED, ""),
    ("completed", COMPLETED, AlreadyOver),
    ("not begun", given(), AlreadyOver),
]


def check(run: Given[RunState, RunCommand], command: RunCommand, expected: Any) -> None:
    if isinstance(expected, str):
        assert tags(run.when(command).decided) == expected.split()
    else:
        run.when(command).then_refused(expected)


@pytest.mark.parametrize(
    ("run", "command", "expected"),
    [pytest.param(run, command, expected, id=name) for name, run, command, expected in ANSWERS],
)
def test_an_answer(
    run: Given[RunState, RunCommand], command: RunCommand, expected: str | type[OutliveError]
) -> None:
    check(run, command, expected)


@pytest.mark.parametrize(
    ("run", "command", "expected"),
    [pytest.param(run, command, expected, id=name) for name, run, command, expected in DECISIONS],
)
def test_a_decision(
    run: Given[RunState, RunCommand], command: RunCommand, expected: str | type[OutliveError]
) -> None:
    check(run, command, expected)


@pytest.mark.parametrize(
    ("run", "expected"), [pytest.param(run, expected, id=name) for name, run, expected in CANCELS]
)
def test_a_cancel_beside(
    run: Given[RunState, RunCommand], expected: str | type[OutliveError]
) -> None:
    check(run, CancelRun(run_id="r", reason="enough"), expected)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("completed", "tool-call-resolved tool-call-completed model-call-started"),
        ("failed", "tool-call-resolved tool-call-failed model-call-started"),
        ("retry", "tool-call-resolved tool-call-started"),
    ],
)
def test_a_doubt_is_resolved_once(outcome: Any, expected: str) -> None:
    says = ResolveToolCall(run_id="r", call_id=C0, outcome=outcome)
    assert tags(IN_DOUBT.when(says).decided) == expected.split()
    after = IN_DOUBT.when(says).after
    assert after.when(says).decided == ()
    other = ResolveToolCall(
        run_id="r", call_id=C0, outcome="failed" if outcome != "failed" else "completed"
    )
    after.when(other).then_refused(AlreadyDecided)


def test_what_is_not_in_doubt_cannot_be_resolved() -> None:
    says = ResolveToolCall(run_id="r", call_id=C0, outcome="retry")
    RUNNING.when(says).then_refused(NotSuspended)
    ASKED.when(ResolveToolCall(run_id="r", call_id=C1, outcome="retry")).then_refused(
        SuspensionNotFound
    )


def test_what_an_attempt_comes_to_before_it_hears_of_the_cancel_is_recorded_once() -> None:
    cancelled = RUNNING.when(CancelRun(run_id="r")).after
    done = CompleteToolCall(call_id=C0, attempt=1, result=None)
    failed = FailToolCall(call_id=C0, attempt=1, error=Failure(kind="error"), now_ns=0)
    late = cancelled.when(done)
    late.then(ToolResultIgnored(call_id=C0, attempt=1, outcome="completed"))
    late.after.when(done).then()
    cancelled.when(failed).then(ToolResultIgnored(call_id=C0, attempt=1, outcome="failed"))
    cancelled.when(CompleteToolCall(call_id=C0, attempt=2, result=None)).then()
    ended = RUNNING.when(done).after.when(CancelRun(run_id="r")).after
    ended.when(done).then()


def test_a_timeout_leaves_a_doubt_where_a_person_is_to_say() -> None:
    late = FailToolCall(call_id=C0, attempt=1, error=Failure(kind="timeout"), now_ns=0, ask=True)
    assert tags(RUNNING.when(late).decided) == ["tool-call-in-doubt", "run-suspended"]


def test_the_attempt_that_asks_is_over() -> None:
    ASKED.when(CompleteStep(call_id=C0, attempt=1, key="k", value=1)).then_refused(AttemptEnded)
    assert ASKED.when(CompleteToolCall(call_id=C0, attempt=1, result=None)).decided == ()
    assert ASKED.when(asks("how many")).decided == ()
    ASKED.when(asks("how many", attempt=2)).then_refused(AttemptEnded)


def test_a_tool_is_called_again_once_all_that_it_asks_is_answered() -> None:
    one = TWO_KEYS.when(says(1, "how many")).after
    assert one.state.status == "suspended"
    both = one.when(says(2, "how big")).after
    assert both.state.status == "running"
    assert both.state.calls[C0].status == "started"
    assert both.state.calls[C0].attempt == 2
    assert both.state.calls[C0].failures == 0


def test_no_answer_in_time_is_a_no() -> None:
    run = play(START, wants(call(digest="d", expires_at_ns=5 * SECOND), call(digest="e")))
    assert run.when(Wake(now_ns=5 * SECOND - 1)).decided == ()
    wake = Wake(now_ns=5 * SECOND)
    assert tags(run.when(wake).decided) == ["approval-denied", "tool-call-failed", "run-suspended"]
    late = run.when(wake).after
    late.when(decides(True)).then_refused(AlreadyDecided)


def test_the_others_of_a_step_go_on_while_one_waits() -> None:
    run = play(START, wants(call(digest="d"), call()))
    assert run.state.status == "running"
    over = run.when(CompleteToolCall(call_id=C1, attempt=1, result=None)).after
    assert over.state.status == "suspended"


def test_a_suspended_run_is_not_recovered_and_takes_no_slots() -> None:
    assert ASKED.when(recover("retry")).decided == ()
    ASKED.when(Recover(epoch=2, in_doubt={}, model="other")).then(
        RunRecovered(epoch=2, model="other")
    )
    start = StartRun(agent_id="a", input="go", model="m", tool_concurrency=1)
    run = play(start, wants(call(digest="d"), call(digest="e"), call()))
    assert run.state.calls[CallId("0.2")].status == "started"


# -- what is recorded of it --

ATTEMPT_2: Final = play(START, wants(call()), recover("retry"))
IN_DOUBT_2: Final = ATTEMPT_2.when(recover("ask")).after
NEXT_CALL: Final = ModelCallStarted(step=1, model="m", messages=3)


def denied(message: str, call_id: CallId = C0) -> ToolCallFailed:
    return ToolCallFailed(call_id=call_id, attempt=0, error=Failure(kind="denied", message=message))


def resolved(outcome: Literal["completed", "failed", "retry"], note: str = "") -> ToolCallResolved:
    return ToolCallResolved(call_id=C0, attempt=2, outcome=outcome, note=note, by="p")


FACTS: Final[list[tuple[str, Given[RunState, RunCommand], RunCommand, tuple[RunEvent, ...]]]] = [
    (
        "a question",
        ATTEMPT_2,
        SuspendToolCall(call_id=C0, attempt=2, key="k", payload=["shown"], answer_schema=NUMBER),
        (
            ToolCallSuspended(
                call_id=C0, attempt=2, key="k", payload=["shown"], answer_schema=NUMBER
            ),
            RunSuspended(waiting=("0.0/k",)),
        ),
    ),
    (
        "an answer",
        ATTEMPT_2.when(asks("how many", attempt=2)).after,
        AnswerSuspension(value=3, by="p"),
        (
            RunResumed(call_id=C0, key="how many", value=3, by="p"),
            ToolCallStarted(call_id=C0, name="t", attempt=3),
        ),
    ),
    (
        "yes",
        APPROVAL,
        decides(True, note="fine", by="p"),
        (
            ApprovalGranted(call_id=C0, digest="d1", note="fine", by="p"),
            ToolCallStarted(call_id=C0, name="t"),
        ),
    ),
    (
        "yes, with other arguments",
        APPROVAL,
        decides(True, arguments={"n": 2}, digest="d1"),
        (
            ApprovalGranted(call_id=C0, digest=arguments_digest({"n": 2}), arguments={"n": 2}),
            ToolCallStarted(call_id=C0, name="t"),
        ),
    ),
    (
        "no",
        APPROVAL,
        decides(False, note="too much", by="p"),
        (
            ApprovalDenied(call_id=C0, reason="too much", by="p"),
            denied("it was not agreed to: too much"),
            NEXT_CALL,
        ),
    ),
    (
        "no, without a reason",
        APPROVAL,
        decides(False),
        (ApprovalDenied(call_id=C0), denied("it was not agreed to"), NEXT_CALL),
    ),
    (
        "yes, as an answer",
        APPROVAL,
        AnswerSuspension(value={"approved": True, "note": "fine"}, by="p"),
        (
            ApprovalGranted(call_id=C0, digest="d1", note="fine", by="p"),
            ToolCallStarted(call_id=C0, name="t"),
        ),
    ),
    (
        "nobody, in time",
        play(START, wants(*[call(digest="d", expires_at_ns=SECOND) for _ in range(2)], call())),
        Wake(now_ns=SECOND),
        (
            ApprovalDenied(call_id=C0, expired=True),
            denied("nobody has agreed to it in time"),
            ApprovalDenied(call_id=C1, expired=True),
            denied("nobody has agreed to it in time", C1),
        ),
    ),
    (
        "it is done",
        IN_DOUBT_2,
        ResolveToolCall(call_id=C0, outcome="completed", result=[1], note="seen", by="p"),
        (
            resolved("completed", "seen"),
            ToolCallCompleted(call_id=C0, attempt=2, result=[1]),
            NEXT_CALL,
        ),
    ),
    (
        "it has failed",
        IN_DOUBT_2,
        ResolveToolCall(call_id=C0, outcome="failed", note="not there", by="p"),
        (
            resolved("failed", "not there"),
            ToolCallFailed(
                call_id=C0, attempt=2, error=Failure(kind="resolved", message="not there")
            ),
            NEXT_CALL,
        ),
    ),
    (
        "it has failed, without a reason",
        IN_DOUBT_2,
        ResolveToolCall(call_id=C0, outcome="failed", by="p"),
        (
            resolved("failed"),
            ToolCallFailed(
                call_id=C0,
                attempt=2,
                error=Failure(kind="resolved", message="a person says that it failed"),
            ),
            NEXT_CALL,
        ),
    ),
    (
        "once more",
        IN_DOUBT_2,
        ResolveToolCall(call_id=C0, outcome="retry", by="p"),
        (resolved("retry"), ToolCallStarted(call_id=C0, name="t", attempt=3)),
    ),
    (
        "a crash in doubt",
        ATTEMPT_2,
        recover("ask"),
        (
            RunRecovered(epoch=2, attempt=2),
            ToolCallInDoubt(call_id=C0, attempt=2),
            RunSuspended(waiting=("0.0",)),
        ),
    ),
    (
        "a clean end while a person is waited for, and another model",
        ASKED,
        Recover(epoch=2, in_doubt={}, model="m2", clean=True),
        (RunRecovered(epoch=2, clean=True, model="m2"),),
    ),
    (
        "a timeout in doubt",
        ATTEMPT_2,
        FailToolCall(call_id=C0, attempt=2, error=Failure(kind="timeout"), now_ns=0, ask=True),
        (
            ToolCallInDoubt(call_id=C0, attempt=2, cause="timeout"),
            RunSuspended(waiting=("0.0",)),
        ),
    ),
    (
        "a failure in doubt",
        ATTEMPT_2,
        FailToolCall(call_id=C0, attempt=2, error=Failure(kind="error"), now_ns=0, ask=True),
        (ToolCallInDoubt(call_id=C0, attempt=2), RunSuspended(waiting=("0.0",))),
    ),
    (
        "a cancel",
        IN_DOUBT_2,
        CancelRun(reason="enough", by="p"),
        (RunCancelled(reason="enough", by="p"),),
    ),
]


@pytest.mark.parametrize(
    ("run", "command", "events"),
    [pytest.param(run, command, events, id=name) for name, run, command, events in FACTS],
)
def test_it_is_recorded_who_has_said_what_and_why_and_what_follows(
    run: Given[RunState, RunCommand], command: RunCommand, events: tuple[RunEvent, ...]
) -> None:
    run.when(command).then(*events)


# -- what a refusal says --

RESOLVED_TWICE: Final = play(
    START,
    wants(call()),
    recover("ask"),
    ResolveToolCall(call_id=C0, outcome="retry"),
    recover("ask"),
    ResolveToolCall(call_id=C0, outcome="completed"),
)


def resolves(outcome: Any, call_id: CallId = C0) -> ResolveToolCall:
    return ResolveToolCall(run_id="r", call_id=call_id, outcome=outcome)


REFUSALS: Final[list[tuple[Given[RunState, RunCommand], RunCommand, type[OutliveError], str]]] = [
    (RUNNING, says(3), NotSuspended, "run 'r' is not suspended: it is running"),
    (COMPLETED, says(3, "k"), NotSuspended, "run 'r' is not suspended: it is completed"),
    (ASKED, says("three"), InvalidResumeValue, "suspension '0.0/how many' of run 'r'.*Expected"),
    (ASKED, says(3, "k"), SuspensionNotFound, r"run 'r' .*'k' \(open: '0.0/how many'\)"),
    (TWO_KEYS, says(3), AmbiguousSuspension, "run 'r' .*: '0.0/how many', '0.0/how big'"),
    (
        play(START, wants(call(), call(), call()), asks("k"), asks("l", C1), asks("l", C2)),
        says(3, "l"),
        AmbiguousSuspension,
        "run 'r' .*: '0.1/l', '0.2/l'",
    ),
    (ANSWERED, says(4), AlreadyResumed, "'0.0/how many' of run 'r'"),
    (
        APPROVAL,
        says("yes"),
        InvalidResumeValue,
        "suspension '0.0' of run 'r' .*: an approval is answered with .*Expected `object`",
    ),
    (IN_DOUBT, says(3), InvalidResumeValue, "suspension '0.0' of run 'r' .*: it is in doubt"),
    (GRANTED, says({"approved": False}), AlreadyDecided, "'0.0' of run 'r' is granted"),
    (EXPIRES, decides(True, now_ns=SECOND), AlreadyDecided, "'0.0' of run 'r' is denied"),
    (
        EXPIRES,
        AnswerSuspension(run_id="r", value={"approved": True}, now_ns=SECOND),
        AlreadyDecided,
        "'0.0' of run 'r' is denied",
    ),
    (DENIED, decides(True), AlreadyDecided, "'0.0' of run 'r' is denied already"),
    (APPROVAL, decides(True, digest="d2"), ArgumentsChanged, "'0.0' of run 'r' .*'d1', not 'd2'"),
    (APPROVAL, decides(True, C1), SuspensionNotFound, r"run 'r' .*'0.1' \(open: '0.0'\)"),
    (COMPLETED, decides(True), NotSuspended, "run 'r' is not suspended: it is completed"),
    (COMPLETED, resolves("retry"), NotSuspended, "run 'r' is not suspended: it is completed"),
    (IN_DOUBT, resolves("retry", C1), SuspensionNotFound, r"run 'r' .*'0.1' \(open: '0.0'\)"),
    (RESOLVED, resolves("failed"), AlreadyDecided, "'0.0' of run 'r' is resolved as completed"),
    (RESOLVED_TWICE, resolves("retry"), AlreadyDecided, "is resolved as completed already"),
    (ANSWERED, resolves("completed"), NotSuspended, "run 'r' is not suspended"),
    (GRANTED, resolves("completed"), NotSuspended, "run 'r' is not suspended: it is running"),
    (ASKED, asks("k", attempt=2), AttemptEnded, "attempt 2 of .*'0.0'"),
    (APPROVAL, asks("k", attempt=0), AttemptEnded, "attempt 0 of .*'0.0'"),
    (COMPLETED, asks("k"), AttemptEnded, "attempt 1 of .*'0.0'"),
    (COMPLETED, CancelRun(run_id="r"), AlreadyOver, "run 'r' is over already: completed"),
    (given(), CancelRun(run_id="r"), AlreadyOver, "run 'r' is over already: none"),
]


@pytest.mark.parametrize(("run", "command", "error", "words"), REFUSALS)
def test_a_refusal_names_the_run_and_what_stands_in_the_way(
    run: Given[RunState, RunCommand], command: RunCommand, error: type[OutliveError], words: str
) -> None:
    run.when(command).then_refused(error, match=words)


def test_what_a_person_says_begins_the_count_of_recoveries_anew() -> None:
    crashed = play(START, wants(call(), call(digest="d")), recover("retry"))
    assert crashed.state.recoveries == 1
    assert crashed.when(decides(True, C1)).after.state.recoveries == 0


def test_consent_that_was_given_in_time_does_not_expire_while_the_call_waits_its_turn() -> None:
    start = StartRun(agent_id="a", input="go", model="m", tool_concurrency=1)
    asked = play(start, wants(call(), call(digest="d", expires_at_ns=SECOND)))
    agreed = asked.when(decides(True, C1)).after
    row = open_entry(agreed.state)
    assert row is not None
    assert row.wake_at_ns is None
    assert agreed.when(Wake(now_ns=SECOND)).decided == ()


def test_a_key_may_be_any_text() -> None:
    for key in ("a/b", "sure?", "0.0", "a?b/c"):
        asked = play(START, wants(call()), asks(key))
        answered = asked.when(says(3, key)).after
        assert tags(answered.events[-2:]) == RESUMED.split()
        answered.when(says(3, key)).then()
        answered.when(says(4, key)).then_refused(AlreadyResumed)


def test_what_was_said_twice_is_known_also_where_something_else_is_open() -> None:
    two = play(START, wants(call(digest="d1"), call(digest="d2")))
    one = two.when(decides(True)).after
    one.when(decides(True)).then()
    one.when(decides(False)).then_refused(AlreadyDecided)
    one.when(says({"approved": True}, "0.0")).then()
    asked = play(START, wants(call(), call()), asks("size"), asks("size", C1), says(1, "0.0/size"))
    asked.when(says(1, "0.0/size")).then()
    asked.when(says(2, "0.0/size")).then_refused(AlreadyResumed, match="'0.0/size'")
    assert tags(asked.when(says(2, "size")).decided)[0] == "run-resumed", "the one that is open"


def test_other_arguments_that_were_agreed_to_are_agreed_to_once() -> None:
    other = APPROVAL.when(decides(True, arguments={"n": 2})).after
    other.when(decides(True, arguments={"n": 2})).then()
    other.when(decides(True, digest=arguments_digest({"n": 2}))).then()
    other.when(decides(True)).then()
    other.when(decides(True, digest="d1")).then_refused(AlreadyDecided, match="granted")
    other.when(decides(True, arguments={"n": 3})).then_refused(AlreadyDecided)


def test_the_row_says_how_many_answers_are_waited_for() -> None:
    def waiting_for(run: Given[RunState, RunCommand]) -> str | None:
        row = open_entry(run.state)
        assert row is not None
        return row.summary.get("waiting_for")

    assert [waiting_for(run) for run in (RUNNING, ASKED, APPROVAL, IN_DOUBT)] == [
        *(None, "1", "1", "1")
    ]
    assert [waiting_for(run) for run in (TWO_KEYS, TWO_CALLS)] == ["2", "2"]
