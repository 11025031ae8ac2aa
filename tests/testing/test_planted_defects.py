"""The kit sees each of the mistakes that such a runtime invites, planted one at a time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from outlive.actors import Agent, Retry, ScriptedModel, ToolCall, ToolContext, Turn, tool
from outlive.actors.run.commands import (
    AnswerSuspension,
    CancelRun,
    DecideApproval,
    FailToolCall,
    StartRun,
)
from outlive.actors.task.commands import CancelTask, RetryTask
from outlive.events import (
    CallId,
    Failure,
    MemoryLog,
    ModelCallCompleted,
    ModelCallStarted,
    RequestedToolCall,
    RunStarted,
    ToolCallFailed,
    ToolCallStarted,
    WrongExpectedVersion,
)
from outlive.testing import (
    InvariantViolated,
    Simulation,
    SimulationFailed,
    World,
    assert_survives_crashes,
    given,
)
from outlive.testing.log_contract import LogContract
from tests.testing import defects, scenarios
from tests.testing.defects import Defect
from tests.testing.scenarios_people import PEOPLE
from tests.testing.scenarios_tasks import TASKS

Check = Callable[[], object]


@dataclass(frozen=True)
class Planted:
    """A mistake, what should see it, and what that should say."""

    name: str
    defect: Defect
    check: Check
    says: str
    fails_with: type[Exception] = SimulationFailed


def sweep(name: str, *, second_crashes: int = 0) -> Check:
    """A crash sweep over one of the scenarios."""
    case = next(case for case in [*scenarios.CASES, *PEOPLE, *TASKS] if case.name == name)
    return lambda: assert_survives_crashes(
        case.play,
        case.agents,
        at_most_once=case.at_most_once,
        promise=case.promise,
        second_crashes=second_crashes,
        background_tasks=case.background_tasks,
    )


@tool(in_doubt="fail")
async def launch(ctx: ToolContext) -> str:
    """Launch, never twice."""
    ctx.deps.record("launch", ctx.idempotency_key)
    await ctx.progress(done=0)
    await asyncio.sleep(1)
    return "launched"


def launching(world: World) -> list[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("launch")]), Turn(text="done")])
    return [Agent("agent", model=model, tools=[launch])]


def a_write_is_refused_while_a_tool_runs() -> None:
    with Simulation(launching, at_most_once=["launch"]) as sim:
        run_id = sim.start("agent", "go")
        sim.loop.run_until(lambda: bool(sim.world.ledger))
        sim.disk.overtake()
        assert sim.result(run_id).output == "done"
        assert "ToolResultIgnored" in [type(event).__name__ for event in sim.events(run_id)]


def long(world: World) -> list[Agent]:
    calls = [ToolCall("look", {"what": str(number)}) for number in range(3)]
    turns = [Turn(tool_calls=calls) for _ in range(4)]
    model = ScriptedModel([*turns, Turn(text="done")])
    return [Agent("agent", model=model, tools=[scenarios.look])]


def a_long_run_is_started_again_after_a_crash() -> None:
    """Longer than `save_every`."""
    with Simulation(long) as sim:
        run_id = sim.start("agent", "go", run_id="one")
        sim.loop.run_until(lambda: len(sim.events(run_id)) > 2 * 7)
        sim.crash()
        sim.start("agent", "go", run_id="one")
        assert sim.result(run_id).output == "done"


@tool(in_doubt="retry", retry=Retry(2, delay=3_600.0, max_delay=3_600.0))
async def busy(ctx: ToolContext) -> str:
    """Be of no use the first time."""
    if ctx.attempt == 1:
        raise ConnectionError("busy")
    return "at last"


def retrying(world: World) -> list[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("busy")]), Turn(text="done")])
    return [Agent("agent", model=model, tools=[busy])]


def a_crash_while_a_run_waits_for_an_instant() -> None:
    with Simulation(retrying) as sim:
        run_id = sim.start("agent", "go")
        sim.advance("1m")
        sim.crash()
        sim.run_until_idle()  # Nobody asks for the run: the runtime itself has to think of it.
        assert sim.result(run_id).output == "done"


@tool(in_doubt="retry", retry=Retry(2, delay=2.0))
async def nearly(ctx: ToolContext) -> str:
    """Be of use in a moment."""
    if ctx.attempt == 1:
        raise ConnectionError("busy")
    return "at last"


def retrying_soon(world: World) -> list[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("nearly")]), Turn(text="done")])
    return [Agent("agent", model=model, tools=[nearly])]


def soon_again() -> None:
    """The wait is too short to leave memory for."""
    with Simulation(retrying_soon) as sim:
        assert sim.result(sim.start("agent", "go")).output == "done"


@tool(in_doubt="retry", requires_approval=True, approval_expires=3_600)
async def buy() -> str:
    """Buy something."""
    return "bought"


def buying(world: World) -> list[Agent]:
    model = ScriptedModel([Turn(tool_calls=[ToolCall("buy")]), Turn(text="done")])
    return [Agent("agent", model=model, tools=[buy])]


def nobody_answers() -> None:
    with Simulation(buying) as sim:
        run_id = sim.start("agent", "go")
        sim.run_until_idle()
        assert sim.result(run_id).output == "done"


def a_failure_is_decided_upon() -> None:
    call = CallId("0.0")
    decided = (
        given(
            RunStarted(agent_id="agent", input="go"),
            ModelCallStarted(step=0, model="m", messages=1),
            ModelCallCompleted(
                step=0, tool_calls=(RequestedToolCall(call_id=call, name="t", arguments={}),)
            ),
            ToolCallStarted(call_id=call, name="t", attempt=1),
        )
        .when(
            FailToolCall(
                call_id=call, attempt=1, error=Failure(kind="error"), now_ns=5, retry=Retry(3)
            )
        )
        .decided
    )
    assert [type(event) for event in decided] == [ToolCallFailed]


PLANTED = [
    Planted(
        "effect before commit",
        defects.effect_before_commit,
        sweep("single tool"),
        r"an effect waits for its commit: run-one does CallModel\(step=0, attempt=1\), "
        r"and the log knows nothing of it",
    ),
    Planted(
        "reply before commit",
        defects.reply_before_commit(StartRun),
        sweep("single tool"),
        "the start of one was acknowledged, and is not in the log",
    ),
    Planted(
        "reply before commit, to who agrees",
        defects.reply_before_commit(DecideApproval),
        sweep("approve and decline"),
        "the approval of one was acknowledged, and is not in the log",
    ),
    Planted(
        "reply before commit, to who answers",
        defects.reply_before_commit(AnswerSuspension),
        sweep("suspended, two questions"),
        "the answer of one was acknowledged, and is not in the log",
    ),
    Planted(
        "reply before commit, to who cancels",
        defects.reply_before_commit(CancelRun),
        sweep("cancelled while suspended"),
        "the end of one was acknowledged, and is not in the log",
    ),
    Planted(
        "reply before commit, to who calls a task off",
        defects.reply_before_commit(CancelTask),
        sweep("a task that is called off, with hooks"),
        "was acknowledged, and is not in the log",
    ),
    Planted(
        "reply before commit, to who wants a task tried again",
        defects.reply_before_commit(RetryTask),
        sweep("a task that is tried once more, with hooks"),
        "was acknowledged, and is not in the log",
    ),
    Planted(
        "hooks that are taken for called before they are",
        defects.hooks_are_forgotten,
        sweep("a task that is tried once more, with hooks"),
        "happened under 0 keys, without a crash under 1",
    ),
    Planted(
        "hooks that are told how a task is, not how it ended",
        defects.end_of_the_other_try,
        sweep("a task that is tried once more, with hooks"),
        "effect 'noted' happened under [02] keys, without a crash under 1",
    ),
    Planted(
        "effect forgotten by the entity",
        defects.forgotten_in_outstanding,
        sweep("retry"),
        r"the open table says what is owed: run-one owes \[\], its row: .*owes=True",
    ),
    Planted(
        "effect forgotten by the shell",
        defects.forgotten_in_the_shell,
        sweep("parallel tools"),
        r"what is outstanding is being done, once, and nothing else: run-one owes "
        r"\[CallTool\(call_id='0.0'",
    ),
    Planted(
        "effect started twice after a rebuild",
        defects.effects_of_the_actor,
        a_write_is_refused_while_a_tool_runs,
        "at most once: effect 'launch' happened 2 times under key",
        InvariantViolated,
    ),
    Planted(
        "idempotency key of the attempt",
        defects.key_of_the_attempt,
        sweep("single tool"),
        "effect 'look' happened under 2 keys, without a crash under 1",
    ),
    Planted(
        "commit id not remembered",
        defects.commit_id_forgotten,
        lambda: LogContract[MemoryLog]().test_a_repeated_commit_id_is_answered_as_the_first_time(
            MemoryLog()
        ),
        "stream 'run-a' is at version 2, expected 0",
        WrongExpectedVersion,
    ),
    Planted(
        "open table not updated",
        defects.row_left_as_it_was,
        sweep("retry"),
        "the open table is the fold's: run-one has OpenEntry",
    ),
    Planted(
        "saved without what a start is known by",
        defects.saved_without_its_memory(request=""),
        a_long_run_is_started_again_after_a_crash,
        "a saved state is the fold: run-one at version 7: request is '' saved",
        InvariantViolated,
    ),
    Planted(
        "saved without open calls",
        defects.saved_without_its_memory(calls={}),
        a_long_run_is_started_again_after_a_crash,
        r"a saved state is the fold: run-one at version 7: calls is \{\} saved, and \{'0",
        InvariantViolated,
    ),
    Planted(
        "order of parallel results",
        defects.in_the_order_of_arrival,
        sweep("parallel tools"),
        r"run one came to other messages, of which number \d is ToolMessage\(call_id='0\.(\d)', .*"
        r"without a crash ToolMessage\(call_id='0\.(?!\1)\d'",
    ),
    Planted(
        "machine's clock in decide, in a simulation",
        defects.clock_in_decide,
        sweep("retry"),
        r"the same seed came to another log: once it has \('run-one', ToolCallFailed\(.*"
        r"the machine's clock",
    ),
    Planted(
        "machine's clock in decide, in a sentence",
        defects.clock_in_decide,
        a_failure_is_decided_upon,
        "decide is not pure: FailToolCall",
        AssertionError,
    ),
    Planted(
        "observer that repeats",
        defects.observer_one_back,
        sweep("observed over crashes"),
        r"an observer of one was told version (\d+) after \1",
    ),
    Planted(
        "wake-up not watched",
        defects.wake_up_not_watched,
        soon_again,
        "the clock is watched: run-.* wants to wake at",
        InvariantViolated,
    ),
    Planted(
        "wake-up forgotten by who leaves memory",
        defects.wake_up_forgotten_by_who_leaves,
        sweep("retry"),
        "Stuck: nothing is ready and nothing is due",
    ),
    Planted(
        "expiry forgotten by who leaves memory",
        defects.wake_up_forgotten_by_who_leaves,
        nobody_answers,
        "the clock is watched: run-.* waits for a person until",
        InvariantViolated,
    ),
    Planted(
        "wake-up lost at opening",
        defects.wake_up_lost_at_opening,
        a_crash_while_a_run_waits_for_an_instant,
        "nothing is left in between: run-.* is running, and nobody moves it",
        InvariantViolated,
    ),
    Planted(
        "wake-up not in the row",
        defects.wake_up_not_in_the_row,
        sweep("retry"),
        "what is open waits for something: run-one owes nothing and never wakes",
    ),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_planted_defect_is_seen(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    planted.check()
    planted.defect(monkeypatch)
    with pytest.raises(planted.fails_with) as failed:
        planted.check()
    first = str(failed.value).partition("\n\nseed")[0]
    assert re.search(planted.says, first, re.DOTALL), str(failed.value)
