"""A state that was looked at ahead is the one that the event leads to, whoever asks for it."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from outlive.events import RunEvent, RunState
from outlive.events.run import evolve
from outlive.events.run.evolving import look_ahead
from outlive.testing.strategies import run_events, run_histories


@given(history=run_histories(max_commands=12), data=st.data())
def test_who_looks_ahead_changes_nothing(
    history: list[tuple[RunEvent, ...]], data: st.DataObject
) -> None:
    events = [event for commit in history for event in commit]
    expected = reduce(evolve, events, RunState())
    state = RunState()
    for event in events:
        if data.draw(st.booleans()):
            look_ahead(data.draw(st.sampled_from([state, RunState()])), event)
        state = evolve(state, event)
    assert state == expected


@given(event=run_events())
def test_another_state_before_it_is_not_mistaken_for_the_one_that_was_looked_at(
    event: RunEvent,
) -> None:
    begun, other = RunState(status="running", max_steps=3), RunState(status="running", max_steps=4)
    expected = evolve(other, event)
    look_ahead(begun, event)
    assert evolve(other, event) == expected


@given(event=run_events())
def test_it_is_found_once_and_not_computed_again(event: RunEvent) -> None:
    state = RunState(status="running", max_steps=3)
    after = look_ahead(state, event)
    assert evolve(state, event) is after
    assert evolve(state, event) == after
