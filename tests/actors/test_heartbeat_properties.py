"""Whatever happens to a heartbeat: what holds in every history that `decide` can write."""

from itertools import chain, pairwise
from typing import get_args

from hypothesis import given, settings

from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.events import (
    CODEC,
    FireClaimed,
    FireSkipped,
    HeartbeatEvent,
    HeartbeatFired,
    HeartbeatState,
    InstantsPassed,
)
from outlive.events.heartbeat import evolve
from outlive.testing import stored
from outlive.testing.strategies import heartbeat_events, heartbeat_histories
from tests.support.drawn import missing

History = list[tuple[HeartbeatEvent, ...]]

moderate = settings(max_examples=50)


def states(history: History) -> list[HeartbeatState]:
    state, found = HeartbeatState(), list[HeartbeatState]()
    for commit in history:
        for event in commit:
            state = evolve(state, event)
        found.append(state)
    return found


@moderate
@given(heartbeat_histories())
def test_every_instant_has_one_decision_and_they_come_in_order(history: History) -> None:
    decided: list[tuple[int, int]] = []
    fires: set[int] = set()
    for commit in history:
        for event in commit:
            match event:
                case HeartbeatFired(kind="schedule") | FireSkipped(kind="schedule"):
                    decided.append((event.due_ns, event.due_ns))
                case InstantsPassed():
                    decided.append((event.first_ns, event.last_ns))
                case FireClaimed():
                    assert event.fire not in fires
                    fires.add(event.fire)
                case _:
                    pass
    decided.sort()
    apart = [one[1] < other[0] for one, other in pairwise(decided)]
    assert all(apart), decided


@moderate
@given(heartbeat_histories())
def test_one_that_is_active_waits_for_an_instant_or_for_what_was_fired(history: History) -> None:
    for state in states(history):
        row = HEARTBEAT.open_entry(state)
        owed = HEARTBEAT.outstanding(state)
        if state.status == "active":
            assert row is not None
            assert row.wake_at_ns is not None or state.claims or state.deferred_ns is not None
        assert (row is not None and row.owes) == bool(owed)
        if state.status in ("paused", "deleted"):
            assert state.due_ns is None
            assert state.deferred_ns is None


@moderate
@given(heartbeat_histories())
def test_it_never_fires_more_often_than_it_may(history: History) -> None:
    for state in states(history):
        if state.settings.max_fires is not None and state.status == "active":
            assert state.fired < state.settings.max_fires


def test_every_kind_of_event_comes_up_in_a_history() -> None:
    assert not missing(
        get_args(HeartbeatEvent), heartbeat_histories(), chain.from_iterable, examples=5_000
    )


def test_every_kind_of_event_is_drawn_alone() -> None:
    assert not missing(
        get_args(HeartbeatEvent), heartbeat_events(), lambda event: [event], examples=5_000
    )


@moderate
@given(heartbeat_events())
def test_any_fact_is_stored_and_taken_in_even_if_nothing_led_to_it(event: HeartbeatEvent) -> None:
    [read] = stored(event)
    assert isinstance(evolve(HeartbeatState(), read), HeartbeatState)


def test_the_catalogue_has_every_event_of_a_heartbeat() -> None:
    assert set(get_args(HeartbeatEvent)) <= CODEC.known
