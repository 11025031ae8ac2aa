"""When heartbeats are due: what is remembered of one expression holds for whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from outlive.actors import Cron
from outlive.actors.heartbeat.schedule import Schedule, anchor_of, spread
from outlive.events import HeartbeatSettings

START = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
EXPRESSIONS = ("*/7 * * * *", "0 0 29 2 *", "30 2 * * *", "0 0 12 1 1 * 2026")


@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(("UTC", "Europe/Berlin")),
    st.lists(st.integers(0, 4 * 366 * DAY_US), min_size=2, max_size=8),
    st.integers(0, 999),
)
def test_in_whichever_order_it_is_asked_the_next_instant_is_that_of_its_expression(
    expression: str, zone: str, after: list[int], nanoseconds: int
) -> None:
    schedule = Schedule(HeartbeatSettings(agent_id="a", cron=expression, timezone=zone), 0)
    for microseconds in after:
        at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
        due = Cron(expression, zone).next(at)
        expected = None if due is None else _nanoseconds(due)
        assert schedule.next(_nanoseconds(at) + nanoseconds) == expected


def _nanoseconds(at: datetime) -> int:
    return (at - START) // timedelta(microseconds=1) * 1_000


# -- instants, in nanoseconds --

EVERY_10 = HeartbeatSettings(agent_id="a", every_ns=10)
AT_40 = HeartbeatSettings(agent_id="a", at_ns=40)
MINUTE = 60_000_000_000
MINUTELY = HeartbeatSettings(agent_id="a", cron="* * * * *")
ONCE = HeartbeatSettings(agent_id="a", cron="0 0 0 1 1 * 2026")
NEW_YEAR = _nanoseconds(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("settings", "at_ns", "following", "last"),
    [
        # An interval is counted from its anchor, at which it is not due.
        (EVERY_10, 0, 30, None),
        (EVERY_10, 20, 30, None),
        (EVERY_10, 29, 30, None),
        (EVERY_10, 30, 40, 30),
        (EVERY_10, 39, 40, 30),
        (EVERY_10, 40, 50, 40),
        # An instant comes once.
        (AT_40, 39, 40, None),
        (AT_40, 40, None, 40),
        (AT_40, 41, None, 40),
        # A minute, whatever is less than a microsecond.
        (MINUTELY, 3 * MINUTE - 1, 3 * MINUTE, 2 * MINUTE),
        (MINUTELY, 3 * MINUTE, 4 * MINUTE, 3 * MINUTE),
        (ONCE, NEW_YEAR - 1, NEW_YEAR, None),
        (ONCE, NEW_YEAR, None, NEW_YEAR),
        # Bounds count themselves.
        (replace(EVERY_10, starts_at_ns=40), 0, 40, None),
        (replace(EVERY_10, starts_at_ns=40), 39, 40, None),
        (replace(EVERY_10, starts_at_ns=40), 45, 50, 40),
        (replace(EVERY_10, starts_at_ns=41), 45, 50, None),
        (replace(EVERY_10, starts_at_ns=41), 0, 50, None),
        (replace(EVERY_10, ends_at_ns=40), 30, 40, 30),
        (replace(EVERY_10, ends_at_ns=40), 99, None, 40),
        (replace(EVERY_10, ends_at_ns=39), 30, None, 30),
        (replace(EVERY_10, every_ns=1, starts_at_ns=40), 0, 40, None),
        (replace(AT_40, starts_at_ns=41), 0, None, None),
        (replace(AT_40, starts_at_ns=41), 99, None, None),
        (replace(AT_40, ends_at_ns=39), 0, None, None),
    ],
)
def test_the_instants_next_to_another_one(
    settings: HeartbeatSettings, at_ns: int, following: int | None, last: int | None
) -> None:
    schedule = Schedule(settings, 20)
    assert (schedule.next(at_ns), schedule.last(at_ns)) == (following, last)


@pytest.mark.parametrize(
    ("settings", "first_ns", "last_ns", "count"),
    [
        (EVERY_10, 30, 30, 1),
        (EVERY_10, 30, 70, 5),
        (AT_40, 40, 40, 1),
        (AT_40, 39, 41, 1),
        (AT_40, 30, 39, 0),
        (AT_40, 41, 50, 0),
        (MINUTELY, MINUTE, MINUTE, 1),
        (MINUTELY, MINUTE, 3 * MINUTE, 3),
    ],
)
def test_how_many_there_are_from_one_to_another(
    settings: HeartbeatSettings, first_ns: int, last_ns: int, count: int
) -> None:
    assert Schedule(settings, 20).count(first_ns, last_ns) == count


def test_an_interval_is_counted_from_now_or_from_when_it_starts() -> None:
    assert anchor_of(EVERY_10, 7) == 7
    assert anchor_of(replace(EVERY_10, starts_at_ns=40), 7) == 30, "it is due when it starts"


def test_a_heartbeats_share_of_the_jitter_is_its_own_and_the_same_for_ever() -> None:
    assert spread("hb_h", 0) == 0
    assert spread("hb_h", 1) == 0
    shares = [spread(f"hb_{number}", MINUTE) for number in range(100)]
    assert len(set(shares)) == 100
    assert all(0 <= share < MINUTE for share in shares)
    assert [spread("hb_a", MINUTE), spread("hb_b", MINUTE)] == [55_011_952_181, 51_945_747_254]
