"""What a run came to."""

from __future__ import annotations

import pytest

from outlive.events import (
    CallId,
    Event,
    Failure,
    MemoryLog,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    OpenEntry,
    RequestedToolCall,
    RunCompleted,
    RunFailed,
    RunNotFound,
    RunStarted,
    RunState,
    RunUnsuccessful,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
    Version,
    run_stream,
)
from outlive.projections import (
    AssistantMessage,
    RunResult,
    ToolMessage,
    UserMessage,
    fold_run,
    read_run,
    result_of,
    run_result,
)

C0, C1 = CallId("0.0"), CallId("0.1")
BOOM = Failure(kind="error", message="boom", exception="ValueError")
START = (RunStarted(agent_id="a", input="hi"), ModelCallStarted(model="m", messages=1))
CALLS = tuple(RequestedToolCall(call_id=call_id, name="t") for call_id in (C0, C1))
ASKED = ModelCallCompleted(
    text="well", tool_calls=CALLS, usage=Usage(input_tokens=1, output_tokens=2)
)


def summary(*events: Event, entry: OpenEntry | None = None) -> RunResult:
    state, transcript = fold_run(events)
    return result_of("r1", state, transcript, entry)


def written(*events: Event, entry: OpenEntry | None = None) -> MemoryLog:
    log = MemoryLog()
    log.append(run_stream("r1"), events, expected_version=Version(0), entry=entry).result()
    return log


def test_a_completed_run_has_its_output_its_messages_and_what_it_used() -> None:
    last = ModelCallCompleted(step=1, text="done", usage=Usage(input_tokens=10, output_tokens=20))
    found = summary(
        *START,
        ASKED,
        ToolCallCompleted(call_id=C1, result=1),
        ToolCallCompleted(call_id=C0, result=0),
        last,
        RunCompleted(finish_reason="length"),
    )
    assert found == RunResult(
        run_id="r1",
        status="completed",
        output="done",
        finish_reason="length",
        messages=(
            UserMessage(text="hi"),
            AssistantMessage(text="well", tool_calls=CALLS),
            ToolMessage(call_id=C0, name="t", result=0),
            ToolMessage(call_id=C1, name="t", result=1),
            AssistantMessage(text="done"),
        ),
        usage=Usage(input_tokens=11, output_tokens=22),
        steps=2,
    )
    assert found.unwrap() == "done"


def test_a_failed_run_has_its_error_and_what_was_said_before() -> None:
    found = summary(*START, ASKED, ModelCallFailed(step=1, error=BOOM), RunFailed(error=BOOM))
    assert (found.status, found.error, found.output, found.steps) == ("failed", BOOM, "well", 1)
    with pytest.raises(RunUnsuccessful, match="'r1' is failed: error: boom") as caught:
        found.unwrap()
    assert (caught.value.run_id, caught.value.status) == ("r1", "failed")


def test_a_running_run_has_no_reason_to_have_finished_and_shows_the_answers_so_far() -> None:
    found = summary(
        *START,
        ASKED,
        ToolCallStarted(call_id=C0, name="t"),
        ToolCallCompleted(call_id=C1, result=1),
    )
    assert (found.status, found.finish_reason, found.error) == ("running", "", None)
    assert found.messages[-1] == ToolMessage(call_id=C1, name="t", result=1)
    with pytest.raises(RunUnsuccessful, match="running"):
        found.unwrap()


@pytest.mark.parametrize("status", ["blocked", "quarantined"])
def test_a_run_that_stands_still_says_so_and_why(status: str) -> None:
    entry = OpenEntry(kind="run", status=status, owes=True, reason="agent 'a' is not registered")
    found = summary(*START, entry=entry)
    assert found.status == status
    assert found.error == Failure(kind=status, message="agent 'a' is not registered")
    with pytest.raises(RunUnsuccessful, match="agent 'a' is not registered"):
        found.unwrap()


def test_a_row_that_does_not_stand_still_says_nothing_new() -> None:
    assert summary(*START, entry=OpenEntry(kind="run", status="running")) == summary(*START)


def test_nothing_folds_into_nothing() -> None:
    state, transcript = fold_run([])
    assert state == RunState()
    assert transcript.all() == ()
    assert summary().status == "none"


def test_it_is_read_from_the_log_together_with_its_row() -> None:
    entry = OpenEntry(kind="run", status="blocked", reason="why")
    log = written(*START, entry=entry)
    assert run_result(log, "r1").status == "blocked"
    other = OpenEntry(kind="run", status="quarantined", reason="the caller knows better")
    assert run_result(log, "r1", entry=other).status == "quarantined"
    assert run_result(written(*START), "r1").status == "running"


def test_an_unknown_run_is_not_found() -> None:
    with pytest.raises(RunNotFound):
        read_run(MemoryLog(), "ghost")
    with pytest.raises(RunNotFound):
        run_result(written(*START), "ghost")


def test_a_long_run_is_read_to_its_end() -> None:
    many = [ModelDelta(text=str(number)) for number in range(2_345)]
    found = read_run(written(*START, *many), "r1")
    assert [recorded.version for recorded in found] == list(range(1, 2_348))
    exactly_a_page = read_run(written(*START, *many[:998]), "r1")
    assert len(exactly_a_page) == 1_000
