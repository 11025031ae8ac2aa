"""Agents of all kinds, under everything that can go wrong, in any order."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from outlive.actors import (
    Agent,
    EchoModel,
    History,
    IfActive,
    ModelRequest,
    ScriptedModel,
    ToolCall,
    ToolContext,
    ToSummarize,
    Turn,
    UntilIdle,
    tool,
)
from outlive.actors.heartbeat import entity as heartbeat_entity
from outlive.actors.heartbeat.commands import EndFire, HeartbeatCommand
from outlive.actors.heartbeat.decide import decide as decide_heartbeat
from outlive.actors.run import entity
from outlive.actors.run.commands import (
    AnswerSuspension,
    CancelRun,
    DecideApproval,
    RunCommand,
)
from outlive.actors.run.decide import decide
from outlive.actors.task import entity as task_entity
from outlive.actors.task.commands import ResumeTask, TaskCommand
from outlive.actors.task.decide import decide as decide_task
from outlive.events import (
    HeartbeatEvent,
    HeartbeatState,
    NotSuspended,
    RunEvent,
    RunState,
    TaskEvent,
    TaskState,
)
from outlive.projections import Pending, RunResult
from outlive.testing import AgentMachine, World
from outlive.testing.strategies import agents
from tests.testing.scenarios import CASES, in_doubt_fails
from tests.testing.scenarios_children import nested, publisher, two_children_and_a_tool
from tests.testing.scenarios_people import PEOPLE, wiping
from tests.testing.scenarios_tasks import crawl, enter, read, reader

Make = Callable[[World], Sequence[Agent]]
Errand = tuple[str, str, dict[str, Any]]

SAFE = sorted({case.agents for case in CASES if not case.at_most_once}, key=lambda a: a.__name__)
ASKING = sorted({publisher, *(case.agents for case in PEOPLE)}, key=lambda a: a.__name__)


def examples(share: int) -> settings:
    """A part of what the profile says: each example is whole simulations."""
    return settings(max_examples=max(10, settings().max_examples // share))


def all_agents(world: World) -> Sequence[Agent]:
    """The agents of all scenarios that ask nobody."""
    return _together(SAFE, world)


def _together(makers: Sequence[Make], world: World) -> list[Agent]:
    """Return these agents, each with the name of the function that makes it."""
    return [
        Agent(
            make.__name__,
            model=agent.model,
            tools=list(agent.tools.values()),
            agents=list(agent.agents.values()),
            tool_concurrency=agent.tool_concurrency,
        )
        for make in makers
        for agent in make(world)[:1]
    ]


def asking_agents(world: World) -> Sequence[Agent]:
    """The agents of the scenarios of people."""
    return _together(ASKING, world)


class Scenarios(AgentMachine):
    agents = staticmethod(all_agents)
    starts = st.tuples(
        st.sampled_from([make.__name__ for make in SAFE]), st.sampled_from(["do it", "or not"])
    )


class AnyAgents(AgentMachine):
    agents = agents(at_most_once=False)
    starts = st.tuples(st.just("agent"), st.sampled_from(["do it", "or not"]))


class WithTasks(AgentMachine):
    """Agents of all kinds, whose tools are called in the background and ask people."""

    agents = agents(at_most_once=False, people=True, background=True)
    starts = st.tuples(
        st.just("agent"),
        st.just("do it"),
        st.sampled_from([True, UntilIdle(react="all"), UntilIdle(max_wait=60), False]),
    )


def clerks(world: World) -> Sequence[Agent]:
    return [Agent("clerk", model=EchoModel(), tools=[crawl, read, enter])]


CRAWL: Errand = ("clerk", "crawl", {"seconds": 5.0})
READ: Errand = ("clerk", "read", {})
FAIL: Errand = ("clerk", "enter", {})  # The door is closed.


class Errands(AgentMachine):
    """Tasks that no model asks for."""

    agents = staticmethod(clerks)
    starts = st.tuples(st.just("clerk"), st.just("hello"))
    errands = st.sampled_from([CRAWL, READ, FAIL])


def talkers(world: World) -> Sequence[Agent]:
    def answer(request: ModelRequest) -> Turn:
        return Turn(f"I have heard {len(request.messages)}", delay=2.0)

    def condense(part: ToSummarize) -> str:
        return f"{part.summary}{len(part.messages)} "

    history = History(max_messages=4, summarize=condense)
    return [
        Agent("talker", model=ScriptedModel(answer), history=history),
        Agent("echo", model=EchoModel()),
    ]


ALONE: list[dict[str, object]] = [
    {"misfire": "all", "overlap": "queue"},
    {"overlap": "allow", "jitter": 2},
    {"misfire": "skip", "overlap": "cancel_previous", "timeout": 1},
]
THREADED: list[dict[str, object]] = [
    {"thread_id": "talk_a", "resource_id": "somebody", **more}
    for more in ({}, {"if_active": IfActive("persist")}, {"overlap": "allow"})
]


def beat(agent: str, every: int, more: dict[str, object]) -> dict[str, object]:
    return {"agent_id": agent, "prompt": "p", "every": every, **more}


class Talking(AgentMachine):
    """Runs on threads, signals, and heartbeats that tell the same threads."""

    agents = staticmethod(talkers)
    starts = st.tuples(st.just("echo"), st.just("alone"))
    talks = st.tuples(st.sampled_from(["talker", "talker", "echo"]), st.sampled_from("xyz"))
    heartbeats = st.builds(
        beat,
        st.sampled_from(["talker", "echo"]),
        st.sampled_from([5, 60, 3_600]),
        st.sampled_from([{}, *ALONE, *THREADED]),
    )


class AtMostOnce(AgentMachine):
    agents = staticmethod(in_doubt_fails)
    starts = st.tuples(st.just("agent"), st.just("launch"))
    at_most_once = ("launch",)

    def judge(self, calm: RunResult, stormy: RunResult) -> None:
        assert (stormy.status, stormy.output) == (calm.status, calm.output)


class WithChildren(AgentMachine):
    agents = staticmethod(nested)
    starts = st.tuples(st.just("agent"), st.sampled_from(["do it", "or not"]))


class WithSeveralChildren(AgentMachine):
    agents = staticmethod(two_children_and_a_tool)
    starts = st.tuples(st.just("agent"), st.just("do it"))


class AskingPeople(AgentMachine):
    """Runs that ask, as the scenarios of people do."""

    agents = staticmethod(asking_agents)
    starts = st.tuples(st.sampled_from([make.__name__ for make in ASKING]), st.just("go"))
    at_most_once = ("wiped",)

    def answers(self, asked: Pending) -> st.SearchStrategy[object]:
        match asked.kind:
            case "suspension":
                return (
                    st.sampled_from([2, 3]) if asked.key == "how many" else super().answers(asked)
                )
            case "approval":
                return super().answers(asked) | st.just({"text": "uno"})
            case "in_doubt":
                return st.sampled_from(["wiped by hand", 7])


class InDoubt(AgentMachine):
    """Runs that nobody asks anything, unless they are cut off."""

    agents = staticmethod(wiping)
    starts = st.tuples(st.just("agent"), st.just("go"))
    at_most_once = ("wiped",)

    def answers(self, asked: Pending) -> st.SearchStrategy[object]:
        return st.sampled_from(["wiped by hand", 7])


class TasksThatAsk(AgentMachine):
    """A run whose background task asks a person, and may be in doubt."""

    agents = staticmethod(reader)
    starts = st.tuples(st.just("agent"), st.just("do it"))

    def answer(self, asked: Pending) -> object:
        return 2


TestTasksThatAsk = TasksThatAsk.TestCase
TestTasksThatAsk.settings = settings(
    max_examples=max(3, settings().max_examples // 30), stateful_step_count=25
)
TestAskingPeople = AskingPeople.TestCase
TestAskingPeople.settings = examples(4)
TestInDoubt = InDoubt.TestCase
TestInDoubt.settings = examples(8)
TestScenarios = Scenarios.TestCase
TestScenarios.settings = examples(4)
TestAnyAgents = AnyAgents.TestCase
TestAnyAgents.settings = examples(4)
TestWithTasks = WithTasks.TestCase
TestWithTasks.settings = examples(2)
TestTalking = Talking.TestCase
TestTalking.settings = examples(4)
TestErrands = Errands.TestCase
TestErrands.settings = examples(4)
TestAtMostOnce = AtMostOnce.TestCase
TestAtMostOnce.settings = examples(4)
TestWithChildren = WithChildren.TestCase
TestWithChildren.settings = examples(4)
TestWithSeveralChildren = WithSeveralChildren.TestCase
TestWithSeveralChildren.settings = examples(4)


# -- what it finds, and how it says so


@tool(in_doubt="retry")
async def send(ctx: ToolContext) -> str:
    """Send a mail, under a new key each time."""
    ctx.deps.record("mail", f"{ctx.idempotency_key} {ctx.attempt}")
    return "sent"


def careless(world: World) -> Sequence[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("send")]), Turn(text="done")])
    return [Agent("agent", model=model, tools=[send])]


class Careless(AgentMachine):
    agents = staticmethod(careless)
    starts = st.tuples(st.just("agent"), st.just("go"))


def failure_of(machine: type[AgentMachine]) -> str:
    """Play a machine until it fails; return what pytest would show."""
    with pytest.raises(AssertionError) as failed:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=1_000,
                phases=[Phase.generate],
                derandomize=True,
                database=None,
                print_blob=False,
            ),
        )
    return "\n".join([str(failed.value), *getattr(failed.value, "__notes__", [])])


def test_an_agent_that_repeats_an_effect_under_another_key_is_found_out() -> None:
    text = failure_of(Careless)
    assert "effect 'mail' " in text
    assert "runs_0 = state.start(start=('agent', 'go'))" in text
    assert "\nseed " in text
    assert "RunStarted(agent_id='agent', input='go'" in text


@tool(in_doubt="retry")
async def launch(ctx: ToolContext) -> str:
    """Launch, whatever happened before, and watch it for a while."""
    ctx.deps.record("launch", ctx.idempotency_key)
    await asyncio.sleep(60)
    return "launched"


def reckless(world: World) -> Sequence[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("launch")]), Turn(text="done")])
    return [Agent("agent", model=model, tools=[launch])]


class Reckless(AgentMachine):
    agents = staticmethod(reckless)
    starts = st.tuples(st.just("agent"), st.just("go"))
    at_most_once = ("launch",)


def test_an_effect_that_must_not_be_repeated_and_is_repeated_is_found_out() -> None:
    assert re.search(r"effect 'launch' happened \d+ times under key", failure_of(Reckless))


class Asking(AgentMachine):
    """One question and one consent, and nothing that is rare."""

    agents = staticmethod(asking_agents)
    starts = st.tuples(st.sampled_from(["choosing", "publishing"]), st.just("go"))


Decide = Callable[[RunState, RunCommand], tuple[RunEvent, ...]]


def answers_are_forgotten(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
    return () if isinstance(command, AnswerSuspension) else decide(state, command)


def a_no_is_forgotten(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
    if isinstance(command, DecideApproval) and not command.granted:
        return ()
    return decide(state, command)


def the_end_is_denied(state: RunState, command: RunCommand) -> tuple[RunEvent, ...]:
    if isinstance(command, CancelRun) and state.over:
        raise NotSuspended(command.run_id, state.status)
    return decide(state, command)


@pytest.mark.parametrize(
    ("defect", "told"),
    [
        (answers_are_forgotten, "it was obeyed. What may have come of it: "),
        (a_no_is_forgotten, "it was obeyed. What may have come of it: "),
        (the_end_is_denied, "it was refused: NotSuspended"),
    ],
)
def test_people_who_are_told_what_is_not_so_are_found_out(
    defect: Decide, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entity.RUN, "decide", defect)
    assert told in failure_of(Asking)


def answers_are_lost(state: TaskState, command: TaskCommand) -> tuple[TaskEvent, ...]:
    return () if isinstance(command, ResumeTask) else decide_task(state, command)


def test_a_task_that_forgets_what_was_said_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_entity.TASK, "decide", answers_are_lost)
    monkeypatch.setattr(Errands, "errands", st.just(READ))
    text = failure_of(Errands)
    assert "it was obeyed. What may have come of it: TaskResumed" in text


class Beating(AgentMachine):
    """Its heartbeats do not wait for what they have fired before: that may never end."""

    agents = staticmethod(talkers)
    starts = st.tuples(st.just("echo"), st.just("alone"))
    heartbeats = st.just(beat("echo", 5, {"overlap": "allow"}))


def ends_of_fires_are_forgotten(
    state: HeartbeatState, command: HeartbeatCommand
) -> tuple[HeartbeatEvent, ...]:
    return () if isinstance(command, EndFire) else decide_heartbeat(state, command)


def test_a_heartbeat_that_does_not_hear_of_its_runs_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat_entity.HEARTBEAT, "decide", ends_of_fires_are_forgotten)
    assert "waits for fires [1" in failure_of(Beating)


class Forgetful(AgentMachine):
    """Its disk loses the end of what it was told to keep."""

    agents = (Agent("echo", model=EchoModel()),)
    starts = st.tuples(st.just("echo"), st.text(max_size=3))

    @rule()
    def lose_the_last_commit(self) -> None:
        store = self.simulation.disk.store
        if store.records:
            store.records.pop()
            store.index.clear()
        self.simulation.crash()


def test_a_log_that_loses_what_was_acknowledged_is_found_out() -> None:
    assert "was acknowledged, and the log has None" in failure_of(Forgetful)


class Unfinished(AgentMachine):
    """It says too little."""


def test_a_machine_without_agents_says_what_is_missing() -> None:
    with pytest.raises(TypeError, match="Unfinished has no `agents`"):
        run_state_machine_as_test(Unfinished)


def test_the_kit_needs_no_hypothesis_until_the_machine_is_asked_for() -> None:
    program = (
        "import sys\n"
        "sys.modules['hypothesis'] = None\n"
        "import outlive.testing\n"
        "from outlive.testing import *\n"
        "try:\n"
        "    outlive.testing.AgentMachine\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'outlive[testing]'" in done.stdout
