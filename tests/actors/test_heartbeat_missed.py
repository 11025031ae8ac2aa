"""What becomes of instants that were missed, up to which bound, and of what goes on meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from outlive.actors.heartbeat.commands import (
    ConcludePrepare,
    PauseHeartbeat,
    RunNow,
    TellFire,
    WakeHeartbeat,
)
from outlive.events import (
    FireDeferred,
    FireOverrides,
    FireSkipped,
    FireStopped,
    HeartbeatPaused,
    InstantsPassed,
    StreamId,
)
from tests.support.heartbeats import (
    MINUTE,
    PREPARES,
    SECOND,
    THREAD,
    claimed,
    created,
    fired,
    given,
    message,
    minute,
    scheduled,
    second_waits,
    wake,
)

# -- what was missed --


@pytest.mark.parametrize(
    ("settings", "late_ns", "fires"),
    [
        # A late instant is on time within five seconds,
        ({"misfire": "skip"}, 5 * SECOND, True),
        ({"misfire": "skip"}, 5 * SECOND + 1, False),
        ({"misfire": "all", "grace_ns": 0}, 5 * SECOND, True),
        ({"misfire": "all", "grace_ns": 0}, 5 * SECOND + 1, False),
        # or within its grace.
        ({"misfire": "one", "grace_ns": 30 * SECOND}, 30 * SECOND, True),
        ({"misfire": "one", "grace_ns": 30 * SECOND}, 30 * SECOND + 1, False),
        ({"misfire": "all", "grace_ns": 30 * SECOND}, 30 * SECOND, True),
        ({"misfire": "all", "grace_ns": 30 * SECOND}, 30 * SECOND + 1, False),
    ],
)
def test_an_instant_fires_late_up_to_a_bound(
    settings: dict[str, Any], late_ns: int, fires: bool
) -> None:
    late = WakeHeartbeat(now_ns=minute(1) + late_ns)
    after = created(**settings).when(late).after
    assert (after.state.fires == 1) is fires


def test_the_oldest_that_is_made_up_for_is_within_the_grace() -> None:
    for more, oldest in [(0, 1), (1, 2)]:
        late = WakeHeartbeat(now_ns=minute(3) + more)
        beats = created(misfire="all", grace_ns=2 * MINUTE, overlap="allow").when(late).after
        assert beats.state.going[1].due_ns == minute(oldest)


def test_what_is_made_up_for_waits_unless_it_is_on_time_or_has_fired_often_enough() -> None:
    late = created(misfire="all").when(wake(2.5)).after
    assert late.when(wake(2.5)).decided == (scheduled(2), FireDeferred(due_ns=minute(2)))
    on_time = WakeHeartbeat(now_ns=minute(2) + 5 * SECOND)
    assert late.when(on_time).decided == (
        FireSkipped(due_ns=minute(2), reason="overlap"),
        scheduled(3),
    )
    often = created(misfire="all", max_fires=1).when(wake(2.5, PREPARES)).after
    assert often.when(wake(2.5)).decided == (
        FireSkipped(due_ns=minute(2), reason="max_fires"),
        scheduled(3),
    )


def test_what_was_passed_over_says_why() -> None:
    created(grace_ns=2 * MINUTE).when(wake(4.5)).then(
        InstantsPassed(
            decision="missed", first_ns=minute(1), last_ns=minute(2), count=2, reason="misfire"
        ),
        InstantsPassed(
            decision="coalesced", first_ns=minute(3), last_ns=minute(3), count=1, reason="misfire"
        ),
        claimed(1, 4, 4.5),
        fired(1, 4, 4.5),
        scheduled(5),
    )
    second_waits().when(wake(3)).then(
        InstantsPassed(
            decision="coalesced", first_ns=minute(3), last_ns=minute(3), reason="overlap"
        ),
        scheduled(4),
    )


# -- what another one cancels --


def test_the_next_one_cancels_each_that_goes_on_once_and_none_that_waits_for_a_person() -> None:
    now = [RunNow(heartbeat_id="h", run_id=f"r{n}", now_ns=minute(0.5)) for n in range(2)]
    waits = TellFire(
        message=message(StreamId("run-r0")), fire=1, news="suspended", now_ns=minute(0.6)
    )
    both = created(overlap="cancel_previous").when(*now, waits).after
    first = both.when(wake(1)).after
    assert [event for event in first.events if isinstance(event, FireStopped)] == [
        FireStopped(fire=2, reason="overlap")
    ]
    again = first.when(wake(2)).decided
    assert [event for event in again if isinstance(event, FireStopped)] == [
        FireStopped(fire=3, reason="overlap")
    ]


def test_the_next_one_takes_the_place_of_what_is_being_prepared() -> None:
    now = RunNow(heartbeat_id="h", run_id="r", now_ns=minute(0.5), hooks=PREPARES)
    waits = created(overlap="cancel_previous").when(now).after
    assert waits.when(wake(1)).decided[0] == FireSkipped(
        due_ns=minute(0.5), kind="manual", reason="overlap", fire=1
    )


def test_the_one_who_prepares_may_choose_a_thread() -> None:
    said = FireOverrides(thread_id="t", resource_id="u")
    conclude = ConcludePrepare(fire=1, attempt=1, now_ns=minute(1), overrides=said)
    after = created().when(wake(1, PREPARES), conclude).after
    assert after.events[-1] == fired(1, 1, thread_id="t", overrides=said)
    assert after.state.going[1].to == THREAD


def test_nothing_is_due_while_it_is_not_active() -> None:
    once = created(every_ns=0, at_ns=minute(1))
    assert once.when(wake(0.9)).decided == ()
    paused = once.when(PauseHeartbeat(heartbeat_id="h", now_ns=minute(0.5))).after
    assert paused.when(wake(1)).decided == ()
    assert given(HeartbeatPaused(), scheduled(1)).when(wake(1)).decided == ()
