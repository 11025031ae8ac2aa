"""Answers that are more than text: read as a type, sent back once when they do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    ModelRequest,
    Runtime,
    ScriptedModel,
    StopAfterSteps,
    StopOnText,
    ToolCall,
    Turn,
    tool,
)
from outlive.actors.output import OutputType
from outlive.actors.run.commands import CompleteModelCall, ConcludeCheck, StartRun
from outlive.events import (
    Failure,
    InvalidDefinition,
    ModelCallCompleted,
    ModelCallStarted,
    OutputRejected,
    RunCompleted,
    RunFailed,
    RunUnsuccessful,
    UnserialisableValue,
)
from outlive.events.run.stopping import StopFunction
from outlive.projections import RunResult, UserMessage
from outlive.testing import Given, given
from tests.support import Machine


class City(msgspec.Struct):
    """A city."""

    name: str
    people: int = 0


@dataclass
class Place:
    name: str
    city: City


WRONG: Final = Failure(kind="invalid_output", message="malformed")
BAD: Final = CompleteModelCall(
    step=0, attempt=1, text="hm", problem=WRONG, repairs=1, repair="Again."
)
REJECTED: Final = OutputRejected(error=WRONG, message="Again.")
ANSWERED: Final = ModelCallCompleted(text="hm")


def begun(**more: Any) -> Given[Any, Any]:
    return given().when(StartRun(agent_id="a", input="hi", model="m", **more)).after


def test_an_answer_that_fits_is_the_end_and_its_value_is_recorded() -> None:
    answer = CompleteModelCall(step=0, attempt=1, text='{"n": 1}', data={"n": 1})
    begun().when(answer).then(ModelCallCompleted(text='{"n": 1}'), RunCompleted(data={"n": 1}))


def test_an_answer_that_does_not_fit_is_sent_back_with_the_reason() -> None:
    again = (
        begun().when(BAD).then(ANSWERED, REJECTED, ModelCallStarted(step=1, model="m", messages=3))
    )
    assert (again.state.messages, again.state.repairs) == (3, 1)


def test_a_second_one_ends_the_run() -> None:
    second = msgspec.structs.replace(BAD, step=1)
    begun().when(BAD, second).then(
        ModelCallCompleted(step=1, text="hm"),
        OutputRejected(step=1, error=WRONG, message="Again."),
        RunFailed(error=WRONG),
    )


def test_a_run_that_has_to_end_while_its_answer_does_not_fit_has_failed() -> None:
    failed = (ANSWERED, REJECTED, RunFailed(error=WRONG))
    begun(max_steps=1).when(BAD).then(*failed)
    begun(stop_when=(StopAfterSteps(1),)).when(BAD).then(*failed)
    begun(stop_when=(StopOnText("hm"),)).when(BAD).then(*failed)
    asked = begun(stop_when=(StopFunction("f"),)).when(BAD).then(ANSWERED, REJECTED)
    asked.when(ConcludeCheck(step=1, number=0, stop="f")).then(RunFailed(error=WRONG))


def answering(*texts: str, type: Any = City, **more: Any) -> tuple[RunResult, Machine]:
    agent = Agent(
        "a", model=ScriptedModel([Turn(text) for text in texts]), output_type=type, **more
    )
    machine = Machine()
    return machine.run(lambda rt: rt.run("a", "hi", run_id="r1"), agent), machine


def test_a_result_has_text_plain_data_and_the_value() -> None:
    result, _ = answering('{"name": "Delft"}')
    assert result.output == '{"name": "Delft"}'
    assert result.data == {"name": "Delft", "people": 0}
    assert result.output_as(City) == City("Delft")


def test_a_dataclass_will_do_and_json_within_a_fence() -> None:
    text = '```json\n{"name": "home", "city": {"name": "Delft", "people": 3}}\n```'
    result, _ = answering(text, type=Place)
    assert result.output_as(Place) == Place("home", City("Delft", 3))


def test_a_pydantic_model_will_do() -> None:
    pydantic = pytest.importorskip("pydantic")

    def even(value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value

    validators = {"even": pydantic.field_validator("n")(even)}
    Even: Any = pydantic.create_model("Even", n=(int, ...), __validators__=validators)
    result, machine = answering('{"n": 3}', '{"n": 4}', type=Even)
    assert result.data == {"n": 4}
    assert result.output_as(Even).n == 4
    (rejected,) = [e for e in machine.events("r1") if isinstance(e, OutputRejected)]
    assert "odd" in rejected.error.message
    with pytest.raises(UnserialisableValue, match="odd"):
        msgspec.structs.replace(result, data={"n": 5}).output_as(Even)


def test_the_model_is_given_the_schema_and_what_was_wrong_with_its_answer() -> None:
    asked: list[ModelRequest] = []

    def answer(request: ModelRequest) -> Turn:
        asked.append(request)
        return Turn('{"name": 3}' if request.step == 0 else '{"name": "Delft"}')

    agent = Agent("a", model=ScriptedModel(answer), output_type=City)
    result = Machine().run(lambda rt: rt.run("a", "hi"), agent)
    assert (result.status, result.steps) == ("completed", 2)
    schema = asked[0].output_schema
    assert schema is not None
    assert (schema["title"], schema["required"]) == ("City", ["name"])
    told = asked[1].messages[-1]
    assert isinstance(told, UserMessage)
    assert "Expected `str`, got `int` - at `$.name`" in told.text
    assert result.messages[2] == told


def test_an_answer_that_never_fits_fails_the_run() -> None:
    result, machine = answering("no", "never", '{"name": "late"}')
    assert result.error is not None
    assert (result.status, result.error.kind, result.steps) == ("failed", "invalid_output", 2)
    assert machine.kinds("r1").count("output-rejected") == 2
    assert result.data is None
    with pytest.raises(RunUnsuccessful, match="invalid_output"):
        result.output_as(City)


def test_output_repairs_says_how_often() -> None:
    assert answering("no", output_repairs=0)[0].status == "failed"
    assert answering("no", "no", '{"name": "x"}', output_repairs=2)[0].data == {
        "name": "x",
        "people": 0,
    }


def test_tools_are_called_before_the_answer_and_their_text_is_not_read() -> None:
    @tool(read_only=True)
    async def look() -> str:
        """Look."""
        return "seen"

    turns = [Turn("let me see", tool_calls=[ToolCall("look")]), Turn('{"name": "x"}')]
    agent = Agent("a", model=ScriptedModel(turns), tools=[look], output_type=City)
    result = Machine().run(lambda rt: rt.run("a", "hi"), agent)
    assert result.output_as(City) == City("x")
    stops = Agent(
        "a",
        model=ScriptedModel(turns),
        tools=[look],
        output_type=City,
        stop_when=[StopAfterSteps(1)],
    )
    stopped = Machine().run(lambda rt: rt.run("a", "hi"), stops)
    assert (stopped.status, stopped.data) == ("completed", None)
    with pytest.raises(UnserialisableValue):
        stopped.output_as(City)


def test_after_a_crash_the_model_reads_the_same_message_and_uses_the_same_repair() -> None:
    seen: list[tuple[int, str]] = []

    def answer(request: ModelRequest) -> Turn:
        seen.append((request.step, request.messages[-1].text))
        return Turn("never")

    agent = Agent("a", model=ScriptedModel(answer), output_type=City)
    machine = Machine()

    async def start(rt: Runtime) -> None:
        await (await rt.start("a", "hi", run_id="r1")).result()

    machine.crash(start, agent, commits=2)
    result = machine.run(lambda rt: rt.result("r1"), agent)
    assert (result.status, result.steps) == ("failed", 2)
    assert len({text for step, text in seen if step == 1}) == 1


def test_a_type_that_raises_anything_does_no_harm() -> None:
    class Picky(msgspec.Struct):
        n: int

        def __post_init__(self) -> None:
            raise KeyError(self.n)

    assert OutputType(Picky, "a").read('{"n": 1}') == (None, "1")
    assert OutputType(City, "a").read("\ud800")[0] is None


@pytest.mark.parametrize("wrong", [int, str, dict, list[City], City("x"), "City", object])
def test_what_is_no_output_type_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidDefinition, match="a msgspec Struct, a dataclass or a pydantic"):
        Agent("a", model=EchoModel(), output_type=wrong)


def test_a_type_without_a_schema_and_repairs_that_are_no_count_are_refused() -> None:
    @dataclass
    class Odd:
        what: complex

    with pytest.raises(InvalidDefinition, match="no JSON Schema"):
        Agent("a", model=EchoModel(), output_type=Odd)
    with pytest.raises(InvalidDefinition, match="output_repairs"):
        Agent("a", model=EchoModel(), output_type=City, output_repairs=-1)
