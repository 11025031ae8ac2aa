"""When heartbeats are due: what is remembered of one expression holds for whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from outlive.actors import Cron
from outlive.actors.heartbeat.schedule import Schedule
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
