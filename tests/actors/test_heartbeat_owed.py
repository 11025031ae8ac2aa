"""What a heartbeat owes, to the user's functions and to what it fires; and its row."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from outlive.actors.heartbeat.commands import (
    CallHook,
    ConcludeHook,
    ConcludePrepare,
    CreateHeartbeat,
    DeclareHeartbeat,
    DeleteHeartbeat,
    EndFire,
    PauseHeartbeat,
    Prepare,
    RecoverHeartbeat,
    RunNow,
)
from outlive.actors.heartbeat.entity import open_entry, outstanding
from outlive.actors.mail import Acknowledge, Deliver
from outlive.events import (
    Failure,
    FireDeferred,
    FireSkipped,
    HeartbeatDeleted,
    HeartbeatFired,
    HeartbeatPaused,
    HeartbeatRecovered,
    HeartbeatState,
    HeartbeatUpdated,
    HookRan,
    InstantsPassed,
    MessageDelivered,
    OpenEntry,
    StreamId,
)
from tests.support.heartbeats import (
    BOOM,
    BOTH,
    EVERY_MINUTE,
    PREPARES,
    RUN_1,
    RUN_2,
    SECOND,
    START,
    THREAD,
    Heartbeat,
    claimed,
    created,
    fired,
    given,
    hooks,
    message,
    minute,
    scheduled,
    second_waits,
    wake,
)

# -- functions that were being called when the process died --

PREPARING: Final = created(overlap="allow").when(wake(1, BOTH), wake(2, BOTH)).after
"""Two fires are being prepared."""
TELLING: Final = (
    created(overlap="allow")
    .when(
        wake(1, hooks(end=True)),
        wake(2, hooks(end=True)),
        *[
            EndFire(
                message=message(StreamId(f"run-h:{fire}")),
                fire=fire,
                status="succeeded",
                now_ns=minute(2),
            )
            for fire in (1, 2)
        ],
    )
    .after
)
"""Somebody is being told of the ends of two fires."""


def recover(*running: Any, clean: bool = False, most: int | None = 5) -> RecoverHeartbeat:
    return RecoverHeartbeat(
        epoch=4, running=frozenset(running), clean=clean, max_recoveries=most, now_ns=minute(3)
    )


def killed(times: int) -> Failure:
    return Failure(kind="in_doubt", message=f"the process ended {times} times while it was called")


def test_they_are_called_once_more_but_for_those_that_still_run() -> None:
    both = PREPARING.when(recover()).then(HeartbeatRecovered(epoch=4, fires=(1, 2)))
    assert list(outstanding(both.state)) == [Prepare(1, 2), Prepare(2, 2)]
    PREPARING.when(recover(Prepare(1, 1))).then(HeartbeatRecovered(epoch=4, fires=(2,)))
    PREPARING.when(recover(Prepare(1, 1), Prepare(2, 1))).then()
    again = TELLING.when(recover()).then(HeartbeatRecovered(epoch=4, fires=(1, 2)))
    assert list(outstanding(again.state)) == [CallHook(1, 2), CallHook(2, 2)]
    TELLING.when(recover(CallHook(1, 1))).then(HeartbeatRecovered(epoch=4, fires=(2,)))
    TELLING.when(recover(CallHook(1, 1), CallHook(2, 1))).then()


def test_a_clean_end_does_not_count() -> None:
    clean = PREPARING.when(recover(clean=True, most=0)).then(
        HeartbeatRecovered(epoch=4, fires=(1, 2), clean=True)
    )
    assert [claim.crashes for claim in clean.state.claims.values()] == [0, 0]
    told = TELLING.when(recover(clean=True, most=0)).after
    assert [hook.crashes for hook in told.state.hooks.values()] == [0, 0]
    assert [claim.crashes for claim in PREPARING.when(recover()).after.state.claims.values()] == [
        *(1, 1)
    ]


def test_without_a_bound_they_are_called_however_often_that_was() -> None:
    beats = PREPARING
    for _ in range(9):
        beats = beats.when(recover(most=None)).after
    assert list(outstanding(beats.state)) == [Prepare(1, 10), Prepare(2, 10)]


def test_what_kills_the_process_each_time_is_given_up_and_what_waits_has_its_turn() -> None:
    PREPARING.when(recover(), recover(most=1)).then(
        HeartbeatRecovered(epoch=4),
        HookRan(fire=1, hook="prepare", error=killed(2)),
        FireSkipped(due_ns=minute(1), reason="failed", fire=1, error=killed(2)),
        HookRan(fire=2, hook="prepare", error=killed(2)),
        FireSkipped(due_ns=minute(2), reason="failed", fire=2, error=killed(2)),
    )
    now = RunNow(heartbeat_id="h", run_id="r", now_ns=minute(0.5), hooks=PREPARES)
    decided = created().when(now, recover(most=0)).decided
    assert decided[2] == FireSkipped(
        due_ns=minute(0.5), kind="manual", reason="failed", fire=1, error=killed(1)
    )
    waiting = second_waits(prepares=True).when(recover(most=0)).decided
    assert waiting[3:] == (claimed(2, 2, 3), fired(2, 2, 3))
    TELLING.when(recover(), recover(), recover(most=2)).then(
        HeartbeatRecovered(epoch=4),
        HookRan(fire=1, hook="", error=killed(3)),
        HookRan(fire=2, hook="", error=killed(3)),
    )


def test_the_functions_that_are_told_of_an_end_are_told_once() -> None:
    told = TELLING.when(ConcludeHook(fire=2, attempt=1, hook="on_finish", error=BOOM)).then(
        HookRan(fire=2, hook="on_finish", error=BOOM)
    )
    assert list(outstanding(told.state)) == [CallHook(1, 1)]
    told.when(ConcludeHook(fire=2, attempt=1, hook="on_finish")).then()
    told.when(ConcludeHook(fire=1, attempt=2, hook="on_finish")).then()


# -- what is owed, and the row --


def test_it_owes_what_it_fires_a_beginning_until_that_is_acknowledged() -> None:
    going = created().when(wake(1)).after
    assert list(outstanding(going.state)) == [Deliver(1, RUN_1, "begin-fire", "1")]
    assert going.state.going[1].settings == EVERY_MINUTE
    begun = going.when(Acknowledge(sequence=1)).then(MessageDelivered(sequence=1, to=RUN_1))
    assert outstanding(begun.state) == {}
    assert begun.state.going[1].settings is None, "it needs them no more"
    stop = replace(EVERY_MINUTE, overlap="cancel_previous")
    other = given(*going.events, HeartbeatUpdated(settings=stop)).when(wake(2)).after
    assert list(outstanding(other.state)) == [
        Deliver(1, RUN_1, "begin-fire", "1"),
        Deliver(3, RUN_2, "begin-fire", "2"),
    ]
    heard = other.when(Acknowledge(sequence=1)).after
    assert Deliver(2, RUN_1, "stop-fire", "1") in outstanding(heard.state)
    stopped = heard.when(Acknowledge(sequence=2)).after
    settings = stopped.state.going[2].settings
    assert settings is not None, "that one has not begun"


def test_a_message_to_a_fire_that_is_over_is_not_sent_any_more() -> None:
    going = created(overlap="allow").when(wake(1), wake(2)).after
    end = EndFire(message=message(RUN_1), fire=1, status="succeeded", now_ns=minute(2))
    over = going.when(end).after
    assert list(outstanding(over.state)) == [Deliver(2, RUN_2, "begin-fire", "2")]
    over.when(Acknowledge(sequence=1)).then()


def row(beats: Heartbeat) -> OpenEntry:
    found = open_entry(beats.state)
    assert found is not None
    return found


def test_the_row_says_what_it_waits_for_and_what_it_owes() -> None:
    assert open_entry(HeartbeatState()) is None
    active = OpenEntry(
        kind="heartbeat", status="active", wake_at_ns=minute(1), summary={"agent_id": "a"}
    )
    assert row(created()) == active
    assert row(created().when(wake(1)).after) == replace(
        active,
        wake_at_ns=minute(2),
        owes=True,
        summary={"agent_id": "a", "begins": '["h:1"]'},
    )
    begun = created().when(wake(1), Acknowledge(sequence=1)).after
    assert row(begun) == replace(active, wake_at_ns=minute(2))
    assert row(PREPARING) == replace(active, wake_at_ns=minute(3), owes=True)
    assert row(TELLING) == replace(active, wake_at_ns=minute(3), owes=True)


def test_the_row_names_what_is_needed_to_go_on() -> None:
    declare = DeclareHeartbeat(
        heartbeat_id="h",
        settings=replace(EVERY_MINUTE, prompt="", tool="t", hook="mine"),
        declared="d",
        now_ns=START,
    )
    declared = given().when(declare).after
    assert row(declared).summary == {
        "agent_id": "a",
        "declared": "d",
        "hook": "mine",
        "tool": "t",
    }


def test_the_row_names_the_runs_that_will_begin() -> None:
    now = RunNow(heartbeat_id="h", run_id="drawn", now_ns=minute(0.5), hooks=PREPARES)
    both = created(overlap="allow").when(now, wake(1)).after
    assert row(both).summary["begins"] == '["drawn","h:2"]'


def test_one_that_is_over_has_a_row_as_long_as_something_is_owed_or_watched() -> None:
    over = created(max_fires=1, timeout_ns=30 * SECOND).when(wake(1)).after
    owes = row(over)
    assert (owes.status, owes.owes, owes.over, owes.wake_at_ns) == (
        "completed",
        True,
        True,
        minute(1.5),
    )
    begun = over.when(Acknowledge(sequence=1)).after
    watched = row(begun)
    assert (watched.owes, watched.over, watched.wake_at_ns) == (False, True, minute(1.5))
    end = EndFire(message=message(RUN_1), fire=1, status="succeeded", now_ns=minute(1.2))
    assert open_entry(begun.when(end).after.state) is None
    unbounded = created(max_fires=1).when(wake(1), Acknowledge(sequence=1)).after
    assert open_entry(unbounded.state) is None


# -- decisions that wait --


def test_a_skipped_fire_leaves_what_waits_and_a_decision_for_that_does_not() -> None:
    waiting = second_waits()
    assert waiting.state.deferred_ns == minute(2)
    other = FireSkipped(due_ns=minute(3), reason="overlap")
    assert given(*waiting.events, other).state.deferred_ns == minute(2)
    decided = FireSkipped(due_ns=minute(2), reason="paused")
    assert given(*waiting.events, decided).state.deferred_ns is None
    passed = InstantsPassed(decision="skipped", first_ns=minute(2), last_ns=minute(4))
    assert given(*waiting.events, passed).state.deferred_ns is None
    just = InstantsPassed(decision="skipped", first_ns=minute(1), last_ns=minute(2))
    assert given(*waiting.events, just).state.deferred_ns is None
    later = InstantsPassed(decision="skipped", first_ns=minute(3), last_ns=minute(4))
    after = given(*waiting.events, later).state
    assert (after.deferred_ns, after.decided_ns) == (minute(2), minute(4))
    deferred = given(*waiting.events, FireDeferred(due_ns=minute(3))).state
    assert (deferred.deferred_ns, deferred.decided_ns) == (minute(3), minute(3))


def test_the_end_of_one_fire_leaves_what_the_thread_is_told_of_another() -> None:
    both = created(thread_id="t", resource_id="u", overlap="allow").when(wake(1), wake(2)).after
    first = [Deliver(1, THREAD, "begin-fire", "1")]
    assert list(outstanding(both.state)) == first, "the second one after the first"
    end = EndFire(message=message(THREAD), fire=1, status="aborted", now_ns=minute(2.5))
    assert list(outstanding(both.when(end).after.state)) == [Deliver(2, THREAD, "begin-fire", "2")]


def test_a_fire_by_hand_is_told_as_such_and_is_no_instant() -> None:
    now = RunNow(heartbeat_id="h", run_id="r", now_ns=minute(0.5), hooks=BOTH)
    failed = ConcludePrepare(fire=1, attempt=1, error=BOOM, now_ns=minute(0.6))
    not_fired = created().when(now, failed).after.state
    assert (not_fired.hooks[1].kind, not_fired.decided_ns) == ("manual", 0)
    fires = created().when(replace(now, hooks=hooks(end=True))).after
    end = EndFire(message=message(StreamId("run-r")), fire=1, status="failed", now_ns=minute(0.7))
    assert fires.when(end).after.state.hooks[1].kind == "manual"


def test_nobody_is_told_of_a_fire_that_was_not_wanted() -> None:
    skip = ConcludePrepare(fire=1, attempt=1, skip=True, now_ns=minute(1))
    after = created().when(wake(1, BOTH), skip).after.state
    assert (after.hooks, after.failures, after.decided_ns) == ({}, 0, minute(1))


def test_any_single_fact_is_taken_in_even_if_nothing_led_to_it() -> None:
    fires = given(HeartbeatFired(fire=1, due_ns=5, at_ns=7, run_id="r")).state.going[1]
    assert (fires.at_ns, fires.fired_at_ns, fires.hooked) == (7, 7, False)
    skipped = given(FireSkipped(due_ns=5, fire=1, error=BOOM)).state
    assert (skipped.failures, skipped.hooks) == (1, {})
    assert given(MessageDelivered(sequence=1, to=RUN_1)).state == HeartbeatState()


def test_where_a_clock_was_far_ahead_what_is_due_next_is_still_to_be_decided() -> None:
    def decided(due: float) -> int:
        ahead = InstantsPassed(decision="skipped", first_ns=minute(1), last_ns=minute(9))
        return given(ahead, scheduled(due)).state.decided_ns

    assert decided(10) == minute(9)
    assert decided(9) == minute(9) - 1
    assert decided(3) == minute(3) - 1


def test_preparing_another_fire_leaves_alone_who_is_told_of_an_end() -> None:
    assert given(*TELLING.events, HookRan(fire=1, hook="prepare")).state.hooks.keys() == {1, 2}


def test_one_that_is_created_again_begins_anew_and_goes_on_counting_its_fires() -> None:
    failed = EndFire(message=message(RUN_1), fire=1, status="failed", now_ns=minute(1.5))
    pause = PauseHeartbeat(heartbeat_id="h", reason="r", by="me", now_ns=minute(1.6))
    delete = DeleteHeartbeat(heartbeat_id="h", now_ns=minute(1.7))
    before = created().when(wake(1), failed, pause, delete).after
    assert (before.state.status, before.state.failures, before.state.fired) == ("deleted", 1, 1)
    create = CreateHeartbeat(
        heartbeat_id="h", settings=EVERY_MINUTE, key="l", now_ns=minute(2), by="you"
    )
    state = before.when(create).after.state
    assert (state.status, state.reason, state.paused_by) == ("active", "", "")
    assert (state.failures, state.fired, state.fires, state.key) == (0, 0, 1, "l")


def test_a_pause_and_a_deletion_leave_nothing_that_waits() -> None:
    overlap = second_waits()
    assert overlap.state.deferred_ns == minute(2)
    for gone in (HeartbeatPaused(reason="r", by="me"), HeartbeatDeleted()):
        state = given(*overlap.events, gone).state
        assert (state.due_ns, state.deferred_ns) == (None, None)


def test_an_update_of_one_that_is_paused_leaves_the_reason() -> None:
    paused = given(*created().events, HeartbeatPaused(reason="r", by="me"))
    updated = HeartbeatUpdated(settings=EVERY_MINUTE, spread_ns=7)
    state = given(*paused.events, updated).state
    assert (state.status, state.reason, state.paused_by, state.spread_ns) == (
        *("paused", "r", "me", 7),
    )
