"""What runs say to each other, made of their events."""

from __future__ import annotations

from typing import Any

import pytest

from outlive.actors import Agent, EchoModel
from outlive.actors.mail import Deliver
from outlive.actors.run import messages
from outlive.actors.run.commands import CancelRun, EndChildRun, RefuseChildRun, StartRun
from outlive.actors.run.messages import parcel
from outlive.actors.run.notes import Notes
from outlive.events import (
    CallId,
    ChildRun,
    ChildRunEnded,
    Event,
    EventTooLarge,
    Failure,
    MessageId,
    ModelCallCompleted,
    OutliveError,
    ParentCall,
    RequestedToolCall,
    RunCancelled,
    RunCompleted,
    RunExists,
    RunFailed,
    RunId,
    RunStarted,
    Usage,
    run_stream,
)

P, CHILD, C0 = RunId("p"), RunId("p:0.0"), CallId("0.0")
HELPER = Agent("helper", model=EchoModel(), max_steps=3)
CALL = RequestedToolCall(
    call_id=C0,
    name="helper",
    arguments={"input": "do it"},
    child=ChildRun(run_id=CHILD, agent_id="helper"),
)
STARTED = RunStarted(agent_id="a", input="go", request_context={"user": "Ada"}, metadata={"m": 1})
SPENT = Usage(input_tokens=2, output_tokens=1)


def says(run_id: RunId, message: Deliver, *events: Event) -> Any:
    """Return what a run with these events says."""
    notes = Notes()
    notes.apply(events)
    return parcel(message, run_id, notes, {"helper": HELPER})


def start() -> Any:
    message = Deliver(1, run_stream(CHILD), "start", C0)
    return says(P, message, STARTED, ModelCallCompleted(tool_calls=(CALL,)))


def end(*events: Event) -> EndChildRun:
    message = Deliver(1, run_stream(P), "ended", C0)
    told = says(CHILD, message, RunStarted(agent_id="helper", input="x"), *events).command
    assert isinstance(told, EndChildRun)
    assert (told.message, told.call_id) == (MessageId(sender=run_stream(CHILD), sequence=1), C0)
    return told


def test_a_start_is_that_of_the_sub_agent_as_it_is_registered_now() -> None:
    assert start().command == StartRun(
        agent_id="helper",
        input="do it",
        model=HELPER.model.name,
        max_steps=3,
        request_context={"user": "Ada"},
        parent=ParentCall(run_id=P, call_id=C0),
        message=MessageId(sender=run_stream(P), sequence=1),
    )


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (RunExists(""), "child_failed", "another run of this id"),
        (EventTooLarge(70 << 20, 64 << 20), "too_large", "could not begin"),
    ],
)
def test_a_start_that_is_refused_fails_the_call(error: OutliveError, kind: str, why: str) -> None:
    told = start().refused(error)
    assert isinstance(told, RefuseChildRun)
    assert (told.sequence, told.call_id, told.run_id) == (1, C0, CHILD)
    assert told.error.kind == kind
    assert why in told.error.message


def test_a_cancellation_says_whose_and_reaches_who_stands_still() -> None:
    told = says(P, Deliver(2, run_stream(CHILD), "cancel", C0), STARTED)
    assert told.ends
    assert isinstance(told.command, CancelRun)
    assert "'p'" in told.command.reason
    assert told.command.message == MessageId(sender=run_stream(P), sequence=2)


def test_an_end_has_the_text_or_what_it_says_and_all_that_was_spent() -> None:
    answer = ModelCallCompleted(text="42", usage=SPENT)
    child = ChildRunEnded(call_id=C0, run_id=RunId("x"), status="completed", usage=SPENT)
    told = end(child, answer, RunCompleted())
    assert (told.status, told.result, told.error) == ("completed", "42", None)
    assert told.usage == SPENT + SPENT
    assert end(answer, RunCompleted(data={"n": 42})).result == {"n": 42}


def test_an_end_without_a_result_says_why() -> None:
    told = end(RunFailed(error=Failure(kind="timeout", message="too late")))
    assert (told.status, told.error) == (
        "failed",
        Failure(kind="child_failed", message="timeout: too late"),
    )
    told = end(RunCancelled(reason="enough"))
    assert (told.status, told.error) == (
        "cancelled",
        Failure(kind="child_cancelled", message="enough"),
    )


def test_a_result_that_is_too_large_for_the_call_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise EventTooLarge(70 << 20, 64 << 20)

    monkeypatch.setattr(messages, "check_size", refuse)
    told = end(ModelCallCompleted(text="42"), RunCompleted())
    assert (told.status, told.result) == ("completed", None)
    assert told.error is not None
    assert told.error.kind == "too_large"
