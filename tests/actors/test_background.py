"""What holds for a call in the background, of what agent, tool, runtime and model say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.actors import Agent, EchoModel, Retry, UntilIdle, tool
from outlive.actors.background import (
    Background,
    BackgroundTasks,
    Entry,
    Plan,
    clamped,
    plan_of,
    retry_of,
    stored_limits,
    with_choice,
)
from outlive.actors.background_plans import limits_of
from outlive.actors.retry import NO_RETRY
from outlive.events import InvalidDefinition, TaskLimits, Value
from tests.support import SECOND

TWICE = Retry(2, delay=1.5, factor=3, max_delay=20, jitter=0.2, retry_on=("timeout",))


def plan(
    entry: Entry | None = None,
    own: Entry = False,
    *,
    timeout: float | None = None,
    retry: Retry | None = None,
    defaults: BackgroundTasks | None = None,
) -> Plan | None:
    return plan_of(
        entry, own=own, timeout=timeout, retry=retry, defaults=defaults or BackgroundTasks()
    )


def limits(found: Plan | None) -> TaskLimits:
    assert found is not None
    return found.limits


@pytest.mark.parametrize(
    ("entry", "own"),
    [
        (None, False),
        (False, True),
        (False, Background()),
        (None, Background(mode="foreground")),
        (Background(mode="foreground"), Background()),
    ],
    ids=str,
)
def test_nothing_is_in_the_background_unless_somebody_says_so(
    entry: Entry | None, own: Entry
) -> None:
    assert plan(entry, own) is None


@pytest.mark.parametrize(
    ("entry", "own"),
    [(None, True), (True, False), (Background(), False), (True, Background(mode="foreground"))],
    ids=str,
)
def test_it_is_where_the_agent_says_so_or_else_the_tool(entry: Entry | None, own: Entry) -> None:
    found = plan(entry, own)
    foreground = isinstance(own, Background)  # the agent says that, and the tool how
    assert (found is None) is foreground


def test_what_the_agent_says_comes_before_the_tool_and_that_before_the_runtime() -> None:
    entry, own = Background(timeout=1, retry=1), Background(timeout=2, retry=2, stall_timeout=9)
    defaults = BackgroundTasks(default_timeout=4, default_retry=4)
    assert limits(plan(entry, own)).timeout_ns == 1 * SECOND
    assert limits(plan(entry, own)).max_retries == 1
    assert limits(plan(entry, own)).stall_timeout_ns == 9 * SECOND
    assert limits(plan(None, own)).timeout_ns == 2 * SECOND
    assert limits(plan(None, own)).max_retries == 2
    assert limits(plan(True, own)).timeout_ns == 2 * SECOND
    assert limits(plan(None, True, timeout=3, retry=Retry(3))).timeout_ns == 3 * SECOND
    assert limits(plan(None, True, timeout=3, retry=Retry(3))).max_retries == 3
    assert limits(plan(None, True, defaults=defaults)).timeout_ns == 4 * SECOND
    assert limits(plan(None, True, defaults=defaults)).max_retries == 4
    assert limits(plan(None, True, retry=NO_RETRY, defaults=defaults)).max_retries == 0
    assert limits(plan(None, True)).timeout_ns == 120 * SECOND
    unbound = BackgroundTasks(default_timeout=None)
    assert limits(plan(None, True, defaults=unbound)).timeout_ns is None


def test_durations_may_be_timedeltas_and_no_retry_is_a_retry_that_was_said() -> None:
    own = Background(timeout=timedelta(minutes=1), retry=0)
    found = limits(plan(None, own, retry=Retry(3)))
    assert (found.timeout_ns, found.max_retries) == (60 * SECOND, 0)


def test_every_field_of_the_retries_is_kept_with_the_task() -> None:
    assert retry_of(limits(plan(None, Background(retry=TWICE)))) == TWICE
    assert retry_of(stored_limits(timeout=None, stall_timeout=None, retry=Retry(1))) == Retry(1)


SAID: dict[str, Any] = {
    "mode": "awaited",
    "priority": 3,
    "detached": True,
    "on_complete": "wake",
    "let_model_choose": True,
}
OTHERWISE: dict[str, Any] = {
    "mode": "deferred",
    "priority": 0,
    "detached": False,
    "on_complete": "append",
    "let_model_choose": False,
}


@pytest.mark.parametrize("name", SAID)
def test_what_the_agent_leaves_out_is_as_the_tool_says(name: str) -> None:
    own = Background(**SAID)
    assert getattr(plan(None, own), name) == SAID[name]
    assert getattr(plan(True, own), name) == SAID[name]
    assert getattr(plan(Background(timeout=5), own), name) == SAID[name]
    assert getattr(plan(Background(**{name: OTHERWISE[name]}), own), name) == OTHERWISE[name]
    assert getattr(plan(Background(timeout=5), Background()), name) == OTHERWISE[name]


def test_an_agent_that_says_something_else_leaves_a_tool_in_the_foreground() -> None:
    assert plan(Background(timeout=5), Background(mode="foreground")) is None
    assert plan(Background(mode="deferred"), Background(mode="foreground")) is not None


# -- what a model may choose --

PLAN = Plan(limits=TaskLimits(timeout_ns=60 * SECOND, max_retries=2), let_model_choose=True)


@pytest.mark.parametrize(
    ("choice", "mode", "timeout", "retries"),
    [
        ({}, "deferred", 60, 2),
        ({"mode": "awaited"}, "awaited", 60, 2),
        ({"mode": "foreground"}, "foreground", 60, 2),
        ({"timeout": 5}, "deferred", 5, 2),
        ({"timeout": 1e300, "retry": 9}, "deferred", 60, 2),
        ({"timeout": 59.5, "retry": 0}, "deferred", 59.5, 0),
    ],
    ids=str,
)
def test_a_model_gets_what_it_wants_within_the_limits(
    choice: Value, mode: str, timeout: float, retries: int
) -> None:
    chosen = clamped(PLAN, choice)
    assert (chosen.mode, chosen.limits.timeout_ns, chosen.limits.max_retries) == (
        mode,
        timeout * SECOND,
        retries,
    )


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=1e-12),
    st.integers(0, 2**40),
    st.sampled_from([PLAN, Plan()]),
)
def test_whatever_it_chooses_it_gets_no_more(timeout: float, retry: int, before: Plan) -> None:
    chosen = clamped(before, {"timeout": timeout, "retry": retry}).limits
    assert chosen.timeout_ns is not None
    assert 1 <= chosen.timeout_ns <= (before.limits.timeout_ns or 2**63)
    assert chosen.max_retries <= before.limits.max_retries


@pytest.mark.parametrize(
    "choice",
    [
        5,
        None,
        {"mode": "later"},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "5"},
        {"timeout": float("nan")},
        {"retry": -1},
        {"retry": 1.5},
        {"priority": 1},
    ],
    ids=str,
)
def test_what_is_no_choice_is_refused(choice: Value) -> None:
    with pytest.raises(msgspec.ValidationError):
        clamped(PLAN, choice)


def test_the_schema_tells_a_model_what_it_may_choose() -> None:
    parameters: dict[str, Value] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    told: Any = with_choice(parameters, PLAN)
    assert list(told["properties"]) == ["n", "_background"]
    choice = told["properties"]["_background"]["properties"]
    assert choice["mode"]["enum"] == ["foreground", "deferred", "awaited"]
    assert (choice["timeout"]["maximum"], choice["retry"]["maximum"]) == (60, 2)
    assert "_background" not in str(parameters)


# -- the doors --


def test_a_parameter_by_which_a_model_would_choose_is_refused() -> None:
    async def look(_background: str = "") -> None:
        """Look."""

    choice = Background(let_model_choose=True)
    with pytest.raises(InvalidDefinition, match=r"'look' has a parameter '_background'"):
        tool(read_only=True, background=choice)(look)
    looking = tool(read_only=True)(look)
    with pytest.raises(InvalidDefinition, match=r"'look' has a parameter '_background'"):
        Agent("a", model=EchoModel(), tools=[looking], background={"look": choice})


@pytest.mark.parametrize("entries", [None, {"look": False}, {"look": Background(retry=2)}], ids=str)
def test_a_tool_that_is_called_in_the_foreground_may_be_enqueued_with_what_it_says(
    entries: Any,
) -> None:
    @tool(read_only=True, background=Background(mode="foreground"), timeout=7)
    async def look() -> None:
        """Look."""

    looking = Agent("a", model=EchoModel(), tools=[look], background=entries)
    for agent in (looking, None):
        assert limits_of(agent, look, BackgroundTasks()).timeout_ns == 7 * SECOND


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Background, {"timeout": 0}),
        (Background, {"timeout": -1}),
        (Background, {"timeout": float("inf")}),
        (Background, {"timeout": timedelta.max}),
        (Background, {"stall_timeout": timedelta(0)}),
        (Background, {"stall_timeout": 1e300}),
        (Background, {"retry": -1}),
        (Background, {"retry": "often"}),
        (Background, {"on_complete": "tell"}),
        (Background, {"mode": "later"}),
        (Background, {"priority": 1.5}),
        (Background, {"priority": True}),
        (Background, {"detached": 1}),
        (Background, {"let_model_choose": "yes"}),
        (BackgroundTasks, {"global_concurrency": 0}),
        (BackgroundTasks, {"per_agent_concurrency": True}),
        (BackgroundTasks, {"backpressure": "drop"}),
        (BackgroundTasks, {"max_queued": -1}),
        (BackgroundTasks, {"max_queued": 5, "backpressure": "reject"}),
        (BackgroundTasks, {"default_timeout": 0}),
        (BackgroundTasks, {"default_retry": -1}),
        (BackgroundTasks, {"progress_throttle": 1e300}),
        (UntilIdle, {"max_wait": timedelta.max}),
    ],
    ids=str,
)
def test_a_setting_that_cannot_hold_is_refused_with_the_reason(
    kind: Callable[..., object], options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidDefinition, match=r"not |nothing queues"):
        kind(**options)
