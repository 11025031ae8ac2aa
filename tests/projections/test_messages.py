"""A run's events as messages."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from outlive.events import (
    BackgroundResultReceived,
    CallId,
    Event,
    Failure,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    RequestedToolCall,
    RunCompleted,
    RunRecovered,
    RunStarted,
    ToolCallCompleted,
    ToolCallDeferred,
    ToolCallFailed,
    ToolCallStarted,
    ToolProgressed,
    ToolResultIgnored,
    ToolStepCompleted,
    Value,
)
from outlive.projections import (
    AssistantMessage,
    Message,
    ToolMessage,
    Transcript,
    UserMessage,
    messages_of,
)

C0, C1, C2 = CallId("0.0"), CallId("0.1"), CallId("0.2")
BOOM = Failure(kind="timeout", message="no result within 5 s")
START = RunStarted(agent_id="a", input="hi")
CALLS = tuple(
    RequestedToolCall(call_id=call_id, name=name, arguments={"n": n}, provider_id=f"p{n}")
    for n, (call_id, name) in enumerate([(C0, "t"), (C1, "u"), (C2, "t")])
)
ASK = ModelCallCompleted(text="well", reasoning="hm", tool_calls=CALLS)
ANSWERS = (
    ToolCallCompleted(call_id=C0, result={"x": 1}),
    ToolCallFailed(call_id=C1, error=BOOM),
    ToolCallCompleted(call_id=C2, attempt=3, result="text"),
)
TOLD = (
    ToolMessage(call_id=C0, name="t", result={"x": 1}, provider_id="p0"),
    ToolMessage(call_id=C1, name="u", error=BOOM, provider_id="p1"),
    ToolMessage(call_id=C2, name="t", result="text", provider_id="p2"),
)
ASKED = (UserMessage(text="hi"), AssistantMessage(text="well", reasoning="hm", tool_calls=CALLS))


def folded(*events: Event) -> Transcript:
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    return transcript


def test_a_run_is_its_input_and_what_was_answered() -> None:
    assert messages_of([START, ModelCallCompleted(text="ho"), RunCompleted()]) == (
        UserMessage(text="hi"),
        AssistantMessage(text="ho"),
    )
    assert messages_of([]) == ()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_answers_stand_in_the_order_in_which_the_model_asked(order: tuple[int, ...]) -> None:
    events = [START, ASK, *(ANSWERS[index] for index in order)]
    assert messages_of(events) == (*ASKED, *TOLD)
    assert tuple(folded(*events).messages) == (*ASKED, *TOLD)


def test_answers_of_a_step_that_is_not_done_are_shown_but_not_yet_given_to_the_model() -> None:
    transcript = folded(START, ASK, ANSWERS[2], ANSWERS[0])
    assert tuple(transcript.messages) == ASKED
    assert transcript.all() == (*ASKED, TOLD[0], TOLD[2])
    transcript.apply(ANSWERS[1])
    assert tuple(transcript.messages) == transcript.all() == (*ASKED, *TOLD)


def test_a_failure_that_is_retried_is_no_answer() -> None:
    retried = ToolCallFailed(call_id=C1, error=BOOM, retry_at_ns=5)
    assert messages_of([START, ASK, retried, *ANSWERS]) == (*ASKED, *TOLD)


@pytest.mark.parametrize(
    "event",
    [
        RunRecovered(epoch=2),
        ModelCallStarted(model="m"),
        ModelDelta(text="x"),
        ModelCallFailed(error=BOOM),
        ModelAttemptAbandoned(),
        ToolCallStarted(call_id=C0, name="t"),
        ToolStepCompleted(call_id=C0, key="k", value=1),
        ToolProgressed(call_id=C0, done=1.0),
        ToolResultIgnored(call_id=C0),
        RunCompleted(),
    ],
    ids=lambda event: type(event).__name__,
)
def test_all_else_says_nothing(event: Event) -> None:
    quiet = folded(START, ASK, event)
    assert quiet.all() == ASKED
    assert quiet.calls == folded(START, ASK).calls


def test_an_answer_to_what_was_not_asked_is_passed_over() -> None:
    stray = ToolCallCompleted(call_id=CallId("7.7"), result=1)
    assert messages_of([START, stray, ASK, stray]) == ASKED


def test_the_calls_are_those_of_the_last_answer() -> None:
    later = (RequestedToolCall(call_id=CallId("1.0"), name="v"),)
    transcript = folded(START, ASK, *ANSWERS, ModelCallCompleted(step=1, tool_calls=later))
    assert list(transcript.calls) == ["1.0"]
    assert list(folded(START, ASK, ModelCallCompleted(step=1)).calls) == []


def test_the_output_is_the_text_of_the_last_answer() -> None:
    assert folded(START).output == ""
    assert folded(START, ASK).output == "well"
    assert folded(START, ASK, *ANSWERS).output == "well"
    assert folded(START, ASK, *ANSWERS, ModelCallCompleted(step=1)).output == ""


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is\n", "as it is\n"),
        (None, "null"),
        (5, "5"),
        (True, "true"),
        ([1, {"a": "é"}], '[1,{"a":"é"}]'),
        (b"\x00\xff", '"AP8="'),
        (float("nan"), "null"),
    ],
)
def test_a_result_reads_as_text_if_it_is_text_and_as_json_if_not(result: Value, text: str) -> None:
    assert ToolMessage(call_id=C0, name="t", result=result).text == text


def test_an_error_reads_as_what_it_is() -> None:
    assert TOLD[1].text == "error (timeout): no result within 5 s"


def test_messages_survive_being_stored() -> None:
    data = msgspec.json.encode((*ASKED, *TOLD))
    assert msgspec.json.decode(data, type=tuple[Message, ...]) == (*ASKED, *TOLD)


def deferred(call_id: CallId) -> ToolCallDeferred:
    return ToolCallDeferred(call_id=call_id, task_id=f"r:{call_id}")


def received(call_id: CallId, error: Failure | None = None) -> BackgroundResultReceived:
    return BackgroundResultReceived(
        call_id=call_id,
        task_id=f"r:{call_id}",
        status="succeeded" if error is None else "timed_out",
        result={"x": 1} if error is None else None,
        error=error,
    )


def test_a_deferred_call_is_answered_at_once_and_its_result_is_told_later() -> None:
    told = messages_of([START, ASK, deferred(C0), *ANSWERS[1:], received(C0)])
    assert isinstance(told[2], ToolMessage)
    assert told[2].text.startswith("queued as background task r:0.0")
    assert told[3:5] == TOLD[1:]
    text = 'Background task r:0.0 (tool t) succeeded: {"x":1}'
    assert told[5] == UserMessage(text=text, call_id=C0)


def test_a_failure_of_a_task_is_told_just_the_same() -> None:
    told = messages_of([START, ASK, deferred(C0), *ANSWERS[1:], received(C0, BOOM)])
    text = "Background task r:0.0 (tool t) timed out: error (timeout): no result within 5 s"
    assert told[-1] == UserMessage(text=text, call_id=C0)


def test_a_result_does_not_come_in_between_a_call_and_its_answer() -> None:
    events = [START, ASK, deferred(C0), ANSWERS[1], received(C0)]
    assert [type(one) for one in messages_of(events)[2:]] == [ToolMessage, ToolMessage, UserMessage]
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    assert tuple(transcript.messages) == ASKED
    transcript.apply(ANSWERS[2])
    assert [type(one) for one in transcript.messages[2:]] == [*[ToolMessage] * 3, UserMessage]


def test_what_is_told_of_an_answered_call_or_twice_is_not_told_again() -> None:
    done = [START, ASK, *ANSWERS]
    assert messages_of([*done, received(C0)]) == messages_of(done)
    later = [START, ASK, deferred(C0), *ANSWERS[1:], received(C0)]
    assert messages_of([*later, received(C0)]) == messages_of(later)
