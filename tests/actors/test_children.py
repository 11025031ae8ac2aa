"""What a run does about its child runs and its parent, as tables."""

from __future__ import annotations

from typing import Final, Literal

import pytest
from msgspec.structs import replace

from outlive.actors import Agent, EchoModel
from outlive.actors.mail import Acknowledge, Deliver
from outlive.actors.run.children import child_run_id, with_children
from outlive.actors.run.commands import (
    CancelRun,
    CompleteModelCall,
    EndChildRun,
    PlannedCall,
    Recover,
    RefuseChildRun,
    RunCommand,
    StartRun,
    SuspendToolCall,
)
from outlive.actors.run.entity import open_entry, outstanding
from outlive.events import (
    AlreadyOver,
    CallId,
    ChildRun,
    ChildRunEnded,
    ChildRunStarted,
    Failure,
    MessageDelivered,
    MessageId,
    ModelCallStarted,
    ParentCall,
    RunCancelled,
    RunExists,
    RunId,
    RunState,
    StopOnTool,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    Usage,
    Value,
    run_stream,
)
from outlive.testing import Given, given
from tests.support.machine import tags

C0, C1 = CallId("0.0"), CallId("0.1")
FIRST, SECOND = RunId("p:0.0"), RunId("p:0.1")
TO_FIRST = run_stream(FIRST)
PARENT: Final = MessageId(sender=run_stream("p"), sequence=1)
START: Final = StartRun(agent_id="a", input="go", model="m")
AS_A_CHILD: Final = StartRun(
    agent_id="h",
    input="do it",
    model="m",
    parent=ParentCall(run_id=RunId("p"), call_id=C0),
    message=PARENT,
)


def sub_agent(run_id: RunId = FIRST) -> PlannedCall:
    return PlannedCall(
        name="h", arguments={"input": "do it"}, child=ChildRun(run_id=run_id, agent_id="h")
    )


TOOL: Final = PlannedCall(name="t", arguments={})


def wants(*planned: PlannedCall) -> CompleteModelCall:
    return CompleteModelCall(step=0, attempt=1, tool_calls=planned)


def ended(
    call_id: CallId = C0,
    run_id: RunId = FIRST,
    status: Literal["completed", "failed", "cancelled"] = "completed",
    error: Failure | None = None,
    result: Value = "it is done",
) -> EndChildRun:
    return EndChildRun(
        message=MessageId(sender=run_stream(run_id), sequence=1),
        call_id=call_id,
        run_id=run_id,
        status=status,
        result=None if error is not None else result,
        error=error,
        usage=Usage(input_tokens=2, output_tokens=3),
    )


def play(*commands: RunCommand, start: StartRun = START) -> Given[RunState, RunCommand]:
    run: Given[RunState, RunCommand] = given().when(start).after
    for command in commands:
        run = run.when(command).after
    return run


CALLED: Final = play(wants(sub_agent()))
DELIVERED: Final = play(wants(sub_agent()), Acknowledge(sequence=1))
CHILD: Final = play(start=AS_A_CHILD)

# -- a call of a sub-agent --


def test_a_sub_agent_is_called_by_a_run_of_its_own_and_no_tool_is_started() -> None:
    run = play()
    decided = run.when(wants(sub_agent(), TOOL)).decided
    assert decided[1:] == (
        ChildRunStarted(call_id=C0, run_id=FIRST, agent_id="h"),
        ToolCallStarted(call_id=C1, name="t"),
    )


def test_the_child_is_owed_its_start_until_that_is_acknowledged() -> None:
    assert outstanding(CALLED.state) == {Deliver(1, TO_FIRST, "start", "0.0"): None}
    CALLED.when(Acknowledge(sequence=1)).then(MessageDelivered(sequence=1, to=TO_FIRST))
    assert outstanding(DELIVERED.state) == {}
    DELIVERED.when(Acknowledge(sequence=1)).then()


def test_who_waits_for_children_alone_is_waiting_and_owes_nothing() -> None:
    for run, owes in ((CALLED, True), (DELIVERED, False)):
        entry = open_entry(run.state)
        assert entry is not None
        assert (entry.status, entry.owes) == ("waiting", owes)


