"""The invariants between runs and their child runs: they hold, and they notice when they do not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from outlive.actors import Agent, ScriptedModel, ToolCall, Turn
from outlive.actors.run import entity
from outlive.actors.run.commands import EndChildRun, RunCommand
from outlive.actors.run.decide import decide
from outlive.events import (
    CallId,
    ChildRunEnded,
    ChildRunStarted,
    Event,
    MemoryLog,
    MessageId,
    ModelCallCompleted,
    ModelCallStarted,
    ParentCall,
    RequestedToolCall,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunId,
    RunStarted,
    RunState,
    StreamId,
    Version,
    run_stream,
)
from outlive.testing import Simulation, fold
from outlive.testing._families import Families

PARENT, CHILD = run_stream("p"), run_stream("p:0.0")
C0 = CallId("0.0")
BEGINS = ChildRunStarted(call_id=C0, run_id=RunId("p:0.0"), agent_id="h")
TOLD = MessageId(sender=CHILD, sequence=1)
ENDED = ChildRunEnded(call_id=C0, run_id=RunId("p:0.0"), status="completed", message=TOLD)
AS_A_CHILD = RunStarted(
    agent_id="h",
    input="x",
    parent=ParentCall(run_id=RunId("p"), call_id=C0),
    message=MessageId(sender=PARENT, sequence=1),
)
ASKS = (
    RunStarted(agent_id="a", input="x"),
    ModelCallStarted(model="m"),
    ModelCallCompleted(tool_calls=(RequestedToolCall(call_id=C0, name="h"),)),
)


def problem(*commits: tuple[StreamId, Sequence[Event]]) -> str | None:
    """Return the rule that commits break."""
    log, families = MemoryLog(), Families()
    for stream, events in commits:
        log.append(stream, events, expected_version=log.version(stream)).result(5)
    for record in log.read_all():
        families.hear(record)
    state = fold(*[one.event for one in log.read(PARENT, after=Version(0))])
    found = families.problem({PARENT: state})
    return None if found is None else found[0]


def test_a_family_as_it_should_be_has_no_problem() -> None:
    commits = ((PARENT, [*ASKS, BEGINS]), (CHILD, [AS_A_CHILD, RunCompleted()]), (PARENT, [ENDED]))
    assert problem(*commits) is None


@pytest.mark.parametrize(
    ("commits", "rule"),
    [
        ([(CHILD, [AS_A_CHILD])], "a child run works for a call"),
        ([(PARENT, [*ASKS, BEGINS, BEGINS])], "a call has one child run"),
        (
            [(PARENT, [*ASKS, BEGINS]), (CHILD, [AS_A_CHILD]), (PARENT, [ENDED])],
            "a child run is what its parent heard",
        ),
        (
            [
                (PARENT, [*ASKS, BEGINS]),
                (CHILD, [AS_A_CHILD, RunCompleted()]),
                (PARENT, [ENDED, ENDED]),
            ],
            "a child run is heard of once",
        ),
        (
            [(PARENT, [*ASKS, BEGINS, ENDED, RunCompleted()]), (CHILD, [AS_A_CHILD])],
            "a child run is what its parent heard",
        ),
    ],
)
def test_a_family_as_it_must_not_be_is_noticed(
    commits: list[tuple[StreamId, Sequence[Event]]], rule: str
) -> None:
    assert problem(*commits) == rule


def test_a_child_that_is_left_over_is_noticed() -> None:
    families, log = Families(), MemoryLog()
    for stream, events in ((PARENT, [*ASKS, BEGINS]), (CHILD, [AS_A_CHILD])):
        log.append(stream, events, expected_version=Version(0)).result(5)
    for record in log.read_all():
        families.hear(record)
    over = fold(*ASKS, RunCancelled())  # It has not told anybody.
    found = families.problem({PARENT: over})
    assert found is not None
    assert found[0] == "no child run is left over"


def test_a_simulation_comes_to_rest_though_a_parent_cannot_hear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decide_badly(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
        if isinstance(command, EndChildRun):
            raise ZeroDivisionError("as the news comes in")
        return decide(state, command)

    monkeypatch.setattr(entity.RUN, "decide", decide_badly)
    helper = Agent("helper", model=ScriptedModel([Turn("42")]))
    calls = Turn(tool_calls=[ToolCall("helper", {"input": "x"})])
    boss = Agent("boss", model=ScriptedModel([calls]), agents=[helper])
    with Simulation([boss]) as simulation:
        simulation.start("boss", "go", run_id="one")
        simulation.run_until_idle()
        assert simulation.result("one").status == "quarantined"
        assert simulation.result("one:0.0").unwrap() == "42"
