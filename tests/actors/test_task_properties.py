"""What holds of every task, whatever happens to it and in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Final, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outlive.actors.mail import Deliver
from outlive.actors.run.commands import CallTool
from outlive.actors.task.admission import Admission
from outlive.actors.task.commands import RetryTask
from outlive.actors.task.entity import TASK, open_entry, outstanding
from outlive.actors.task.rows import note
from outlive.events import (
    CODEC,
    Refused,
    StreamId,
    TaskEvent,
    TaskQueued,
    TaskRequeued,
    TaskResultIgnored,
    TaskStarted,
    TaskState,
    TaskSuspended,
    task_stream,
)
from outlive.events.task import evolve
from outlive.testing import fold, stored
from outlive.testing.strategies import task_commands, task_events, task_histories
from tests.support.drawn import missing

often = settings(max_examples=settings().max_examples * 3 // 2)  # of what the profile says
moderate = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])

History = list[tuple[TaskEvent, ...]]


HOLDS: Final[list[Callable[[History], None]]] = []


def holds(check: Callable[[History], None]) -> Callable[[History], None]:
    """Have this looked at in each history."""
    HOLDS.append(check)
    return check


@often
@given(task_histories())
def test_what_holds_of_every_task(commits: History) -> None:
    for check in HOLDS:  # All of it: to draw a history takes longer than to look at it.
        check(commits)


def states(commits: History) -> list[TaskState]:
    """Return the state after each commit."""
    state, found = TaskState(), list[TaskState]()
    for commit in commits:
        for event in commit:
            state = evolve(state, event)
        found.append(state)
    return found


@holds
def at_every_prefix_the_fold_of_what_is_stored_is_the_live_state(commits: History) -> None:
    prefix: tuple[TaskEvent, ...] = ()
    for live, commit in zip(states(commits), commits, strict=True):
        prefix = (*prefix, *commit)
        assert fold(*prefix, entity=TASK) == live
        assert stored(*prefix) == prefix


@holds
def a_terminal_state_never_changes_unless_somebody_wants_it_to(commits: History) -> None:
    ended = ""
    for state, commit in zip(states(commits), commits, strict=True):
        if ended and not any(isinstance(event, TaskRequeued) for event in commit):
            assert state.status == ended
            assert not any(isinstance(event, TaskStarted) for event in commit)
        ended = state.status if state.over else ""


@moderate
@given(task_histories(), st.data())
def test_nothing_that_may_come_makes_a_finished_task_run_again(
    commits: History, data: st.DataObject
) -> None:
    """Also what no history of its own has led to."""
    state = next((one for one in states(commits) if one.over), None)
    if state is None:
        return
    command = data.draw(task_commands(state))
    if isinstance(command, RetryTask):
        return  # That is what it is for.
    try:
        events = TASK.decide(state, command)
    except Refused:
        return
    for event in events:
        after = TASK.evolve(state, event)
        assert after.status == state.status
        assert CallTool(state.call_id, state.tool, state.attempt) not in outstanding(after)


@holds
def attempts_are_numbered_without_a_gap_and_one_begins_when_none_runs(commits: History) -> None:
    state, attempts = TaskState(), 0
    for commit in commits:
        for event in commit:
            if isinstance(event, TaskStarted):
                attempts += 1
                assert event.attempt == attempts
            state = evolve(state, event)
        calls = [effect for effect in outstanding(state) if isinstance(effect, CallTool)]
        assert calls == (
            [CallTool(state.call_id, "t", attempts)] if state.status == "running" else []
        )


@holds
def a_task_is_queued_first_and_once(commits: History) -> None:
    events = [event for commit in commits for event in commit]
    assert [type(event) is TaskQueued for event in events] == [
        number == 0 for number in range(len(events))
    ]


@holds
def it_has_a_row_until_it_is_over_and_has_told_all_who_want_to_know(commits: History) -> None:
    for state in states(commits):
        row = open_entry(state)
        assert (row is None) is (state.over and not state.mail.outbox and not state.hooks)
        if row is None:
            assert not outstanding(state)
        else:
            assert row.owes is bool(outstanding(state))
            assert row.over is state.over


@holds
def it_owes_who_has_asked_for_it_each_outcome_just_once(commits: History) -> None:
    for state in states(commits):
        posted = state.mail.sent
        # A run of the first one, and a thread; a heartbeat is told more than that.
        of_run = int(bool(state.run_id) and state.ends > 0)
        of_thread = state.ends - of_run if state.thread_id else 0
        assert state.fire is not None or posted == of_run + of_thread
        letters = [effect for effect in outstanding(state) if isinstance(effect, Deliver)]
        owed = len({letter.to for letter in state.mail.outbox.values()})  # To each one by one.
        assert len(letters) == owed <= posted


@holds
def what_is_open_and_does_not_run_waits_for_a_slot_an_instant_or_a_person(commits: History) -> None:
    for state in states(commits):
        if state.status == "queued":
            assert not state.asks
            assert not state.in_doubt
        if state.status == "suspended":
            assert bool(state.asks) is not state.in_doubt


@moderate
@given(st.lists(task_histories(max_commands=12), min_size=1, max_size=6), st.data())
def test_admission_folded_from_rows_is_admission_that_has_seen_it_all(
    histories: list[History], data: st.DataObject
) -> None:
    """Commits of several tasks come in any order; another process sees the last rows alone."""

    def fresh() -> Admission:
        return Admission(overall=3, per_agent=2, tools={})

    live, left = fresh(), [list(states(history)) for history in histories]
    last: dict[StreamId, TaskState] = {}

    def is_due(state: TaskState) -> bool:
        return (state.wake_at_ns or 0) <= 10**18

    while any(left):
        number = data.draw(st.sampled_from([n for n, commits in enumerate(left) if commits]))
        stream = task_stream(str(number))
        last[stream] = left[number].pop(0)
        note(live, stream, open_entry(last[stream]), due=is_due(last[stream]))
    folded = fresh()
    for stream in data.draw(st.permutations(list(last))):
        note(folded, stream, open_entry(last[stream]), due=is_due(last[stream]))
    turn, served = live.turn
    if served is not None:
        folded.served(served, turn)
    assert (folded.queued, folded.holding) == (live.queued, live.holding)
    given_away = [(live.next(), folded.next()) for _ in last]
    assert [one for one, _ in given_away] == [other for _, other in given_away]


def test_every_kind_of_event_comes_up_in_a_history() -> None:
    assert not missing(get_args(TaskEvent), task_histories(), chain.from_iterable, examples=3_000)


def test_every_kind_of_event_is_drawn_alone() -> None:
    assert not missing(get_args(TaskEvent), task_events(), lambda event: [event], examples=3_000)


@moderate
@given(task_events())
def test_any_fact_is_stored_and_taken_in_even_if_nothing_led_to_it(event: TaskEvent) -> None:
    [read] = stored(event)
    assert isinstance(evolve(TaskState(), read), TaskState)


def test_the_catalogue_has_every_event_of_a_task() -> None:
    assert set(get_args(TaskEvent)) <= CODEC.known


def test_what_comes_late_is_recorded_and_changes_nothing() -> None:
    suspended = fold(TaskQueued(tool="t"), TaskSuspended(key="k"), entity=TASK)
    assert evolve(suspended, TaskResultIgnored(attempt=1)) == suspended
