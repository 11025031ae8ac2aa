"""When what has failed is tried again, and which settings cannot hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outlive.actors import Retry
from outlive.actors.retry import LONGEST, as_retry, seconds
from outlive.events import InvalidDefinition

INFINITE = float("inf")


@pytest.mark.parametrize(
    ("value", "length"),
    [(1, 1), (0.001, 0.001), (LONGEST, LONGEST), (timedelta(minutes=1, milliseconds=500), 60.5)],
)
def test_a_duration_is_given_in_seconds_or_as_a_timedelta(value: Any, length: float) -> None:
    assert seconds("timeout", value) == length


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, INFINITE, float("nan"), timedelta(0), timedelta(seconds=-1), "1", None, True),
        *(1e10, 10**400, timedelta.max),  # longer than can be stored
    ],
)
def test_what_is_no_duration_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(InvalidDefinition, match=r"^timeout is a duration above zero in seconds, "):
        seconds("timeout", value)


def test_a_number_of_retries_stands_for_the_default_waits() -> None:
    assert as_retry(3) == Retry(3)
    assert as_retry(Retry(3, delay=9)) == Retry(3, delay=9)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_retries": 0},
        {"max_retries": 1_000_000},
        {"delay": 0, "max_delay": 0},
        {"delay": 0.5, "max_delay": 0.5},
        {"delay": 366 * 24 * 3600, "max_delay": 366 * 24 * 3600},
        {"factor": 1},
        {"factor": 1_000},
        {"jitter": 0},
        {"jitter": 1},
        {"retry_on": ()},
    ],
    ids=str,
)
def test_a_setting_holds_up_to_its_bounds(settings: dict[str, Any]) -> None:
    given: dict[str, Any] = {"max_retries": 1, **settings}
    retry = Retry(**given)
    assert {name: getattr(retry, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"max_retries": -1}, "^max_retries is a count from 0 to 1,000,000, not -1$"),
        ({"max_retries": 1_000_001}, "^max_retries is a count"),
        ({"max_retries": True}, "^max_retries is a count"),
        ({"delay": -0.1}, "^delay is a number from 0 to 3.16224e[+]07, not -0.1$"),
        ({"delay": 366 * 24 * 3600 + 1}, "^delay is a number"),
        ({"max_delay": -0.1}, "^max_delay is a number from 0 to"),
        ({"max_delay": 366 * 24 * 3600 + 1}, "^max_delay is a number"),
        ({"factor": 0.9}, "^factor is a number from 1 to 1000, not 0.9$"),
        ({"factor": 1_001}, "^factor is a number"),
        ({"jitter": -0.1}, "^jitter is a number from 0 to 1, not -0.1$"),
        ({"jitter": 1.1}, "^jitter is a number"),
        ({"jitter": "0.1"}, "^jitter is a number"),
        ({"retry_on": ["timeout"]}, "^retry_on is a tuple of names, such as"),
        ({"retry_on": (ValueError,)}, "^retry_on holds names, 'ConnectionError', not <class"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_hold_is_refused_by_its_name(
    settings: dict[str, Any], why: str
) -> None:
    given: dict[str, Any] = {"max_retries": 1, **settings}
    with pytest.raises(InvalidDefinition, match=why):
        Retry(**given)


@pytest.mark.parametrize("value", ["often", 1.5, None, True, -1, (1,)])
def test_what_is_no_retry_is_refused_by_the_name_of_what_was_said(value: Any) -> None:
    with pytest.raises(InvalidDefinition, match=r"^default_retry is Retry\(\.\.\.\), or a count"):
        as_retry(value, "default_retry")


def test_the_same_retry_of_the_same_call_waits_equally_long_for_ever() -> None:
    retry = Retry(3, delay=10, factor=1, jitter=0.5)
    waits = [retry.delay_ns(number, "r1/0.0") for number in (1, 2, 3)]
    assert waits == [14_862_683_146, 8_773_443_523, 12_386_939_545]
    assert retry.delay_ns(1, "r1/0.1") != waits[0]


def test_waits_are_spread_over_all_of_the_share_to_both_sides() -> None:
    retry = Retry(1, delay=10, jitter=0.5)
    waits = [retry.delay_ns(1, f"r{number}/0.0") / 1e9 for number in range(1_000)]
    assert 5 <= min(waits) < 5.1
    assert 14.9 < max(waits) <= 15
    assert 9.5 < sum(waits) / len(waits) < 10.5
