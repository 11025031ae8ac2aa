"""What the strategies draw is valid, comes in all kinds, and shrinks to what is plain."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from outlive.actors.run.decide import decide
from outlive.events import (
    Event,
    ModelCallCompleted,
    ModelCallStarted,
    Refused,
    RunCompleted,
    RunEvent,
    RunStarted,
    RunState,
    Value,
    to_plain,
)
from outlive.testing import Client, Fate, Simulation, assert_survives_crashes, fold, stored
from outlive.testing.strategies import (
    PlannedAgent,
    agents,
    crashes,
    durations,
    histories,
    run_commands,
    run_events,
    run_histories,
    values,
)
from tests.testing.till import TILL, TILL_CODEC, AddCoin, Command, TakeCoin, Till

found_first = settings(
    max_examples=3_000, derandomize=True, database=None, deadline=None, phases=[Phase.generate]
)
searching = settings(max_examples=3_000, derandomize=True, database=None, deadline=None)
few = settings(max_examples=max(10, settings().max_examples // 2))
"""Fewer than the profile says: each example is a whole history, or simulations."""

History = list[tuple[RunEvent, ...]]


async def one_run(client: Client) -> str:
    return (await client.run("agent", "do it", run_id="one")).status


@few
@given(agents(), st.integers(0, 2**32 - 1), crashes())
def test_any_agent_comes_to_the_same_wherever_its_process_dies(
    plan: PlannedAgent, seed: int, crash_at: Mapping[int, Fate]
) -> None:
    sweep = assert_survives_crashes(
        one_run,
        plan,
        seed=seed,
        crash_at=crash_at,
        at_most_once=plan.at_most_once,
        promise=plan.promise,
    )
    assert sweep.simulations == 2


@few
@given(run_histories())
def test_a_history_is_one_that_a_run_can_have(history: History) -> None:
    state = RunState()
    for number, commit in enumerate(history):
        assert isinstance(commit[0], RunStarted) is (number == 0)
        state = fold(*commit, state=state)
    assert (state.status == "none") is (not history)


def test_every_kind_of_event_comes_up_in_a_history() -> None:
    missing = set(get_args(RunEvent))

    def look(history: History) -> bool:
        missing.difference_update(type(event) for commit in history for event in commit)
        return not missing

    with suppress(NoSuchExample):
        find(run_histories(), look, settings=found_first)
    assert not missing


def test_a_history_shrinks_to_what_is_asked_for() -> None:
    shortest = find(
        run_histories(),
        lambda history: bool(history) and isinstance(history[-1][-1], RunCompleted),
        settings=searching,
    )
    assert [[type(event) for event in commit] for commit in shortest] == [
        [RunStarted, ModelCallStarted],
        [ModelCallCompleted, RunCompleted],
    ]


@few
@given(st.data(), run_histories())
def test_a_command_that_fits_is_of_the_present_attempt(
    data: st.DataObject, history: History
) -> None:
    state = fold(*[event for commit in history for event in commit])
    command: Any = data.draw(run_commands(state, stale=False))
    if state.model_attempt is not None and hasattr(command, "step"):
        assert (command.step, command.attempt) == (state.step, state.model_attempt.attempt)
    if state.calls and hasattr(command, "call_id") and hasattr(command, "attempt"):
        assert command.attempt == state.calls[command.call_id].attempt


def test_a_command_that_does_not_fit_comes_up_too() -> None:
    running = fold(RunStarted(agent_id="a", input="x"), ModelCallStarted(model="m"))

    def is_refused(command: Any) -> bool:
        try:
            decide(running, command)
        except Refused:
            return True
        return False

    assert is_refused(find(run_commands(running), is_refused, settings=found_first))


@given(run_events())
def test_any_single_event_can_be_stored(event: RunEvent) -> None:
    assert stored(event) == (event,)


@given(values())
def test_values_are_plain(value: Value) -> None:
    assert to_plain(value) == value


@given(durations(min_seconds=0.5, max_seconds=90))
def test_durations_are_within_their_bounds(seconds: float) -> None:
    assert 0.5 <= seconds <= 90


def test_durations_shrink_to_none_and_cannot_be_negative() -> None:
    assert find(durations(), lambda _: True, settings=searching) == 0
    with pytest.raises(ValueError, match="from 0 up"):
        durations(min_seconds=-1)
    with pytest.raises(ValueError, match="from 0 up"):
        durations(min_seconds=2, max_seconds=1)


def test_agents_and_crashes_shrink_to_what_is_plain() -> None:
    shortly = settings(searching, max_examples=100)
    assert find(agents(), lambda _: True, settings=shortly) == PlannedAgent(turns=())
    assert find(crashes(), lambda _: True, settings=shortly) == {}


@pytest.mark.parametrize(
    "field",
    [
        *("in_thread", "sink", "seconds", "steps", "progress", "failures", "hangs", "timeout"),
        *("asks", "background"),
    ],
)
def test_tools_of_every_kind_come_up(field: str) -> None:
    plan = find(
        agents(people=True, background=True),
        lambda plan: any(getattr(tool, field) for tool in plan.tools),
        settings=found_first,
    )
    assert any(getattr(tool, field) for tool in plan.tools)


def test_a_planned_agent_runs_as_any_other() -> None:
    with Simulation(PlannedAgent(turns=())) as simulation:
        result = simulation.result(simulation.start("agent", "hello"))
    assert result.unwrap() == "it is done"


# -- entities of another kind


def till_commands(till: Till, now_ns: int) -> st.SearchStrategy[Command]:
    """Coins of at least one cent are added, and some are taken that are not there."""
    cents = st.integers(1, 200)
    return st.builds(AddCoin, cents) | st.builds(TakeCoin, st.sampled_from([*till.coins, 7]))


@few
@given(histories(till_commands, entity=TILL))
def test_an_entity_of_ones_own_has_histories_too(history: list[tuple[Event, ...]]) -> None:
    events = [event for commit in history for event in commit]
    till = fold(*events, entity=TILL, codec=TILL_CODEC)
    assert all(cents > 0 for cents in till.coins)
    assert len(till.coins) <= len(events)
