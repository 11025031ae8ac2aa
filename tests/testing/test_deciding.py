"""Given, when, then: what it lets pass, and what it says when it does not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from msgspec import Struct

from outlive.actors.run.commands import (
    CallModel,
    CallTool,
    CompleteModelCall,
    Effect,
    Recover,
    StartRun,
)
from outlive.events import (
    CallId,
    Event,
    LogError,
    ModelCallCompleted,
    ModelCallStarted,
    OutliveError,
    Refused,
    RunCompleted,
    RunExists,
    RunStarted,
    Usage,
)
from outlive.testing import Given, fold, given, stored
from tests.testing.till import (
    TILL,
    TILL_CODEC,
    AddCoin,
    CoinAdded,
    CoinTaken,
    Command,
    TakeCoin,
    Till,
    TillEntity,
)

STARTED = (RunStarted(agent_id="a", input="go"), ModelCallStarted(model="m", messages=1))


def till(*events: Event, entity: TillEntity = TILL) -> Given[Till, Command]:
    return given(*events, entity=entity, codec=TILL_CODEC)


def wrong(sentence: Callable[[], object]) -> str:
    """What a sentence that does not hold says."""
    with pytest.raises(AssertionError) as failed:
        sentence()
    return str(failed.value)


def test_a_run_is_what_is_meant_if_nothing_else_is_said() -> None:
    answer = CompleteModelCall(step=0, attempt=1, text="gone")
    over = given(*STARTED).when(answer).then(ModelCallCompleted(text="gone"), RunCompleted())
    assert over.state.status == "completed"
    assert over.events == (*STARTED, ModelCallCompleted(text="gone"), RunCompleted())
    over.when(StartRun(agent_id="a", input="stay", model="m")).then_refused(RunExists)


def test_any_entity_may_be_meant() -> None:
    after = till(CoinAdded(cents=5)).when(TakeCoin(5)).then(CoinTaken(cents=5))
    assert after.state == Till()


def test_commands_come_one_after_the_other_and_the_last_is_asked_about() -> None:
    after = till().when(AddCoin(1), AddCoin(2), TakeCoin(1)).then(CoinTaken(cents=1))
    assert after.state == Till((2,))
    assert after.events == (CoinAdded(cents=1), CoinAdded(cents=2), CoinTaken(cents=1))


def test_a_sentence_goes_on_after_events_and_after_a_refusal() -> None:
    (
        till()
        .when(TakeCoin(5))
        .then_refused(Refused, match="no coin of 5")
        .when(AddCoin(5))
        .then(CoinAdded(cents=5))
        .when(TakeCoin(5))
        .then(CoinTaken(cents=5))
    )


def test_a_command_before_the_last_that_is_refused_says_so_itself() -> None:
    with pytest.raises(Refused, match="no coin"):
        till().when(TakeCoin(5), AddCoin(5))


def test_what_is_decided_can_be_looked_at() -> None:
    assert till().when(AddCoin(5)).decided == (CoinAdded(cents=5),)
    with pytest.raises(Refused, match="no coin"):
        _ = till().when(TakeCoin(5)).decided
    assert till().when(AddCoin(5)).after.state == Till((5,))


def test_something_must_come() -> None:
    with pytest.raises(TypeError, match="Give a command"):
        till().when()


# What a failure says


def test_events_that_differ_are_shown_side_by_side_without_their_defaults() -> None:
    said = wrong(lambda: till().when(AddCoin(5)).then(CoinAdded(cents=6)))
    assert said == (
        "AddCoin(cents=5)\n"
        "does not cause what is expected (- expected, + caused):\n"
        "  - CoinAdded(cents=6)\n"
        "  + CoinAdded(cents=5)"
    )


def test_what_is_alike_is_shown_once() -> None:
    answer = CompleteModelCall(step=0, attempt=1, text="x", usage=Usage(input_tokens=1))
    said = wrong(lambda: given(*STARTED).when(answer).then(ModelCallCompleted(text="x")))
    assert said.splitlines()[-3:] == [
        "  - ModelCallCompleted(text='x')",
        "  + ModelCallCompleted(text='x', usage=Usage(input_tokens=1))",
        "  + RunCompleted()",
    ]
    said = wrong(lambda: given(*STARTED).when(answer).then(RunCompleted()))
    assert said.splitlines()[-1] == "    RunCompleted()"


def test_a_refusal_in_the_place_of_events_is_shown() -> None:
    said = wrong(lambda: till().when(TakeCoin(5)).then(CoinTaken(cents=5)))
    assert said == (
        "TakeCoin(cents=5)\nis refused: Refused: there is no coin of 5\n"
        "and not obeyed with\n    CoinTaken(cents=5)"
    )


def test_events_in_the_place_of_a_refusal_are_shown() -> None:
    said = wrong(lambda: till().when(AddCoin(5)).then_refused(Refused))
    assert said == (
        "AddCoin(cents=5)\nis not refused with Refused but causes\n    CoinAdded(cents=5)"
    )


@pytest.mark.parametrize(("error", "match"), [(LogError, None), (Refused, "no note")])
def test_another_refusal_than_the_expected_is_shown(
    error: type[OutliveError], match: str | None
) -> None:
    said = wrong(lambda: till().when(TakeCoin(5)).then_refused(error, match=match))
    assert "there is no coin of 5" in said


# What is looked at by itself


class Impure(TillEntity):
    def __init__(self) -> None:
        self._number = count()

    def decide(self, state: Till, command: Command) -> tuple[Event, ...]:
        return (CoinAdded(cents=next(self._number)),)


def test_a_decision_that_comes_out_otherwise_the_second_time_is_found() -> None:
    said = wrong(lambda: till(entity=Impure()).when(AddCoin(5)).then(CoinAdded(cents=0)))
    assert "decide is not pure" in said
    assert "CoinAdded(cents=1)" in said


class Purse(Struct):
    coins: list[int] = []


class Spoiling(Struct):
    cents: list[int]


class PurseEntity:
    """Changes what it is handed."""

    initial = Purse()
    edition = 1
    lasts = False

    def decide(self, state: Purse, command: Spoiling) -> tuple[Event, ...]:
        if command.cents:
            command.cents.append(1)
        else:
            state.coins.append(1)
        return ()

    def evolve(self, state: Purse, event: Event) -> Purse:
        return state

    def outstanding(self, state: Purse) -> dict[str, None]:
        return {}

    def open_entry(self, state: Purse) -> None:
        return None


@pytest.mark.parametrize(("cents", "what"), [([], "the state"), ([5], "the command")])
def test_a_decision_that_changes_what_it_was_handed_is_found(cents: list[int], what: str) -> None:
    entity, history = PurseEntity(), CoinAdded(cents=1)
    said = wrong(
        lambda: given(history, entity=entity, codec=TILL_CODEC).when(Spoiling(cents)).then()
    )
    assert f"decide has changed {what}" in said


class Whispered(Event, tag="coin-added", frozen=True, kw_only=True):
    """Has the tag of another one: it comes back as that."""

    cents: int


class Hidden(Event, tag="hidden", frozen=True, kw_only=True):
    """Is in no catalogue."""


class Unwritable(Event, tag="unwritable", frozen=True, kw_only=True):
    what: Any


@pytest.mark.parametrize("event", [Whispered(cents=5), Hidden(), Unwritable(what=object())])
def test_an_event_that_is_not_read_back_as_it_was_is_found(event: Event) -> None:
    for sentence in (
        lambda: till(event),
        lambda: stored(event, codec=TILL_CODEC),
        lambda: till().when(AddCoin(5)).then(event),
    ):
        assert type(event).__name__ in wrong(sentence)


def test_a_tuple_that_comes_back_as_a_list_is_found() -> None:
    said = wrong(lambda: given(RunStarted(agent_id="a", input="", metadata={"at": (1, 2)})))  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]  # that is what is found
    assert "(1, 2)" in said
    assert "[1, 2]" in said


class Forgetful(Struct, frozen=True):
    seen: Any = ()


class ForgetfulEntity(TillEntity):
    """Its state is not what comes back from where it was saved."""

    @property
    def initial(self) -> Any:
        return Forgetful()

    def evolve(self, state: Any, event: Event) -> Any:
        return Forgetful(seen=(1, 2))


def test_a_state_that_is_not_read_back_as_it_was_is_found() -> None:
    said = wrong(lambda: till(CoinAdded(cents=5), entity=ForgetfulEntity()))
    assert "a state that comes back as another one" in said
    assert "seen=(1, 2)" in said


class Say(Struct, frozen=True):
    what: Any


@pytest.mark.parametrize("what", [object(), (1, 2), 1 << 70])
def test_a_command_that_cannot_be_written_down_is_found(what: object) -> None:
    command: Any = Say(what)
    assert "a command that c" in wrong(lambda: till().when(command).then())


def test_what_still_runs_is_written_down_with_a_recovery() -> None:
    running: frozenset[Effect] = frozenset({CallModel(0, 1), CallTool(CallId("0.0"), "t", 1)})
    recover = Recover(epoch=2, running=running, in_doubt={"t": "fail"}, model="m")
    assert given(*STARTED).when(recover).after.state.status == "running"


def test_a_fold_goes_on_from_a_state() -> None:
    state = fold(CoinAdded(cents=1), entity=TILL, codec=TILL_CODEC)
    assert fold(CoinAdded(cents=2), entity=TILL, codec=TILL_CODEC, state=state) == Till((1, 2))
    assert fold(*STARTED).model == "m"
