"""Models: what they are asked, what becomes of their answers, and of answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    Finish,
    Model,
    ModelPart,
    ModelRequest,
    ReasoningDelta,
    Runtime,
    ScriptedModel,
    ScriptExhausted,
    TextDelta,
    ToolCall,
    ToolCallPart,
    Turn,
    tool,
)
from outlive.events import (
    CallId,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    RequestedToolCall,
    Usage,
)
from outlive.projections import AssistantMessage, RunResult, ToolMessage, UserMessage
from tests.support import SECOND, START_NS, Machine, clock, run_virtual, tag

Pause = float


class Parts:
    """A model that yields these parts, and waits between them where a number stands."""

    name = "parts"

    def __init__(self, *parts: object) -> None:
        self._parts = parts
        self.ended = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        try:
            for part in self._parts:
                if isinstance(part, Pause):
                    await asyncio.sleep(part)
                elif isinstance(part, BaseException):
                    raise part
                else:
                    yield part  # type: ignore[misc]  # pyright: ignore[reportReturnType]
        finally:
            self.ended += 1


@tool(read_only=True)
async def double(n: int) -> int:
    """Double a number."""
    return 2 * n


def answered(
    model: Model, *, timeout: float | None = None, retry: int = 3
) -> tuple[RunResult, Machine]:
    """Run an agent with this model to its end."""
    machine = Machine()

    async def body(rt: Runtime) -> RunResult:
        run = await rt.start("a", "hi", run_id="r1")
        return await run.result(timeout=timeout)

    agent = Agent(
        "a",
        model=model,
        tools=[double],
        instructions="Be brief.",
        max_steps=3,
        model_retry=retry,
    )
    return machine.run(body, agent), machine


def deltas(machine: Machine) -> list[tuple[float, str, str]]:
    """Return when each delta was recorded, its kind and its text."""
    from outlive.events import run_stream

    return [
        ((recorded.recorded_at_ns - START_NS) / SECOND, recorded.event.kind, recorded.event.text)
        for recorded in machine.log.read(run_stream("r1"))
        if isinstance(recorded.event, ModelDelta)
    ]


# -- what a model is asked --


def test_a_model_is_given_the_messages_so_far_in_the_order_in_which_it_asked() -> None:
    requests: list[ModelRequest] = []

    def script(request: ModelRequest) -> Turn:
        requests.append(request)
        if request.step == 0:
            return Turn("well", tool_calls=[ToolCall("double", {"n": n}) for n in (1, 2)])
        return Turn("done")

    answered(ScriptedModel(script))
    first, second = requests
    assert (first.run_id, first.agent_id, first.step, first.attempt) == ("r1", "a", 0, 1)
    assert (second.step, second.attempt) == (1, 1)
    assert first.instructions == "Be brief."
    assert [schema.name for schema in first.tools] == ["double"]
    assert first.messages == (UserMessage(text="hi"),)
    calls = tuple(
        RequestedToolCall(call_id=CallId(f"0.{n}"), name="double", arguments={"n": n + 1})
        for n in range(2)
    )
    assert second.messages == (
        UserMessage(text="hi"),
        AssistantMessage(text="well", tool_calls=calls),
        ToolMessage(call_id=CallId("0.0"), name="double", result=2),
        ToolMessage(call_id=CallId("0.1"), name="double", result=4),
    )


def test_a_model_is_given_as_many_messages_as_the_log_says() -> None:
    counts: list[int] = []

    def script(request: ModelRequest) -> Turn:
        counts.append(len(request.messages))
        calls = [ToolCall("double", {"n": n}) for n in range(request.step + 1)]
        return Turn(tool_calls=calls) if request.step < 2 else Turn("done")

    _, machine = answered(ScriptedModel(script))
    events = [event for event in machine.events("r1") if isinstance(event, ModelCallStarted)]
    assert [event.messages for event in events] == counts == [1, 3, 6]


def test_provider_ids_reasoning_and_usage_are_kept() -> None:
    model = Parts(
        Usage(input_tokens=5),
        ReasoningDelta("let me "),
        ReasoningDelta("think"),
        TextDelta("I ask."),
        ToolCallPart("double", {"n": 4}, "prov-1"),
        Usage(output_tokens=7),
        Finish("tool_calls"),
    )
    _, machine = answered(model)
    event = next(e for e in machine.events("r1") if isinstance(e, ModelCallCompleted))
    assert event.reasoning == "let me think"
    assert event.usage == Usage(input_tokens=5, output_tokens=7)
    assert event.tool_calls[0].provider_id == "prov-1"
    answer = next(
        e for e in machine.run(lambda rt: rt.result("r1")).messages if isinstance(e, ToolMessage)
    )
    assert answer.provider_id == "prov-1"


def test_arguments_may_come_as_json_text() -> None:
    model = ScriptedFirst([ToolCallPart("double", '{"n": 21}'), Finish()])
    result, _ = answered(model)
    assert [m.result for m in result.messages if isinstance(m, ToolMessage)] == [42]


class ScriptedFirst:
    """Yields these parts at the first step, and ends at the second."""

    name = "first"

    def __init__(self, parts: Sequence[ModelPart]) -> None:
        self._parts = parts
        self.seen: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        self.seen.append(request)
        for part in self._parts if request.step == 0 else (TextDelta("done"), Finish()):
            yield part


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{n: 1}", "not valid JSON"),
        ("[1]", "no JSON object"),
        ("5", "no JSON object"),
        ("null", "no JSON object"),
        ('{"n": "\ud800"}', "not valid JSON"),
        ('{"n": 1', "not valid JSON"),
        ("{" * 5_000, "not valid JSON"),
        (5, "no JSON object"),
        (None, "no JSON object"),
        ({"n": object()}, "not valid JSON"),
    ],
)
def test_arguments_that_are_no_json_object_go_back_to_the_model(
    arguments: Any, message: str
) -> None:
    model = ScriptedFirst([ToolCallPart("double", arguments), Finish()])
    result, machine = answered(model)
    assert result.status == "completed"
    (answer,) = (m for m in result.messages if isinstance(m, ToolMessage))
    assert answer.error is not None
    assert answer.error.kind == "invalid_arguments"
    assert message in answer.error.message
    assert model.seen[1].messages[-1] == answer, "the model is told"
    assert "tool-call-started" not in machine.kinds("r1")


def test_no_arguments_at_all_are_an_empty_object() -> None:
    @tool(read_only=True)
    async def ping() -> str:
        return "pong"

    machine = Machine()
    agent = Agent("a", model=ScriptedFirst([ToolCallPart("ping", ""), Finish()]), tools=[ping])
    result = machine.run(lambda rt: rt.run("a", "hi"), agent)
    assert [m.result for m in result.messages if isinstance(m, ToolMessage)] == ["pong"]


def test_a_tool_that_does_not_exist_goes_back_to_the_model_with_those_that_do() -> None:
    model = ScriptedFirst([ToolCallPart("ghost", {}), Finish()])
    result, _ = answered(model)
    (answer,) = (m for m in result.messages if isinstance(m, ToolMessage))
    assert answer.error is not None
    assert answer.error.kind == "unknown_tool"
    assert "'ghost'" in answer.error.message
    assert "double" in answer.error.message


@pytest.mark.parametrize("name", ["", "x" * 5_000, "\ud800"])
def test_a_tools_name_that_makes_no_sense_is_that_of_an_unknown_tool(name: str) -> None:
    result, _ = answered(ScriptedFirst([ToolCallPart(name, {}), Finish()]))
    (answer,) = (m for m in result.messages if isinstance(m, ToolMessage))
    assert answer.error is not None
    assert answer.error.kind == "unknown_tool"


# -- answers that are none --


@pytest.mark.parametrize(
    "error",
    [
        ValueError("boom"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError("its own"),
        ScriptExhausted("x"),
        StopAsyncIteration(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("said", [(), (TextDelta("so "), TextDelta("far "))], ids=["", "late"])
def test_a_model_that_raises_fails_the_run_with_its_reason(
    said: Sequence[ModelPart], error: BaseException
) -> None:
    result, machine = answered(Parts(*said, 0.1, error))
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == "error"
    assert machine.kinds("r1")[-2:] == ["model-call-failed", "run-failed"]
    assert "".join(text for _, _, text in deltas(machine)) == ("so far " if said else "")


def test_a_model_that_raises_before_its_first_part_fails_the_run() -> None:
    class Broken:
        name = "broken"

        def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
            raise ValueError("at once")

    result, _ = answered(Broken())
    assert result.error is not None
    assert result.error.message == "ValueError: at once"


def test_a_model_that_breaks_off_fails_the_run_and_what_it_said_is_kept() -> None:
    result, machine = answered(Parts(TextDelta("so "), TextDelta("far"), 1.0), retry=0)
    assert (result.status, result.output) == ("failed", "")
    assert result.error is not None
    assert result.error.kind == "incomplete"
    assert [text for _, _, text in deltas(machine)] == ["so far"]
    failed = next(e for e in machine.events("r1") if isinstance(e, ModelCallFailed))
    assert failed.elapsed_ms == 1_000


@pytest.mark.parametrize("part", ["text", None, 5, {"text": "x"}, object(), TextDelta])
def test_a_model_that_yields_what_is_no_part_fails_the_run(part: object) -> None:
    class Odd:
        name = "odd"

        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
            yield TextDelta("x")
            yield part  # type: ignore[misc]  # pyright: ignore[reportReturnType]

    result, _ = answered(Odd())
    assert result.error is not None
    assert "ModelParts" in result.error.message


def part(of: Callable[..., Any], *values: object, **named: object) -> Any:
    """A part with values of the wrong type."""
    return of(*values, **named)


def wrong(name: str, *parts: object) -> Any:
    return pytest.param(parts, id=name)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((part(ToolCallPart, None, {}), Finish()), id="name is None"),
        pytest.param((part(Usage, input_tokens=None), Finish()), id="usage is None"),
        wrong("text is a number", part(TextDelta, 5), Finish()),
        wrong("text is bytes", part(TextDelta, b"x"), Finish()),
        wrong("reasoning is a list", part(ReasoningDelta, ["x"]), Finish()),
        wrong("text is no Unicode", TextDelta("\ud800"), TextDelta("x"), Finish()),
        wrong("reason is no Unicode", TextDelta("x"), Finish("\ud800")),
        wrong("id is no Unicode", ToolCallPart("double", {}, "\ud800"), Finish()),
        wrong("usage is huge", Usage(input_tokens=2**70), Finish()),
        wrong("usage is a fraction", part(Usage, input_tokens=0.5), Finish()),
        wrong("reason is None", TextDelta("x"), part(Finish, None)),
        wrong("reason is a number", TextDelta("x"), part(Finish, 5)),
        wrong("id is None", part(ToolCallPart, "double", {}, None), Finish()),
        wrong("id is a number", part(ToolCallPart, "double", {}, 5), Finish()),
    ],
)
def test_a_part_with_a_value_of_the_wrong_kind_fails_the_run(parts: tuple[object, ...]) -> None:
    result, machine = answered(Parts(*parts), timeout=60)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == "error"
    assert machine.log.read_all(), "and every record can be read"


@pytest.mark.parametrize("after", [TextDelta("more"), Finish(), ToolCallPart("double", {"n": 1})])
def test_a_part_after_the_end_fails_the_run(after: ModelPart) -> None:
    result, _ = answered(Parts(TextDelta("x"), Finish(), after))
    assert result.status == "failed"


def test_a_models_iterator_is_closed_also_if_its_answer_was_of_no_use() -> None:
    for parts in ((TextDelta("x"), Finish()), (TextDelta("x"), "rubbish", 1_000.0)):
        model = Parts(*parts)
        answered(model)
        assert model.ended == 1


def test_a_models_iterator_is_closed_before_the_run_goes_on() -> None:
    order: list[str] = []

    class Odd:
        name = "odd"

        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
            keep.append(request)
            try:
                yield "rubbish"  # type: ignore[misc]  # pyright: ignore[reportReturnType]
            finally:
                order.append("closed")

    class Keeping(Odd):
        def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
            stream = super().stream(request)
            keep.append(stream)  # as a reference cycle would
            return stream

    keep: list[object] = []

    async def body(rt: Runtime) -> None:
        await rt.run("a", "hi")
        order.append("failed")

    Machine().run(body, Agent("a", model=Keeping()))
    assert order == ["closed", "failed"]


@pytest.mark.parametrize("who", ["model", "tool"])
def test_who_cancels_its_own_task_has_failed(who: str) -> None:
    async def cancel_myself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    class Cancelling:
        name = "cancelling"

        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
            if who == "model":
                await cancel_myself()
            if request.step == 0:
                yield ToolCallPart("work", {})
            yield Finish()

    @tool(read_only=True)
    async def work() -> None:
        await cancel_myself()

    async def body(rt: Runtime) -> RunResult:
        run = await rt.start("a", "hi")
        return await run.result(timeout=60)

    result = Machine().run(body, Agent("a", model=Cancelling(), tools=[work]))
    assert result.status == ("failed" if who == "model" else "completed")


@pytest.mark.parametrize("broken", ["run.world.call_model", "tool_calls.ToolAttempt"])
def test_an_error_of_our_own_while_performing_an_effect_does_not_hang_the_run(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a bug of ours")

    async def body(rt: Runtime) -> RunResult:
        run = await rt.start("a", "hi")
        return await run.result(timeout=60)

    monkeypatch.setattr(f"outlive.actors.{broken}", fails)
    agent = Agent(
        "a", model=ScriptedFirst([ToolCallPart("double", {"n": 1}), Finish()]), tools=[double]
    )
    assert Machine().run(body, agent).status in ("failed", "completed", "quarantined")


# -- deltas --


def test_an_answer_of_one_part_has_no_delta() -> None:
    _, machine = answered(Parts(0.1, TextDelta("x" * 5_000), 0.1, Finish()))
    assert deltas(machine) == []
    event = next(e for e in machine.events("r1") if isinstance(e, ModelCallCompleted))
    assert len(event.text) == 5_000


def test_pieces_that_come_within_25_ms_are_one_delta() -> None:
    pieces: list[object] = []
    for number in range(10):
        pieces += [0.01, TextDelta(str(number))]
    _, machine = answered(Parts(*pieces, 0.1, Finish()))
    # The first piece waits for the second (20 ms); from there on 25 ms.
    assert deltas(machine) == [
        (0.045, "text", "0123"),
        (0.075, "text", "456"),
        (0.105, "text", "789"),
    ]


def test_1024_characters_are_recorded_at_once() -> None:
    _, machine = answered(
        Parts(TextDelta("a"), TextDelta("b" * 1_022), 0.001, TextDelta("c"), 0.1, Finish())
    )
    assert [(at, len(text)) for at, _, text in deltas(machine)] == [(0.001, 1_024)]


def test_reasoning_and_text_are_deltas_apart() -> None:
    _, machine = answered(
        Parts(
            ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("y"), TextDelta("es"), 0.1, Finish()
        )
    )
    assert deltas(machine) == [(0.0, "reasoning", "hm"), (0.025, "text", "yes")]


def test_what_is_still_held_back_when_the_answer_is_complete_is_in_the_answer_only() -> None:
    result, machine = answered(Parts(TextDelta("a"), 1.0, TextDelta("b"), TextDelta("c"), Finish()))
    assert deltas(machine) == []
    assert result.output == "abc"


def test_what_is_held_back_when_the_answer_breaks_off_is_recorded_before_the_failure() -> None:
    _, machine = answered(Parts(TextDelta("a"), TextDelta("b"), ValueError("x")))
    assert machine.kinds("r1")[2:4] == ["model-delta", "model-call-failed"]


def test_empty_pieces_are_nothing() -> None:
    _, machine = answered(Parts(TextDelta(""), TextDelta("a"), TextDelta(""), 0.1, Finish()))
    assert deltas(machine) == []


def test_deltas_add_up_to_the_answer() -> None:
    words = [f"w{number} " for number in range(300)]
    parts: list[object] = []
    for word in words:
        parts += [TextDelta(word), 0.007]
    result, machine = answered(Parts(*parts, 1.0, Finish()))
    assert "".join(text for _, _, text in deltas(machine)) == "".join(words) == result.output
    assert len(deltas(machine)) < 100


# -- models that need no network --


async def parts_of(model: Model, step: int = 0) -> list[tuple[float, ModelPart]]:
    request = ModelRequest(
        run_id="r",
        agent_id="a",
        step=step,
        attempt=1,
        instructions="",
        tools=(),
        messages=(UserMessage(text="one two"),),
    )
    return [(clock().seconds, part) async for part in model.stream(request)]


def test_a_scripted_model_streams_a_word_a_delta_then_its_calls_its_usage_and_the_end() -> None:
    model = ScriptedModel(
        [
            Turn(
                "one  two\nthree",
                tool_calls=[ToolCall("t", {"x": 1}), ToolCall("u")],
                usage=Usage(input_tokens=1),
            )
        ]
    )
    assert [part for _, part in run_virtual(parts_of(model))] == [
        TextDelta("one  "),
        TextDelta("two\n"),
        TextDelta("three"),
        ToolCallPart("t", {"x": 1}),
        ToolCallPart("u", {}),
        Usage(input_tokens=1),
        Finish("tool_calls"),
    ]


def test_a_scripted_model_waits_before_each_part_and_takes_chunks_in_the_place_of_words() -> None:
    model = ScriptedModel([Turn("ignored", chunks=["ab", "cd"], delay=0.5)])
    assert run_virtual(parts_of(model)) == [
        (0.5, TextDelta("ab")),
        (1.0, TextDelta("cd")),
        (1.0, Finish("stop")),
    ]


def test_a_scripted_model_plays_the_turn_of_the_step_and_raises_past_the_end() -> None:
    model = ScriptedModel([Turn("zero"), Turn("one")], name="mine")
    assert model.name == "mine"
    assert run_virtual(parts_of(model, 1))[0] == (0.0, TextDelta("one"))
    with pytest.raises(ScriptExhausted, match="2 turns"):
        run_virtual(parts_of(model, 2))
    result, _ = answered(ScriptedModel([]))
    assert result.error is not None
    assert result.error.exception == "ScriptExhausted"


def test_a_script_may_be_a_function_of_the_request() -> None:
    result, _ = answered(ScriptedModel(lambda request: Turn(f"step {request.step}")))
    assert result.output == "step 0"


def test_a_scripted_error_comes_after_the_text_and_a_turn_may_be_cut_off() -> None:
    for turn in (Turn("a b", error=ValueError("x")), Turn("a b", cut_off=True)):
        result, machine = answered(ScriptedModel([turn]), retry=0)
        assert result.status == "failed"
        assert "".join(text for _, _, text in deltas(machine)) == "a b"


def test_an_echo_model_answers_with_the_last_user_message_in_one_part() -> None:
    assert run_virtual(parts_of(EchoModel())) == [(0.0, TextDelta("one two")), (0.0, Finish())]
    assert isinstance(EchoModel(), Model)
    assert isinstance(ScriptedModel([]), Model)


def test_one_model_serves_many_runs_at_once() -> None:
    async def body(rt: Runtime) -> list[str]:
        results = await asyncio.gather(*(rt.run("a", f"input {n}") for n in range(100)))
        return [result.output for result in results]

    outputs = Machine().run(body, Agent("a", model=EchoModel()))
    assert outputs == [f"input {n}" for n in range(100)]


def test_the_end_of_an_answer_says_why_it_ended_and_how_long_it_took() -> None:
    _, machine = answered(Parts(0.25, TextDelta("x"), 0.25, Finish("length")))
    event = next(e for e in machine.events("r1") if isinstance(e, ModelCallCompleted))
    assert (event.finish_reason, event.elapsed_ms) == ("length", 500)
    assert tag(machine.events("r1")[-1]) == "run-completed"
