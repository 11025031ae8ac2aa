"""What a heartbeat's facts say besides that they happened: of which fire, when, by whom, and why.

What is decided about its instants is told in tables in `test_heartbeat_decide`; here the facts
themselves are compared, and most of them are about a second fire, ten minutes late.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from outlive.actors.heartbeat.commands import (
    ConcludePrepare,
    CreateHeartbeat,
    DeclareHeartbeat,
    DeleteHeartbeat,
    EndFire,
    HeartbeatChanges,
    HeartbeatCommand,
    PauseHeartbeat,
    RefuseFire,
    ResumeHeartbeat,
    RunNow,
    SettleFire,
    TellFire,
    UpdateHeartbeat,
)
from outlive.actors.heartbeat.schedule import spread
from outlive.events import (
    AlreadyOver,
    Failure,
    FireEnded,
    FireOverrides,
    FireResumed,
    FireScheduled,
    FireSkipped,
    FireStopped,
    FireSuspended,
    HeartbeatCompleted,
    HeartbeatCreated,
    HeartbeatDeleted,
    HeartbeatExists,
    HeartbeatNotFound,
    HeartbeatPaused,
    HeartbeatResumed,
    HeartbeatUpdated,
    HookRan,
    InstantsPassed,
    InvalidHeartbeat,
    MessageDelivered,
    OutliveError,
    StreamId,
    Usage,
)
from tests.support.heartbeats import (
    BOOM,
    BOTH,
    EVERY_MINUTE,
    MINUTE,
    PREPARES,
    RUN_1,
    RUN_2,
    SECOND,
    START,
    THREAD,
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

# -- being there --


def test_one_that_is_created_says_by_whom_and_when_it_is_due() -> None:
    settings = replace(EVERY_MINUTE, jitter_ns=30 * SECOND)
    create = CreateHeartbeat(heartbeat_id="h", settings=settings, key="k", now_ns=START, by="me")
    given().when(create).then(
        HeartbeatCreated(
            heartbeat_id="h",
            settings=settings,
            key="k",
            spread_ns=spread("h", 30 * SECOND),
            by="me",
        ),
        FireScheduled(due_ns=minute(1), anchor_ns=START),
    )


def test_one_that_is_declared_says_so() -> None:
    settings = replace(EVERY_MINUTE, jitter_ns=30 * SECOND)
    declare = DeclareHeartbeat(heartbeat_id="h", settings=settings, declared="d", now_ns=START)
    there = (
        given()
        .when(declare)
        .then(
            HeartbeatCreated(
                heartbeat_id="h",
                settings=settings,
                declared="d",
                spread_ns=spread("h", 30 * SECOND),
            ),
            FireScheduled(due_ns=minute(1), anchor_ns=START),
        )
    )
    other = replace(settings, every_ns=2 * MINUTE, jitter_ns=MINUTE)
    again = replace(declare, settings=other, declared="e", now_ns=minute(0.5))
    changed = there.when(again).then(
        HeartbeatUpdated(settings=other, declared="e", spread_ns=spread("h", MINUTE)),
        FireScheduled(due_ns=minute(2.5), anchor_ns=minute(0.5)),
    )
    pause = PauseHeartbeat(heartbeat_id="h", by="code", now_ns=minute(1))
    changed.when(pause).after.when(replace(again, now_ns=minute(3))).then(
        HeartbeatResumed(by="code"), FireScheduled(due_ns=minute(5), anchor_ns=minute(3))
    )


def test_one_that_is_updated_says_by_whom() -> None:
    changes = HeartbeatChanges(prompt="q", jitter_ns=MINUTE - 1)
    update = UpdateHeartbeat(heartbeat_id="h", changes=changes, now_ns=minute(0.5), by="me")
    settings = replace(EVERY_MINUTE, prompt="q", jitter_ns=MINUTE - 1)
    after = (
        created()
        .when(update)
        .then(HeartbeatUpdated(settings=settings, spread_ns=spread("h", MINUTE - 1), by="me"))
    )
    assert after.state.declared == ""


def test_one_that_is_paused_resumed_and_deleted_says_by_whom_and_why() -> None:
    paused = created().when(
        PauseHeartbeat(heartbeat_id="h", reason="r", by="me", now_ns=minute(2.5))
    )
    on = paused.then(
        InstantsPassed(
            decision="skipped", first_ns=minute(1), last_ns=minute(2), count=2, reason="paused"
        ),
        HeartbeatPaused(reason="r", by="me"),
    ).when(ResumeHeartbeat(heartbeat_id="h", by="you", now_ns=minute(3)))
    deleted = on.then(
        HeartbeatResumed(by="you"), FireScheduled(due_ns=minute(4), anchor_ns=minute(3))
    ).when(DeleteHeartbeat(heartbeat_id="h", by="them", now_ns=minute(4)))
    deleted.then(
        InstantsPassed(
            decision="skipped", first_ns=minute(4), last_ns=minute(4), count=1, reason="deleted"
        ),
        HeartbeatDeleted(by="them"),
    )


def test_one_whose_instant_has_passed_while_it_was_paused_is_due_no_more() -> None:
    once = created(every_ns=0, at_ns=minute(3))
    paused = once.when(PauseHeartbeat(heartbeat_id="h", now_ns=minute(1))).after
    resume = ResumeHeartbeat(heartbeat_id="h", by="me", now_ns=minute(9))
    over = paused.when(resume).then(
        HeartbeatResumed(by="me"), HeartbeatCompleted(reason="it is due no more")
    )
    assert over.state.reason == "it is due no more"
    # Whatever is changed of it leaves it over, unless it would be due again.
    update = UpdateHeartbeat(
        heartbeat_id="h", changes=HeartbeatChanges(prompt="q"), now_ns=minute(10)
    )
    decided = over.when(update).decided
    assert decided[1:] == (HeartbeatCompleted(reason="it is due no more"),)
    early = UpdateHeartbeat(
        heartbeat_id="h", changes=HeartbeatChanges(at_ns=minute(4)), now_ns=minute(10)
    )
    over.when(early).then_refused(InvalidHeartbeat, match="never be due")


def test_the_reason_of_its_end_is_told() -> None:
    often = created(max_fires=1).when(wake(1)).after
    assert often.events[-1] == HeartbeatCompleted(reason="it has fired as often as it was to")
    last = created(ends_at_ns=minute(1)).when(wake(1)).after
    assert last.events[-1] == HeartbeatCompleted(reason="it is due no more")
    fewer = UpdateHeartbeat(
        heartbeat_id="h", changes=HeartbeatChanges(max_fires=1), now_ns=minute(1)
    )
    assert created().when(wake(1), fewer).after.events[-1] == HeartbeatCompleted(
        reason="it has fired as often as it was to"
    )


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        (PauseHeartbeat(heartbeat_id="h", now_ns=0), HeartbeatNotFound, "'h'"),
        (ResumeHeartbeat(heartbeat_id="h", now_ns=0), HeartbeatNotFound, "'h'"),
        (DeleteHeartbeat(heartbeat_id="h", now_ns=0), HeartbeatNotFound, "'h'"),
        (RunNow(heartbeat_id="h", run_id="r", now_ns=0), HeartbeatNotFound, "'h'"),
        (
            UpdateHeartbeat(heartbeat_id="h", changes=HeartbeatChanges(), now_ns=0),
            HeartbeatNotFound,
            "'h'",
        ),
    ],
)
def test_of_one_that_is_not_there_nothing_can_be_wanted(
    command: HeartbeatCommand, error: type[OutliveError], words: str
) -> None:
    given().when(command).then_refused(error, match=words)


def test_a_refusal_names_the_heartbeat() -> None:
    again = CreateHeartbeat(heartbeat_id="h", settings=EVERY_MINUTE, key="l", now_ns=START)
    created().when(again).then_refused(HeartbeatExists, match="'h'")
    over = created(max_fires=1).when(wake(1)).after
    resume = ResumeHeartbeat(heartbeat_id="h", now_ns=minute(2))
    over.when(resume).then_refused(AlreadyOver, match="heartbeat 'h' is over already: completed")


# -- firing --


def test_a_fire_says_which_when_and_until_when() -> None:
    end = EndFire(message=message(RUN_1), fire=1, status="succeeded", now_ns=minute(1.1))
    before = created(timeout_ns=30 * SECOND).when(wake(1), end).after
    after = before.when(wake(2.01, hooks(end=True))).then(
        claimed(2, 2, 2.01, hooked=True),
        fired(2, 2, 2.01, deadline_ns=minute(2.51)),
        scheduled(3),
    )
    assert after.state.going[2].at_ns == minute(2.01)


def test_a_fire_that_is_late_has_its_turn_from_when_it_was_claimed() -> None:
    prepared = created(timeout_ns=30 * SECOND).when(wake(1, PREPARES)).after
    after = prepared.when(ConcludePrepare(fire=1, attempt=1, now_ns=minute(1.5))).then(
        HookRan(fire=1, hook="prepare"), fired(1, 1, 1.5, deadline_ns=minute(2))
    )
    going = after.state.going[1]
    assert (going.at_ns, going.fired_at_ns) == (minute(1), minute(1.5))


def test_a_tool_is_fired_as_a_task_and_a_thread_is_told() -> None:
    tool = created(tool="t", prompt="")
    tool.when(wake(1)).then(claimed(1, 1), fired(1, 1, run_id="", task_id="h:1"), scheduled(2))
    thread = created(thread_id="t", resource_id="u")
    thread.when(wake(1)).then(claimed(1, 1), fired(1, 1, thread_id="t"), scheduled(2))


def test_a_fire_by_hand_says_by_whom_and_has_the_id_that_was_drawn_for_it() -> None:
    now = RunNow(heartbeat_id="h", run_id="drawn-1", by="me", now_ns=minute(0.5), hooks=BOTH)
    waits = (
        created()
        .when(now)
        .then(claimed(1, 0.5, kind="manual", run_id="drawn-1", prepares=True, hooked=True, by="me"))
    )
    waits.when(now).then()
    conclude = ConcludePrepare(fire=1, attempt=1, now_ns=minute(0.6), hooks=BOTH)
    going = waits.when(conclude).then(
        HookRan(fire=1, hook="prepare"), fired(1, 0.5, 0.6, kind="manual", run_id="drawn-1")
    )
    going.when(now).then()
    assert (going.state.fired, going.state.decided_ns) == (0, 0), "no instant was decided"


def test_what_waits_is_fired_with_what_is_at_hand_when_its_turn_comes() -> None:
    waiting = second_waits()
    end = EndFire(
        message=message(RUN_1), fire=1, status="succeeded", now_ns=minute(2.5), hooks=BOTH
    )
    decided = waiting.when(end).decided
    assert decided[1:] == (claimed(2, 2, 2.5, prepares=True, hooked=True),)


def test_what_waits_is_passed_over_once_it_has_fired_often_enough() -> None:
    # One that is being prepared counts; once it is skipped, what waits has its turn.
    waiting = second_waits(prepares=True, max_fires=2)
    skip = ConcludePrepare(fire=1, attempt=1, skip=True, now_ns=minute(2.5))
    assert waiting.when(skip).decided[2:4] == (claimed(2, 2, 2.5), fired(2, 2, 2.5))
    fewer = UpdateHeartbeat(
        heartbeat_id="h", changes=HeartbeatChanges(max_fires=1), now_ns=minute(2.5)
    )
    still = waiting.when(fewer).after
    decided = still.when(ConcludePrepare(fire=1, attempt=1, now_ns=minute(2.6))).decided
    assert decided[2:] == (
        FireSkipped(due_ns=minute(2), reason="max_fires"),
        HeartbeatCompleted(reason="it has fired as often as it was to"),
    )


# -- what the one who prepares says --


@pytest.mark.parametrize(
    ("said", "ran", "skipped"),
    [
        ({"skip": True}, None, {"reason": "prepare"}),
        ({"error": BOOM}, BOOM, {"reason": "failed", "error": BOOM}),
        ({"error": BOOM, "skip": True}, BOOM, {"reason": "failed", "error": BOOM}),
    ],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_fire_that_is_not_wanted_is_skipped_and_what_waits_has_its_turn(
    said: dict[str, Any], ran: Failure | None, skipped: dict[str, Any], by_hand: bool
) -> None:
    conclude = ConcludePrepare(fire=1, attempt=1, now_ns=minute(2.5), **said)
    if by_hand:
        now = RunNow(heartbeat_id="h", run_id="r", now_ns=minute(1), hooks=PREPARES)
        waiting = created(overlap="queue").when(now, wake(1)).after
        due, skipped = 1.0, {**skipped, "kind": "manual"}
    else:
        waiting, due = second_waits(prepares=True), 2.0
    waiting.when(conclude).then(
        HookRan(fire=1, hook="prepare", error=ran),
        FireSkipped(due_ns=minute(1), fire=1, **skipped),
        claimed(2, due, 2.5),
        fired(2, due, 2.5),
    )


def test_what_it_says_holds_for_that_fire() -> None:
    said = FireOverrides(prompt="now this", metadata={"k": 1})
    conclude = ConcludePrepare(fire=1, attempt=1, now_ns=minute(1), overrides=said)
    after = (
        created()
        .when(wake(1, PREPARES))
        .after.when(conclude)
        .then(HookRan(fire=1, hook="prepare"), fired(1, 1, overrides=said))
    )
    settings = after.state.going[1].settings
    assert settings is not None
    assert (settings.prompt, settings.metadata, settings.every_ns) == ("now this", {"k": 1}, MINUTE)


def test_what_it_says_that_does_not_hold_is_an_error() -> None:
    said = FireOverrides(prompt=" ")
    conclude = ConcludePrepare(fire=1, attempt=1, now_ns=minute(1), overrides=said)
    error = Failure(
        kind="prepare",
        message="prompt: text or parts that are not empty",
        exception="InvalidHeartbeat",
    )
    created().when(wake(1, PREPARES)).after.when(conclude).then(
        HookRan(fire=1, hook="prepare", error=error),
        FireSkipped(due_ns=minute(1), reason="failed", fire=1, error=error),
    )


def test_a_pause_meanwhile_is_for_the_schedule_and_not_for_a_fire_by_hand() -> None:
    now = RunNow(heartbeat_id="h", run_id="r", now_ns=minute(1.5), hooks=PREPARES)
    pause = PauseHeartbeat(heartbeat_id="h", now_ns=minute(1.6))
    paused = created().when(wake(1, PREPARES), now, pause).after
    paused.when(ConcludePrepare(fire=1, attempt=1, now_ns=minute(1.7))).then(
        HookRan(fire=1, hook="prepare"), FireSkipped(due_ns=minute(1), reason="over", fire=1)
    )
    paused.when(ConcludePrepare(fire=2, attempt=1, now_ns=minute(1.7))).then(
        HookRan(fire=2, hook="prepare"), fired(2, 1.5, 1.7, kind="manual", run_id="r")
    )


def test_what_is_said_for_another_attempt_or_fire_changes_nothing() -> None:
    prepared = created().when(wake(1, BOTH)).after
    prepared.when(ConcludePrepare(fire=1, attempt=2, now_ns=minute(1))).then()
    prepared.when(ConcludePrepare(fire=2, attempt=1, now_ns=minute(1))).then()


# -- how it goes and ends --


def test_an_end_says_what_it_was_and_what_it_took() -> None:
    before = created(overlap="allow").when(wake(1), wake(2, hooks(end=True))).after
    end = EndFire(
        message=message(RUN_2, 3),
        fire=2,
        status="failed",
        error=BOOM,
        usage=Usage(input_tokens=2),
        now_ns=minute(2.5) + 1_999_999,
    )
    after = before.when(end).then(
        FireEnded(
            fire=2,
            outcome="failed",
            error=BOOM,
            usage=Usage(input_tokens=2),
            elapsed_ms=30_001,
            message=message(RUN_2, 3),
        )
    )
    hook = after.state.hooks[2]
    assert (hook.due_ns, hook.at_ns, hook.outcome) == (minute(2), minute(2), "failed")
    assert (hook.stream, hook.error, hook.kind) == (RUN_2, BOOM, "schedule")
    assert after.state.mail.heard == {}, "it says no more"


@pytest.mark.parametrize("at", [0.5, 1.0])
def test_a_clock_that_was_set_back_makes_no_time_less_than_none(at: float) -> None:
    fires = created().when(wake(1)).after
    end = EndFire(message=message(RUN_1), fire=1, status="succeeded", now_ns=minute(at))
    [ended] = fires.when(end).decided
    assert isinstance(ended, FireEnded)
    assert ended.elapsed_ms == 0
    settle = SettleFire(fire=1, sequence=1, outcome="discarded", now_ns=minute(at))
    [_, settled] = created(thread_id="t", resource_id="u").when(wake(1), settle).decided
    assert isinstance(settled, FireEnded)
    assert settled.elapsed_ms == 0


def test_what_is_stopped_for_its_time_has_timed_out_and_says_so() -> None:
    stopped = created(timeout_ns=30 * SECOND).when(wake(1)).after.when(wake(1.5))
    after = stopped.then(FireStopped(fire=1, reason="timeout"))
    end = EndFire(message=message(RUN_1), fire=1, status="aborted", now_ns=minute(1.6))
    after.when(end).then(
        FireEnded(
            fire=1,
            outcome="timed_out",
            error=Failure(kind="timeout", message="it has taken longer than the timeout allows"),
            elapsed_ms=36_000,
            message=message(RUN_1),
        )
    )


def test_one_that_waits_for_a_person_and_goes_on_says_by_which_message() -> None:
    going = created(timeout_ns=30 * SECOND).when(wake(1)).after
    tell = TellFire(message=message(RUN_1, 2), fire=1, news="suspended", now_ns=minute(1.1))
    waits = going.when(tell).then(FireSuspended(fire=1, message=message(RUN_1, 2)))
    assert waits.state.mail.heard == {RUN_1: 2}
    waits.when(tell).then()
    on = replace(tell, news="resumed", message=message(RUN_1, 3), now_ns=minute(1.2))
    after = waits.when(on).then(
        FireResumed(fire=1, deadline_ns=minute(1.7), message=message(RUN_1, 3))
    )
    assert after.state.mail.heard == {RUN_1: 3}
    assert not after.state.going[1].suspended
    going.when(replace(tell, fire=2)).then()
    unbounded = created().when(wake(1), tell).after
    unbounded.when(on).then(FireResumed(fire=1, message=message(RUN_1, 3)))


def test_what_a_thread_has_done_with_a_fire_is_its_outcome_and_what_waits_has_its_turn() -> None:
    settle = SettleFire(fire=1, sequence=1, outcome="delivered", run_id="r", now_ns=minute(2.5))
    waiting = second_waits(thread_id="t", resource_id="u")
    told = MessageDelivered(sequence=1, to=THREAD)
    after = waiting.when(settle).then(
        told,
        FireEnded(fire=1, outcome="delivered", run_id="r", elapsed_ms=90_000),
        claimed(2, 2, 2.5),
        fired(2, 2, 2.5, thread_id="t"),
    )
    assert after.state.hooks[1].stream == "run-r"
    after.when(settle).then()
    nobody = waiting.when(replace(settle, outcome="persisted", run_id="")).after
    assert nobody.state.hooks[1].stream == THREAD


def test_the_run_that_a_fire_has_begun_on_a_thread_tells_its_end_itself() -> None:
    waiting = second_waits(thread_id="t", resource_id="u")
    end = EndFire(message=message(RUN_1), fire=1, status="succeeded", now_ns=minute(2.5))
    assert waiting.when(end).after.state.hooks[1].stream == RUN_1
    by_thread = replace(end, message=message(THREAD), status="aborted")
    assert waiting.when(by_thread).after.state.hooks[1].stream == THREAD


def test_what_cannot_begin_has_failed_and_what_waits_has_its_turn() -> None:
    refuse = RefuseFire(fire=1, sequence=1, error=BOOM, now_ns=minute(2.5))
    waiting = second_waits()
    after = waiting.when(refuse).then(
        MessageDelivered(sequence=1, to=RUN_1),
        FireEnded(fire=1, outcome="failed", error=BOOM),
        claimed(2, 2, 2.5),
        fired(2, 2, 2.5),
    )
    after.when(refuse).then()


@pytest.mark.parametrize(
    ("max_failures", "fails", "reason"),
    [
        (1, {"error": BOOM}, "it has failed; the last one: error: boom"),
        (1, {"error": Failure(kind="odd")}, "it has failed; the last one: odd"),
        (1, {}, "it has failed"),
        (2, {"error": BOOM}, "2 failures in a row; the last one: error: boom"),
    ],
)
def test_a_pause_for_its_failures_says_how_many_and_what_the_last_one_was(
    max_failures: int, fails: dict[str, Any], reason: str
) -> None:
    beats = created(max_failures=max_failures)
    for fire in range(1, max_failures + 1):
        end = EndFire(
            message=message(StreamId(f"run-h:{fire}")),
            fire=fire,
            status="failed",
            now_ns=minute(fire + 0.5),
            **fails,
        )
        beats = beats.when(wake(fire), end).after
    assert beats.events[-1] == HeartbeatPaused(reason=reason, by="failures")


def test_a_pause_for_its_failures_gives_what_waits_its_decision() -> None:
    end = EndFire(message=message(RUN_1), fire=1, status="failed", now_ns=minute(3.5))
    decided = second_waits(max_failures=1).when(end).decided
    assert decided[1:] == (
        FireSkipped(due_ns=minute(2), reason="paused"),
        InstantsPassed(
            decision="skipped", first_ns=minute(3), last_ns=minute(3), count=1, reason="paused"
        ),
        HeartbeatPaused(reason="it has failed", by="failures"),
    )


def test_a_function_that_fails_before_each_fire_is_a_failure_too() -> None:
    conclude = ConcludePrepare(fire=1, attempt=1, error=BOOM, now_ns=minute(1))
    decided = created(max_failures=1).when(wake(1, PREPARES), conclude).decided
    assert decided[2:] == (
        HeartbeatPaused(reason="it has failed; the last one: error: boom", by="failures"),
    )