def test_who_waits_for_a_child_and_a_person_is_waiting_and_says_both() -> None:
    run = play(wants(sub_agent(), TOOL), SuspendToolCall(call_id=C1, attempt=1, key="k"))
    entry = open_entry(run.state)
    assert entry is not None
    assert (entry.status, entry.summary["waiting_for"]) == ("waiting", "1")
    assert tags(run.when(ended()).decided)[-1] == "run-suspended"


def test_who_also_works_is_running() -> None:
    entry = open_entry(play(wants(sub_agent(), TOOL)).state)
    assert entry is not None
    assert entry.status == "running"


def test_children_take_the_places_of_tools() -> None:
    start = StartRun(agent_id="a", input="go", model="m", tool_concurrency=1)
    run = play(wants(sub_agent(), sub_agent(SECOND)), start=start)
    assert tags(run.events).count("child-run-started") == 1
    assert tags(run.when(ended()).decided) == [
        "child-run-ended",
        "tool-call-completed",
        "child-run-started",
    ]


# -- its end --


def test_what_a_child_came_to_is_the_result_of_the_call() -> None:
    DELIVERED.when(ended()).then(
        ChildRunEnded(
            call_id=C0,
            run_id=FIRST,
            status="completed",
            usage=Usage(input_tokens=2, output_tokens=3),
            message=MessageId(sender=TO_FIRST, sequence=1),
        ),
        ToolCallCompleted(call_id=C0, result="it is done"),
        ModelCallStarted(step=1, model="m", messages=3),
    )


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_child_without_a_result_is_a_failed_call_and_the_model_goes_on(
    status: Literal["failed", "cancelled"],
) -> None:
    error = Failure(kind=f"child_{status}", message="so it is")
    decided = DELIVERED.when(ended(status=status, error=error)).decided
    assert decided[1:] == (
        ToolCallFailed(call_id=C0, error=error),
        ModelCallStarted(step=1, model="m", messages=3),
    )


def test_the_usage_of_children_is_that_of_the_run() -> None:
    assert DELIVERED.when(ended()).after.state.usage == Usage(input_tokens=2, output_tokens=3)


def test_an_end_told_twice_is_applied_once_and_the_child_is_forgotten() -> None:
    run = DELIVERED.when(ended()).after
    run.when(ended()).then()
    assert run.state.mail.heard == {}


def test_an_end_may_come_before_the_start_is_acknowledged() -> None:
    run = CALLED.when(ended()).after
    assert run.state.step == 1
    run.when(Acknowledge(sequence=1)).then(MessageDelivered(sequence=1, to=TO_FIRST))


@pytest.mark.parametrize(
    "told", [ended(run_id=SECOND), ended(call_id=C1), ended(CallId("1.0"), SECOND)]
)
def test_the_end_of_a_run_that_answers_no_open_call_changes_nothing(told: EndChildRun) -> None:
    DELIVERED.when(told).then()


def test_a_success_may_be_what_the_run_stops_on() -> None:
    start = StartRun(agent_id="a", input="go", model="m", stop_when=(StopOnTool("h"),))
    run = play(wants(sub_agent()), start=start)
    assert tags(run.when(ended()).decided)[-1] == "run-completed"


def test_a_child_that_cannot_begin_fails_its_call_once() -> None:
    refused = RefuseChildRun(
        sequence=1, call_id=C0, run_id=FIRST, error=Failure(kind="child_failed", message="no")
    )
    CALLED.when(refused).then(
        MessageDelivered(sequence=1, to=TO_FIRST),
        ChildRunEnded(call_id=C0, run_id=FIRST, status="failed"),
        ToolCallFailed(call_id=C0, error=refused.error),
        ModelCallStarted(step=1, model="m", messages=3),
    )
    CALLED.when(refused).after.when(refused).then()


def test_a_recovery_leaves_child_runs_alone() -> None:
    run = play(wants(sub_agent(), TOOL))
    decided = run.when(Recover(epoch=2, in_doubt={}, model="m")).decided
    assert tags(decided) == ["run-recovered", "tool-call-started"]


# -- cancelling --


def test_a_cancelled_run_takes_back_a_start_and_cancels_what_it_may_have_begun() -> None:
    run = CALLED.when(CancelRun(reason="enough")).then(RunCancelled(reason="enough"))
    assert outstanding(run.state) == {Deliver(2, TO_FIRST, "cancel", "0.0"): None}
    run.when(Acknowledge(sequence=1)).then()


