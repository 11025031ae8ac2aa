"""Model calls that fail: tried again when the reason may pass, then another model, then the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import pytest
from msgspec.structs import replace

from outlive.actors import (
    Agent,
    Finish,
    Model,
    ModelError,
    ModelPart,
    ModelRequest,
    Retry,
    Runtime,
    ScriptedModel,
    TextDelta,
    Turn,
)
from outlive.actors.model_error import kind_of, retry_after_ns
from outlive.actors.run.commands import (
    CallModel,
    CompleteModelCall,
    CompleteToolCall,
    FailModelCall,
    PlannedCall,
    Recover,
    StartRun,
    TellRun,
    Wake,
)
from outlive.actors.run.entity import open_entry, outstanding
from outlive.actors.run.model_call import types_of
from outlive.events import (
    CallId,
    Failure,
    InvalidDefinition,
    ModelCallFailed,
    ModelCallStarted,
    RunFailed,
    RunId,
    RunRecovered,
    RunStarted,
    Signal,
    run_stream,
)
from outlive.events.run import ModelWait
from outlive.projections import RunResult, TextReset
from outlive.testing import given
from tests.support import SECOND, START_NS, Machine, clock

NOW: Final = 1_000 * SECOND
BUSY: Final = Failure(kind="rate_limit", message="slow down")
RETRY: Final = Retry(2, delay=4, jitter=0)
CALLING: Final = given(
    RunStarted(agent_id="a", input="hi"), ModelCallStarted(model="m", messages=1)
)


def failing(attempt: int = 1, error: Failure = BUSY, **more: Any) -> FailModelCall:
    options: dict[str, Any] = {"retry": RETRY, "spread_by": "r1/model/0", **more}
    return FailModelCall(step=0, attempt=attempt, error=error, now_ns=NOW, **options)


WAITING: Final = given(
    *CALLING.events,
    ModelCallFailed(error=BUSY, retry_at_ns=NOW + 4 * SECOND),
)


def test_a_failure_that_may_pass_is_recorded_with_the_instant_of_the_next_try() -> None:
    waiting = CALLING.when(failing()).then(
        ModelCallFailed(error=BUSY, retry_at_ns=NOW + 4 * SECOND)
    )
    assert waiting.state.model_wait == ModelWait(attempt=1, messages=1, wake_at_ns=NOW + 4 * SECOND)
    assert outstanding(waiting.state) == {}
    row = open_entry(waiting.state)
    assert row is not None
    assert (row.owes, row.wake_at_ns) == (False, NOW + 4 * SECOND)


def test_at_that_instant_and_not_before_the_same_model_is_called_again() -> None:
    WAITING.when(Wake(now_ns=NOW + 4 * SECOND - 1)).then()
    again = WAITING.when(Wake(now_ns=NOW + 4 * SECOND)).then(
        ModelCallStarted(attempt=2, model="m", messages=1)
    )
    assert list(outstanding(again.state)) == [CallModel(0, 2)]
    assert again.state.model_calls == 2


def test_the_waits_grow_and_the_last_failure_ends_the_run() -> None:
    second = (
        WAITING.when(Wake(now_ns=NOW + 4 * SECOND))
        .after.when(failing(2))
        .then(ModelCallFailed(attempt=2, error=BUSY, retry_at_ns=NOW + 8 * SECOND))
    )
    third = second.when(Wake(now_ns=NOW + 8 * SECOND)).after.when(failing(3))
    third.then(ModelCallFailed(attempt=3, error=BUSY), RunFailed(error=BUSY))


def test_each_step_has_its_retries_anew() -> None:
    wake = Wake(now_ns=NOW + 4 * SECOND)
    call = PlannedCall(name="t", arguments={})
    answer = CompleteModelCall(step=0, attempt=2, tool_calls=(call,))
    done = CompleteToolCall(call_id=CallId("0.0"), attempt=1, result=None)
    later = WAITING.when(wake, answer, done).after
    [failed] = later.when(replace(failing(), step=1)).decided
    assert failed == ModelCallFailed(step=1, error=BUSY, retry_at_ns=NOW + 4 * SECOND)


def test_what_was_told_meanwhile_is_not_forgotten_as_the_model_is_called_again() -> None:
    tell = TellRun(signal_id="s", signal=Signal(text="hear"))
    told = CALLING.when(tell, failing(), Wake(now_ns=NOW + 4 * SECOND)).after
    assert told.state.unread == 1
    answered = told.when(CompleteModelCall(step=0, attempt=2, text="x")).after
    assert answered.events[-1] == ModelCallStarted(step=1, model="m", messages=3)
    assert answered.state.unread == 0


def test_the_provider_says_how_long_at_least() -> None:
    CALLING.when(failing(retry_after_ns=60 * SECOND)).then(
        ModelCallFailed(error=BUSY, retry_at_ns=NOW + 60 * SECOND)
    )
    CALLING.when(failing(retry_after_ns=SECOND)).then(
        ModelCallFailed(error=BUSY, retry_at_ns=NOW + 4 * SECOND)
    )


def test_those_who_were_told_the_same_time_do_not_all_come_back_at_the_same_instant() -> None:
    retry = Retry(1, delay=10, jitter=0.5)
    waits = {retry.delay_ns(1, f"r{n}", at_least_ns=60 * SECOND) for n in range(20)}
    assert len(waits) == 20
    assert all(60 * SECOND <= wait <= 65 * SECOND for wait in waits)


@pytest.mark.parametrize(
    ("kind", "retryable", "retry", "again"),
    [
        ("rate_limit", None, RETRY, True),
        ("unavailable", None, RETRY, True),
        ("timeout", None, RETRY, True),
        ("incomplete", None, RETRY, True),
        ("error", None, RETRY, False),
        ("rejected", None, RETRY, False),
        ("too_large", None, RETRY, False),
        ("error", True, RETRY, True),
        ("rate_limit", False, RETRY, False),
        ("error", None, Retry(1, retry_on=("error",)), True),
        ("rate_limit", None, Retry(1, retry_on=("error",)), False),
        ("error", None, Retry(1, retry_on=("OSError",)), True),
        ("error", None, Retry(1, retry_on=("ValueError",)), False),
        ("rate_limit", None, Retry(0), False),
    ],
)
def test_what_may_pass_is_said_by_its_kind_the_error_or_the_agent(
    kind: str, *, retryable: bool | None, retry: Retry, again: bool
) -> None:
    error = Failure(kind=kind)
    types = types_of(BrokenPipeError())
    command = failing(error=error, types=types, retryable=retryable, retry=retry)
    (failed, *_) = CALLING.when(command).decided
    assert isinstance(failed, ModelCallFailed)
    assert (failed.retry_at_ns is not None) is again


def test_when_a_model_is_given_up_the_next_one_is_asked_with_retries_of_its_own() -> None:
    other = CALLING.when(failing(error=Failure(kind="rejected"), fallback="n")).then(
        ModelCallFailed(error=Failure(kind="rejected")),
        ModelCallStarted(attempt=2, model="n", messages=1),
    )
    assert (other.state.model, other.state.model_failures) == ("n", 0)
    first = WAITING.when(Wake(now_ns=NOW + 4 * SECOND)).after
    moved = first.when(failing(2, retry=Retry(1), fallback="n")).after
    assert (moved.state.model, moved.state.model_failures) == ("n", 0)
    moved.when(failing(3)).then(
        ModelCallFailed(attempt=3, error=BUSY, retry_at_ns=NOW + 4 * SECOND)
    )


def test_a_failure_that_comes_twice_changes_nothing() -> None:
    WAITING.when(failing()).then()


def test_a_recovery_leaves_the_wait_as_it_is_and_uses_no_retry() -> None:
    recover = Recover(epoch=2, in_doubt={}, model="m")
    waits = WAITING.when(recover).then(RunRecovered(epoch=2))
    assert waits.state.model_wait == WAITING.state.model_wait
    cut_off = waits.when(Wake(now_ns=NOW + 4 * SECOND)).after.when(recover).after
    cut_off.when(failing(3)).then(
        ModelCallFailed(attempt=3, error=BUSY, retry_at_ns=NOW + 8 * SECOND)
    )


def test_a_run_that_waits_for_its_model_is_started_again_without_effect() -> None:
    WAITING.when(StartRun(agent_id="a", input="hi", model="m")).then()


class Limited:
    """A model that raises these errors, one an attempt, and answers after the last."""

    def __init__(self, *errors: BaseException, name: str = "limited") -> None:
        self.name: Final = name
        self.errors: Final = list(errors)
        self.asked_at: list[float] = []

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        self.asked_at.append(clock().seconds)
        yield TextDelta("I ")
        yield TextDelta("say ")
        if self.errors:
            await asyncio.sleep(0.03)
            raise self.errors.pop(0)
        yield TextDelta(self.name)
        yield Finish()


def asking(model: Model, *fallbacks: Model, **more: Any) -> Agent:
    return Agent("a", model=model, fallback_models=fallbacks, **more)


async def run(rt: Runtime) -> RunResult:
    return await rt.run("a", "hi", run_id="r1")


def test_a_rate_limit_is_waited_for_as_long_as_the_provider_says() -> None:
    model = Limited(ModelError("slow", kind="rate_limit", retry_after=60), TimeoutError())
    machine = Machine()
    result = machine.run(run, asking(model, model_retry=Retry(2, delay=4, jitter=0)))
    assert result.unwrap() == "I say limited"
    assert model.asked_at == [0.0, 60.03, 68.06]
    failures = [e for e in machine.events("r1") if isinstance(e, ModelCallFailed)]
    assert [failure.error.kind for failure in failures] == ["rate_limit", "timeout"]


def test_retries_are_part_of_an_agent_that_says_nothing_of_them() -> None:
    assert Machine().run(run, asking(Limited(ConnectionError()))).status == "completed"
    assert Machine().run(run, asking(Limited(ValueError()))).status == "failed"
    once = asking(Limited(ConnectionError()), model_retry=0)
    assert Machine().run(run, once).status == "failed"
    assert Machine().run(run, asking(ScriptedModel(broken_off_once))).output == "whole"


def broken_off_once(request: ModelRequest) -> Turn:
    return Turn("half", cut_off=True) if request.attempt == 1 else Turn("whole")


def test_the_next_model_answers_once_the_first_is_given_up_and_stays() -> None:
    first, second = Limited(*[TimeoutError() for _ in range(9)], name="first"), Limited()
    third = Limited(name="third")
    machine = Machine()
    agent = asking(first, second, third, model_retry=Retry(1, delay=1, jitter=0))
    assert machine.run(run, agent).unwrap() == "I say limited"
    started = [e for e in machine.events("r1") if isinstance(e, ModelCallStarted)]
    assert [event.model for event in started] == ["first", "first", "limited"]
    assert [event.attempt for event in started] == [1, 2, 3]
    assert third.asked_at == []


def test_when_no_model_is_left_the_run_fails_with_what_the_last_one_said() -> None:
    agent = asking(
        Limited(ValueError("one"), name="first"), Limited(ModelError("two", kind="rejected"))
    )
    result = Machine().run(run, agent)
    assert result.error is not None
    assert (result.status, result.error.kind, result.error.message) == (
        "failed",
        "rejected",
        "ModelError: two",
    )


def test_who_reads_the_text_is_told_that_it_begins_anew() -> None:
    async def read(rt: Runtime) -> list[str | TextReset]:
        started = await rt.start("a", "hi", run_id="r1")
        return [piece async for piece in started.text()]

    told = Machine().run(read, asking(Limited(TimeoutError())))
    at = told.index(TextReset())
    assert "".join(str(piece) for piece in told[:at]) == "I say "
    assert "".join(str(piece) for piece in told[at + 1 :]) == "I say limited"


def test_what_is_left_of_the_wait_is_waited_for_after_a_restart() -> None:
    model = Limited(ModelError(kind="unavailable", retry_after=timedelta(seconds=20)))
    agent = asking(model, model_retry=Retry(1, jitter=0))
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        await rt.start("a", "hi", run_id="r1")
        await asyncio.sleep(8)

    machine.crash(begin, agent)
    row = machine.log.open_entry(run_stream(RunId("r1")))
    assert row is not None
    assert row.wake_at_ns == START_NS + 20 * SECOND + 30_000_000
    machine.clock.advance(5)  # nobody was there
    result = machine.run(lambda rt: rt.result("r1"), agent)
    assert result.status == "completed"
    assert model.asked_at == [0.0, 20.03]
    assert "run-recovered" not in machine.kinds("r1"), "nothing was in flight"


def test_a_run_on_another_model_stays_there_after_a_restart_and_leaves_it_when_it_is_gone() -> None:
    first, second = Limited(ValueError(), name="first"), ScriptedModel([Turn("s " * 9, delay=1)])
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        await rt.start("a", "hi", run_id="r1")
        await asyncio.sleep(3)

    machine.crash(begin, asking(first, second))
    machine.crash(begin, asking(first, second))
    result = machine.run(lambda rt: rt.result("r1"), asking(Limited(name="new")))
    assert result.output == "I say new"
    started = [e.model for e in machine.events("r1") if isinstance(e, ModelCallStarted)]
    assert started == ["first", "scripted", "scripted", "new"]


def test_errors_of_other_libraries_are_known_by_what_they_say() -> None:
    class Theirs(Exception):
        retry_after = 2.5

    assert (kind_of(Theirs()), retry_after_ns(Theirs())) == ("rate_limit", 2_500_000_000)
    assert kind_of(ConnectionResetError()) == "unavailable"
    assert kind_of(TimeoutError()) == "timeout"
    assert kind_of(ValueError()) == "error"
    for wrong in (True, -1, float("nan"), float("inf"), "soon"):
        Theirs.retry_after = wrong  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        assert retry_after_ns(Theirs()) is None


def test_what_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="kind is one of"):
        ModelError(kind="odd")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidDefinition, match="retry_after"):
        ModelError(retry_after=-1)
    with pytest.raises(InvalidDefinition, match="two models named 'limited'"):
        asking(Limited(), Limited())
    with pytest.raises(InvalidDefinition, match="a model is an object"):
        asking(Limited(), "gpt")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidDefinition, match=r"^model_retry is Retry"):
        asking(Limited(), model_retry=-1)
