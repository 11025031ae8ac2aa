"""What holds of every run, whatever happens to it and in whatever order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.actors import Retry
from outlive.actors.run.commands import (
    CompleteModelCall,
    CompleteToolCall,
    FailToolCall,
    PlannedCall,
    RunCommand,
    StartRun,
    Wake,
)
from outlive.actors.run.decide import decide
from outlive.actors.run.entity import RUN, open_entry, outstanding
from outlive.actors.snapshots import codec_of
from outlive.events import (
    BackgroundResultReceived,
    CallId,
    ChildRunEnded,
    ChildRunStarted,
    Failure,
    MessageDelivered,
    ModelCallCompleted,
    ModelCallStarted,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunId,
    RunStarted,
    RunState,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    ToolResultIgnored,
    Usage,
)
from outlive.events.run import evolve
from outlive.events.run.state import FOR_A_PERSON, FOR_MESSAGES
from outlive.projections import Transcript
from outlive.testing import fold, stored
from outlive.testing.strategies import run_histories

History = Sequence[tuple[RunEvent, ...]]

often = settings(max_examples=settings().max_examples * 3 // 2)  # of what the profile says
more_often = settings(max_examples=settings().max_examples * 3)
HOLDS: Final[list[Callable[[History], None]]] = []


def holds(check: Callable[[History], None]) -> Callable[[History], None]:
    """Have this looked at in each history."""
    HOLDS.append(check)
    return check


@more_often
@given(run_histories())
def test_what_holds_of_every_run(commits: History) -> None:
    for check in HOLDS:  # All of it: to draw a history takes longer than to look at it.
        check(commits)


def prefixes(commits: History) -> list[tuple[RunEvent, ...]]:
    """Return the history after each commit."""
    found: list[tuple[RunEvent, ...]] = []
    for commit in commits:
        found.append((*(found[-1] if found else ()), *commit))
    return found


def states(commits: History) -> list[RunState]:
    """Return the state after each commit."""
    state, found = RunState(), list[RunState]()
    for commit in commits:
        state = fold(*commit, state=state)
        found.append(state)
    return found


def flat(commits: History) -> list[RunEvent]:
    return [event for commit in commits for event in commit]


# -- what holds --


@holds
def at_every_prefix_the_fold_of_what_is_stored_is_the_live_state(commits: History) -> None:
    live = RunState()
    for prefix, commit in zip(prefixes(commits), commits, strict=True):
        for event in commit:
            live = evolve(live, event)
        assert fold(*prefix) == live
        assert stored(*prefix) == prefix


@holds
def a_run_has_a_row_until_it_is_over_and_its_messages_are_delivered(commits: History) -> None:
    for prefix, state in zip(prefixes(commits), states(commits), strict=True):
        ends = RunCompleted | RunFailed | RunCancelled
        ended = any(isinstance(event, ends) for event in prefix)
        assert ended is state.over
        entry = open_entry(state)
        assert (entry is None) is (ended and not state.mail.outbox)
        assert entry is None or entry.over is ended


@holds
def a_run_that_is_not_over_owes_something_or_has_an_instant_to_wait_for(commits: History) -> None:
    for state in states(commits):
        entry = open_entry(state)
        if entry is None:
            assert not outstanding(state)
            assert not state.calls
            assert state.model_attempt is None
        else:
            assert entry.owes is bool(outstanding(state))
            statuses = {call.status for call in state.calls.values()}
            for_a_person = bool(statuses & FOR_A_PERSON)
            for_others = bool(statuses & FOR_MESSAGES) or (state.rests and bool(state.tasks))
            assert entry.owes or entry.wake_at_ns is not None or for_a_person or for_others
            assert (entry.status == "suspended") <= (for_a_person and not for_others)
            assert (entry.status == "waiting") <= for_others


@holds
def a_call_that_is_over_is_never_owed_and_never_open_again(commits: History) -> None:
    over: set[CallId] = set()
    state = RunState()
    for event in flat(commits):
        state = evolve(state, event)
        if isinstance(event, ToolCallCompleted) or (
            isinstance(event, ToolCallFailed) and event.retry_at_ns is None
        ):
            over.add(event.call_id)
        assert not over & set(state.calls)
        assert not over & {getattr(effect, "call_id", None) for effect in outstanding(state)}


@holds
def a_call_is_answered_at_most_once_and_only_if_it_was_asked_for(commits: History) -> None:
    asked: set[CallId] = set()
    answered: Counter[CallId] = Counter()
    for event in flat(commits):
        match event:
            case ModelCallCompleted():
                asked |= {call.call_id for call in event.tool_calls}
            case ToolCallCompleted() | ToolCallFailed(retry_at_ns=None):
                assert event.call_id in asked
                answered[event.call_id] += 1
            case _:
                pass
    assert all(count == 1 for count in answered.values())


@holds
def a_run_starts_once_and_ends_at_most_once_and_then_only_what_is_late_is_recorded(
    commits: History,
) -> None:
    events = flat(commits)
    assert [isinstance(event, RunStarted) for event in events].index(True) == 0
    assert sum(isinstance(event, RunStarted) for event in events) == 1
    ends = [n for n, event in enumerate(events) if isinstance(event, RunCompleted | RunFailed)]
    assert len(ends) <= 1
    if ends:
        late = ToolResultIgnored | BackgroundResultReceived | MessageDelivered
        assert all(isinstance(event, late) for event in events[ends[0] + 1 :])


@holds
def attempts_grow_by_one(commits: History) -> None:
    tools: Counter[CallId] = Counter()
    models: Counter[int] = Counter()
    for event in flat(commits):
        match event:
            case ToolCallStarted():
                tools[event.call_id] += 1
                assert event.attempt == tools[event.call_id]
            case ModelCallStarted():
                models[event.step] += 1
                assert event.attempt == models[event.step]
            case _:
                pass


@holds
def no_more_calls_run_at_once_than_the_limit_and_no_more_steps_than_allowed(
    commits: History,
) -> None:
    for state in states(commits):
        statuses = [call.status for call in state.calls.values()]
        taken = ("started", "retrying", "child", "task")
        started = [status for status in statuses if status in taken]
        assert len(started) <= state.tool_concurrency
        assert state.step <= state.max_steps
        # A free place is never left empty while a call waits.
        if len(started) < state.tool_concurrency:
            assert "waiting" not in statuses


@holds
def the_model_is_called_with_as_many_messages_as_the_transcript_holds(commits: History) -> None:
    transcript, first = Transcript(), 0
    for event in flat(commits):
        transcript.apply(event)
        if isinstance(event, ModelCallStarted):
            if event.attempt == 1:
                first = len(transcript.messages)
                assert first == len(transcript.all())
            # Another attempt is the same call: what has come meanwhile is for the next one.
            assert event.messages == first


@holds
def at_every_prefix_the_fold_of_all_is_the_saved_state_and_the_rest(commits: History) -> None:
    codec = codec_of(RUN)
    saved = codec.encode(RunState())
    for live, events in zip(states(commits), commits, strict=True):
        state = fold(*events, state=codec.decode(saved))
        assert state == live
        saved = codec.encode(state)


# -- parallel results, in every order --


@st.composite
def outcomes(draw: st.DrawFn) -> list[str]:
    """What happens to one call: fails a few times and is tried again, then ends."""
    return [*["retry"] * draw(st.integers(0, 2)), draw(st.sampled_from(["complete", "fail"]))]


def play(
    plans: Sequence[Sequence[str]], concurrency: int, choose: Callable[[int], int]
) -> list[RunEvent]:
    """Let each call of one step come to its outcomes; `choose` says which call is next."""
    state, events = RunState(), list[RunEvent]()

    def do(command: RunCommand) -> None:
        nonlocal state
        decided = decide(state, command)
        events.extend(decided)
        state = fold(*decided, state=state)

    do(StartRun(agent_id="a", input="x", model="m", tool_concurrency=concurrency))
    planned = tuple(PlannedCall(name=f"t{n}", arguments={"n": n}) for n in range(len(plans)))
    usage = Usage(input_tokens=5, output_tokens=7)
    do(CompleteModelCall(step=0, attempt=1, tool_calls=planned, usage=usage))
    left = {CallId(f"0.{n}"): list(plan) for n, plan in enumerate(plans)}
    now_ns = 0
    while state.calls:
        ready = [call_id for call_id, call in state.calls.items() if call.status != "waiting"]
        call_id = ready[choose(len(ready))]
        call = state.calls[call_id]
        if call.wake_at_ns is not None:
            now_ns = max(now_ns, call.wake_at_ns)
            do(Wake(now_ns=now_ns))
            continue
        outcome = left[call_id].pop(0)
        if outcome == "complete":
            do(CompleteToolCall(call_id=call_id, attempt=call.attempt, result={"of": call_id}))
        else:
            retry = Retry(9) if outcome == "retry" else Retry(0)
            error = Failure(kind="error", message=f"{outcome} {call_id}")
            do(
                FailToolCall(
                    call_id=call_id,
                    attempt=call.attempt,
                    error=error,
                    now_ns=now_ns,
                    retry=retry,
                )
            )
    do(CompleteModelCall(step=1, attempt=1, text="done", usage=usage))
    return events


@often
@given(st.data(), st.lists(outcomes(), min_size=1, max_size=4), st.integers(1, 4))
def test_parallel_results_come_to_the_same_whatever_their_order(
    data: st.DataObject, plans: list[list[str]], concurrency: int
) -> None:
    in_turn = play(plans, concurrency, lambda _: 0)
    shuffled = play(plans, concurrency, lambda ready: data.draw(st.integers(0, ready - 1)))

    def told(events: list[RunEvent]) -> tuple[object, RunState]:
        transcript = Transcript()
        for event in events:
            transcript.apply(event)
        assert transcript.all() == tuple(transcript.messages)
        return transcript.all(), fold(*events)

    assert told(shuffled) == told(in_turn)
    assert fold(*shuffled).usage == Usage(input_tokens=10, output_tokens=14)
    assert fold(*shuffled).status == "completed"


@holds
def a_call_of_a_sub_agent_has_one_child_run_which_ends_with_its_one_result(
    commits: History,
) -> None:
    children: set[RunId] = set()
    for commit in commits:
        for number, event in enumerate(commit):
            match event:
                case ChildRunStarted(run_id=run_id):
                    assert run_id not in children
                    children.add(run_id)
                case ChildRunEnded(run_id=run_id, call_id=call_id):
                    children.remove(run_id)
                    result = commit[number + 1]
                    assert isinstance(result, ToolCallCompleted | ToolCallFailed)
                    assert result.call_id == call_id
                    children.add(run_id)
                case _:
                    pass


@holds
def a_message_is_owed_until_it_is_delivered_and_numbers_are_never_used_again(
    commits: History,
) -> None:
    state, posted = RunState(), 0
    for event in flat(commits):
        before, state = state.mail, evolve(state, event)
        new = set(state.mail.outbox) - set(before.outbox)
        assert all(sequence > posted for sequence in new)
        posted = max([posted, *new])
        assert posted == state.mail.sent
        if isinstance(event, MessageDelivered):
            assert event.sequence in before.outbox
            assert event.sequence not in state.mail.outbox