def test_a_child_that_waits_for_its_turn_is_not_cancelled_as_it_never_began() -> None:
    one_at_a_time = replace(START, tool_concurrency=1)
    run = play(wants(sub_agent(), sub_agent(SECOND)), start=one_at_a_time)
    assert run.state.calls[C0].attempt == 1
    over = run.when(CancelRun()).after
    assert outstanding(over.state) == {Deliver(2, TO_FIRST, "cancel", "0.0"): None}


def test_a_run_that_is_over_stays_open_until_its_children_have_heard() -> None:
    run = DELIVERED.when(CancelRun()).after
    entry = open_entry(run.state)
    assert entry is not None
    assert (entry.status, entry.over, entry.owes) == ("cancelled", True, True)
    assert open_entry(run.when(Acknowledge(sequence=2)).after.state) is None


def test_an_end_that_comes_too_late_is_not_applied() -> None:
    DELIVERED.when(CancelRun()).after.when(ended()).then()


# -- as a child --


def test_a_child_knows_its_parent_and_tells_it_when_it_is_over() -> None:
    assert CHILD.state.parent == AS_A_CHILD.parent
    run = CHILD.when(CompleteModelCall(step=0, attempt=1, text="so")).after
    assert run.state.status == "completed"
    assert outstanding(run.state) == {Deliver(1, run_stream("p"), "ended", "0.0"): None}


def test_a_start_that_is_told_twice_starts_one_run() -> None:
    CHILD.when(AS_A_CHILD).then()


def test_a_run_that_somebody_else_has_started_is_nobodys_child() -> None:
    other = StartRun(agent_id="h", input="do it", model="m")
    play(start=other).when(AS_A_CHILD).then_refused(RunExists)
    CHILD.when(other).then()  # The same again, whoever asks.


def test_a_child_that_its_parent_cancels_does_not_tell_it() -> None:
    cancel = CancelRun(reason="over", message=MessageId(sender=PARENT.sender, sequence=2))
    run = CHILD.when(cancel).then(RunCancelled(reason="over", message=cancel.message))
    assert outstanding(run.state) == {}
    run.when(cancel).then()


def test_a_child_that_is_cancelled_alone_tells_its_parent() -> None:
    run = CHILD.when(CancelRun()).after
    assert [type(effect) for effect in outstanding(run.state)] == [Deliver]


def test_a_parent_that_cancels_what_is_over_or_never_began_is_not_refused() -> None:
    cancel = CancelRun(message=MessageId(sender=PARENT.sender, sequence=2))
    CHILD.when(CompleteModelCall(step=0, attempt=1, text="so")).after.when(cancel).then()
    given().when(cancel).then()
    given().when(CancelRun()).then_refused(AlreadyOver)


# -- ids --


def test_the_id_of_a_child_says_whose_it_is() -> None:
    assert child_run_id(RunId("7f3a"), C0) == "7f3a:0.0"
    assert child_run_id(child_run_id(RunId("7f3a"), C0), CallId("2.1")) == "7f3a:0.0:2.1"


def test_an_id_that_would_be_too_long_is_a_digest_and_always_the_same_one() -> None:
    long = RunId("ä" * 99)
    run_id = child_run_id(long, C0)
    assert len(run_id) == 32
    assert run_id == child_run_id(long, C0) != child_run_id(long, C1)
    assert run_id != child_run_id(RunId("ö" * 99), C0)
    run_stream(run_id)
    longest = child_run_id(RunId("a" * 196), C0)
    assert longest == "a" * 196 + ":0.0"
    run_stream(longest)


def test_the_calls_of_sub_agents_that_can_be_made_get_the_ids_of_their_runs() -> None:
    helper = Agent("h", model=EchoModel())
    boss = Agent("b", model=EchoModel(), agents=[helper])
    plain = replace(sub_agent(), child=None)
    refused = replace(plain, problem=Failure(kind="invalid_arguments"))
    answer = CompleteModelCall(
        step=2, attempt=3, text="x", tool_calls=(TOOL, plain, refused, plain), elapsed_ms=7
    )
    assert with_children(answer, boss, RunId("p")) == replace(
        answer,
        tool_calls=(
            TOOL,
            sub_agent(RunId("p:2.1")),
            refused,
            sub_agent(RunId("p:2.3")),
        ),
    )
