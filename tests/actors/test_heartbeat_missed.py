"""What becomes of instants that were missed, up to which bound, and of what goes on meanwhile."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from outlive.actors.heartbeat.commands import (
    ConcludePrepare,
    DeclareHeartbeat,
    HeartbeatChanges,
    HeartbeatCommand,
    PauseHeartbeat,
    ResumeHeartbeat,
    RunNow,
    TellFire,
    UpdateHeartbeat,
    WakeHeartbeat,
)
from outlive.events import (
    FireDeferred,
    FireOverrides,
    FireScheduled,
    FireSkipped,
    FireStopped,
    HeartbeatCompleted,
    HeartbeatEvent,
    HeartbeatPaused,
    HeartbeatUpdated,
    InstantsPassed,
    StreamId,
)
from tests.support.heartbeats import (
    EVERY_MINUTE,
    MINUTE,
    PREPARES,
    SECOND,
    START,
    THREAD,
    Heartbeat,
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


# -- a clock that was far ahead --

DAY: Final = 86_400 * SECOND


def decided_until(last_ns: int, *more: HeartbeatEvent) -> Heartbeat:
    """One that was declared by the code, and all of whose instants are decided up to one."""
    declare = DeclareHeartbeat(heartbeat_id="h", settings=EVERY_MINUTE, declared="d", now_ns=START)
    passed = InstantsPassed(decision="skipped", first_ns=minute(1), last_ns=last_ns)
    return given(*given().when(declare).after.events, passed, *more)


def due_after(beats: Heartbeat, command: HeartbeatCommand) -> int | None:
    return beats.when(command).after.state.due_ns


@pytest.mark.parametrize(
    ("far", "following"),
    [(DAY, minute(1) + DAY + MINUTE), (DAY + 1, minute(2))],
    ids=["a day", "more than a day"],
)
def test_what_a_clock_has_decided_that_was_far_ahead_is_undone_by_who_says_when_to_begin(
    far: int, following: int
) -> None:
    last_ns, now_ns = minute(1) + far, minute(1)
    paused = decided_until(last_ns, HeartbeatPaused(by="me"))
    resume = ResumeHeartbeat(heartbeat_id="h", by="me", now_ns=now_ns)
    assert due_after(paused, resume) == following
    completed = decided_until(last_ns, HeartbeatCompleted())
    update = UpdateHeartbeat(
        heartbeat_id="h", changes=HeartbeatChanges(ends_at_ns=minute(9_999)), now_ns=now_ns
    )
    assert due_after(completed, update) == following


def test_the_code_undoes_nothing_each_time_that_it_begins() -> None:
    last_ns, now_ns = minute(1) + 2 * DAY, minute(1)
    following = last_ns + MINUTE
    other = DeclareHeartbeat(
        heartbeat_id="h",
        settings=replace(EVERY_MINUTE, ends_at_ns=minute(9_999)),
        declared="e",
        now_ns=now_ns,
    )
    assert due_after(decided_until(last_ns), other) == following
    same = replace(other, settings=EVERY_MINUTE, declared="d")
    paused = decided_until(last_ns, HeartbeatPaused(by="code"))
    assert due_after(paused, same) == following


# -- what another schedule passes over --


def test_what_had_come_by_an_update_is_passed_over_and_says_why() -> None:
    passed = InstantsPassed(
        decision="skipped", first_ns=minute(1), last_ns=minute(2), count=2, reason="updated"
    )
    hourly = UpdateHeartbeat(
        heartbeat_id="h", changes=HeartbeatChanges(every_ns=60 * MINUTE), now_ns=minute(2.5)
    )
    updated = HeartbeatUpdated(settings=replace(EVERY_MINUTE, every_ns=60 * MINUTE))
    created().when(hourly).then(
        passed, updated, FireScheduled(due_ns=minute(62.5), anchor_ns=minute(2.5))
    )
    paused = created().when(PauseHeartbeat(heartbeat_id="h", now_ns=minute(0.5))).after
    paused.when(hourly).then(updated)
    fewer = UpdateHeartbeat(
        heartbeat_id="h", changes=HeartbeatChanges(max_fires=1), now_ns=minute(3.5)
    )
    fires = created().when(wake(1)).after
    assert fires.when(fewer).decided[0] == InstantsPassed(
        decision="skipped", first_ns=minute(2), last_ns=minute(3), count=2, reason="updated"
    )
    often = created(max_fires=1).when(wake(1)).after
    renamed = UpdateHeartbeat(
        heartbeat_id="h", changes=HeartbeatChanges(name="n"), now_ns=minute(2)
    )
    assert often.when(renamed).decided[1] == HeartbeatCompleted(reason=often.state.reason)


def test_an_instant_that_is_skipped_has_its_decision_and_a_fire_by_hand_is_none() -> None:
    skipped = FireSkipped(due_ns=minute(5), reason="overlap")
    assert given(skipped).state.decided_ns == minute(5)
    assert given(replace(skipped, kind="manual")).state.decided_ns == 0
