"""Ends of a run that its agent's user has asked for: which, when, and over restarts."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    RunContext,
    Runtime,
    ScriptedModel,
    StopAfterSteps,
    StopOnText,
    StopOnTool,
    SyncRuntime,
    ToolCall,
    Turn,
    tool,
)
from outlive.actors.run.commands import (
    CallModel,
    CheckStop,
    CompleteModelCall,
    CompleteToolCall,
    ConcludeCheck,
    FailToolCall,
    PlannedCall,
    Recover,
    StartRun,
)
from outlive.actors.run.entity import open_entry, outstanding
from outlive.events import (
    CallId,
    Event,
    Failure,
    InvalidDefinition,
    ModelCallStarted,
    RunCompleted,
    RunFailed,
    RunRecovered,
    ToolCallCompleted,
    ToolCallStarted,
)
from outlive.events.run.stopping import StopCondition, StopFunction
from outlive.projections import RunResult
from outlive.testing import Given, given
from tests.support import Machine

C0, C1 = CallId("0.0"), CallId("0.1")


def asked(
    *conditions: StopCondition, names: tuple[str, ...] = ("t",), text: str = ""
) -> Given[Any, Any]:
    """Return a run whose model has asked for calls, all of which have been started."""
    start = StartRun(agent_id="a", input="hi", model="m", stop_when=conditions)
    calls = tuple(PlannedCall(name=name, arguments={}) for name in names)
    answer = CompleteModelCall(step=0, attempt=1, text=text, tool_calls=calls)
    return given().when(start, answer).after


def last(history: Given[Any, Any], *commands: Any) -> Event:
    return history.when(*commands).decided[-1]


DONE: Final = CompleteToolCall(call_id=C0, attempt=1, result="ok")
FAILED: Final = FailToolCall(call_id=C0, attempt=1, error=Failure(kind="error"), now_ns=0)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (StopAfterSteps(1), "stop_after_steps:1"),
        (StopAfterSteps(2), None),
        (StopOnTool("t"), "stop_on_tool:t"),
        (StopOnTool("u"), None),
        (StopOnText("DONE"), "stop_on_text:DONE"),
        (StopOnText("done"), None),
    ],
)
def test_a_condition_that_is_met_ends_the_run_with_its_step(
    condition: StopCondition, reason: str | None
) -> None:
    ended = last(asked(condition, text="All DONE."), DONE)
    if reason is None:
        assert isinstance(ended, ModelCallStarted)
    else:
        assert ended == RunCompleted(finish_reason=reason)


def test_a_tool_that_has_failed_is_no_reason_to_stop() -> None:
    assert isinstance(last(asked(StopOnTool("t")), FAILED), ModelCallStarted)


def test_the_other_calls_of_the_step_come_to_their_end_first() -> None:
    two = asked(StopOnTool("t"), names=("t", "u"))
    one = two.when(DONE).then(ToolCallCompleted(call_id=C0, result="ok"))
    ended = last(one, CompleteToolCall(call_id=C1, attempt=1, result=None))
    assert ended == RunCompleted(finish_reason="stop_on_tool:t")


def test_of_several_conditions_the_one_that_is_met_first_is_told() -> None:
    several = asked(StopOnTool("t"), StopOnText("x"), StopAfterSteps(1), text="x")
    assert last(several, DONE) == RunCompleted(finish_reason="stop_on_text:x")


def test_what_held_in_an_earlier_step_holds_no_more() -> None:
    answer = CompleteModelCall(step=1, attempt=1, tool_calls=(PlannedCall(name="u", arguments={}),))
    before = asked(StopOnTool("t"), names=("u",)).when(DONE, answer).after
    call = CompleteToolCall(call_id=CallId("1.0"), attempt=1, result="")
    assert isinstance(last(before, call), ModelCallStarted)


CHECKING: Final = (
    asked(StopFunction("enough")).when(DONE).then(ToolCallCompleted(call_id=C0, result="ok"))
)


def test_registered_functions_are_asked_when_a_step_is_over() -> None:
    assert list(outstanding(CHECKING.state)) == [CheckStop(1, 0)]
    row = open_entry(CHECKING.state)
    assert row is not None
    assert row.owes


def test_what_they_say_is_followed_once() -> None:
    on = CHECKING.when(ConcludeCheck(step=1, number=0)).then(
        ModelCallStarted(step=1, model="m", messages=3)
    )
    assert list(outstanding(on.state)) == [CallModel(1, 1)]
    on.when(ConcludeCheck(step=1, number=0, stop="enough")).then()
    CHECKING.when(ConcludeCheck(step=1, number=0, stop="enough")).then(
        RunCompleted(finish_reason="stop_function:enough")
    )
    CHECKING.when(ConcludeCheck(step=0, number=0, stop="enough")).then()
    error = Failure(kind="stop_function")
    CHECKING.when(ConcludeCheck(step=1, number=0, error=error)).then(RunFailed(error=error))


def test_they_are_asked_again_after_a_crash_but_not_while_they_are_being_asked() -> None:
    recover = Recover(epoch=2, in_doubt={}, model="m")
    again = CHECKING.when(recover).then(RunRecovered(epoch=2))
    assert list(outstanding(again.state)) == [CheckStop(1, 1)]
    again.when(ConcludeCheck(step=1, number=0, stop="enough")).then()
    running = Recover(epoch=2, in_doubt={}, model="m", running=frozenset({CheckStop(1, 0)}))
    CHECKING.when(running).then()


def test_nobody_is_asked_when_the_run_ends_anyway() -> None:
    both = asked(StopFunction("enough"), StopAfterSteps(1))
    assert last(both, DONE) == RunCompleted(finish_reason="stop_after_steps:1")


@tool(read_only=True)
async def look(what: str) -> str:
    """Look something up."""
    return f"{what} seen"


def looking(*stop_when: Any, steps: int = 9) -> Agent:
    turns = [
        Turn(f"step {n}", tool_calls=[ToolCall("look", {"what": f"{n}"})]) for n in range(steps)
    ]
    return Agent("a", model=ScriptedModel(turns), tools=[look], stop_when=stop_when)


def test_a_function_sees_what_is_recorded_and_the_deps() -> None:
    seen: list[RunContext] = []

    async def enough(context: RunContext) -> bool:
        await asyncio.sleep(1)
        seen.append(context)
        return bool(context.messages[-1].text == context.deps)

    machine = Machine()
    result = machine.run(
        lambda rt: rt.run("a", "go", run_id="r1", metadata={"for": "me"}),
        looking("enough"),
        functions={"enough": enough},
        deps="1 seen",
    )
    assert (result.status, result.finish_reason, result.steps) == (
        "completed",
        "stop_function:enough",
        2,
    )
    assert [(c.step, c.agent_id, c.metadata, len(c.messages)) for c in seen] == [
        (1, "a", {"for": "me"}, 3),
        (2, "a", {"for": "me"}, 5),
    ]


def third_step(context: RunContext) -> bool:
    return context.step == 3


def test_a_plain_function_will_do_and_one_that_raises_fails_the_run() -> None:
    assert _run(looking("f"), {"f": third_step}).steps == 3

    def broken_one(context: RunContext) -> bool:
        raise LookupError(context.step)

    broken = _run(looking("f"), {"f": broken_one})
    assert broken.error is not None
    assert (broken.status, broken.error.kind) == ("failed", "stop_function")


def _run(agent: Agent, functions: Any) -> RunResult:
    return Machine().run(lambda rt: rt.run("a", "go"), agent, functions=functions)


def test_what_held_at_the_start_of_a_run_holds_after_a_restart() -> None:
    machine = Machine()
    machine.crash(
        lambda rt: rt.start("a", "go", run_id="r1"), looking(StopAfterSteps(2)), commits=2
    )
    result = machine.run(lambda rt: rt.result("r1"), looking())
    assert (result.finish_reason, result.steps) == ("stop_after_steps:2", 2)


def test_a_run_whose_function_is_missing_is_blocked_until_it_is_there() -> None:
    functions = {"enough": third_step}
    machine = Machine()

    async def start(rt: Runtime) -> None:
        await rt.start("a", "go", run_id="r1")

    machine.crash(start, looking("enough"), functions=functions)
    result = machine.run(lambda rt: rt.result("r1"), looking())
    assert result.error is not None
    assert (result.status, result.error.message) == (
        "blocked",
        "function 'enough' is not registered",
    )
    result = machine.run(lambda rt: rt.result("r1"), looking(), functions=functions)
    assert result.finish_reason == "stop_function:enough"


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        (StopAfterSteps(0), "1 or more"),
        (StopAfterSteps(True), "1 or more"),
        (StopOnTool("lok"), "has no tool 'lok'"),
        (StopOnText(""), "not empty"),
        (third_step, "not be found again after a restart"),
        ("", "holds StopAfterSteps"),
        (3, "holds StopAfterSteps"),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(condition: Any, why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        looking(condition)


def test_a_single_condition_is_no_list() -> None:
    for wrong in ("enough", StopAfterSteps(1)):
        with pytest.raises(InvalidDefinition, match="a list of conditions"):
            Agent("a", model=EchoModel(), stop_when=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_functions_that_are_missing_or_none_are_refused() -> None:
    for runtime in (Runtime, SyncRuntime):
        with pytest.raises(InvalidDefinition, match="refers to a function 'enough'"):
            runtime(None, agents=[looking("enough")])
        for wrong in ({"f": 1}, {1: print}, [print]):
            with pytest.raises(InvalidDefinition, match="functions"):
                runtime(None, functions=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_calls_that_are_all_refused_are_a_step_as_well() -> None:
    calls = (PlannedCall(name="x", arguments={}, problem=Failure(kind="unknown_tool")),)
    answer = CompleteModelCall(step=0, attempt=1, tool_calls=calls)
    start = StartRun(agent_id="a", input="hi", model="m", stop_when=(StopFunction("f"),))
    refused = given().when(start, answer).after
    assert list(outstanding(refused.state)) == [CheckStop(1, 0)]
    assert not any(isinstance(event, ToolCallStarted) for event in refused.events)
