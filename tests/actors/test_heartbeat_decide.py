"""What becomes of the instants of a heartbeat: tables of misfires, overlaps, ends and bounds."""

from typing import Any

import pytest

from outlive.actors.heartbeat.commands import (
    ConcludeHook,
    ConcludePrepare,
    CreateHeartbeat,
    DeclareHeartbeat,
    DeleteHeartbeat,
    EndFire,
    HeartbeatChanges,
    HeartbeatCommand,
    HooksAtHand,
    PauseHeartbeat,
    RecoverHeartbeat,
    RefuseFire,
    ResumeHeartbeat,
    RunNow,
    TellFire,
    UpdateHeartbeat,
    WakeHeartbeat,
)
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.events import (
    AlreadyOver,
    Failure,
    FireClaimed,
    FireDeferred,
    FireEnded,
    FireScheduled,
    FireSkipped,
    FireStopped,
    HeartbeatCompleted,
    HeartbeatEvent,
    HeartbeatExists,
    HeartbeatFired,
    HeartbeatNotFound,
    HeartbeatPaused,
    HeartbeatSettings,
    HeartbeatState,
    HookRan,
    InstantsPassed,
    InvalidHeartbeat,
    MessageId,
    StreamId,
)

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_893_456_000 * SECOND  # 2030-01-01 00:00 UTC
BOOM = Failure(kind="error", message="boom")
ID = "hb_h"


class Told:
    """A heartbeat, and all that has happened to it."""

    def __init__(self, **settings: Any) -> None:
        self.state = HeartbeatState()
        self.events: list[HeartbeatEvent] = []
        said: dict[str, Any] = {"agent_id": "a", "prompt": "p", "every_ns": MINUTE, **settings}
        self.settings = HeartbeatSettings(**said)
        create = CreateHeartbeat(heartbeat_id=ID, settings=self.settings, key="k", now_ns=START)
        self.say(create)

    def say(self, command: HeartbeatCommand) -> tuple[HeartbeatEvent, ...]:
        events = HEARTBEAT.decide(self.state, command)
        for event in events:
            self.state = HEARTBEAT.evolve(self.state, event)
        self.events += events
        return events

    def wake(self, at: float, *, prepares: bool = False, hooked: bool = False) -> list[str]:
        """Wake it so many minutes after the start; return what becomes of its instants."""
        hooks = at_hand("", prepares=prepares, ends=hooked)
        return decisions(self.say(WakeHeartbeat(now_ns=minute(at), hooks=hooks)))

    def end(self, fire: int, status: str = "succeeded", at: float = 0, **has: Any) -> list[str]:
        sender = self.state.going[fire].stream
        end = EndFire(
            message=MessageId(sender=sender, sequence=9),
            fire=fire,
            status=status,  # type: ignore[arg-type]
            now_ns=minute(at),
            **has,
        )
        return decisions(self.say(end))

    def suspend(self, fire: int, at: float = 0, *, news: Any = "suspended", n: int = 1) -> None:
        message = MessageId(sender=self.state.going[fire].stream, sequence=n)
        self.say(TellFire(message=message, fire=fire, news=news, now_ns=minute(at)))


def at_hand(*names: str, prepares: bool, ends: bool) -> HooksAtHand:
    """Return that there are functions of these names."""
    found = frozenset(names)
    none: frozenset[str] = frozenset()
    return HooksAtHand(
        prepare=found if prepares else none, end=found if ends else none, known=found | {""}
    )


PREPARES = at_hand("", prepares=True, ends=False)


def minute(at: float) -> int:
    return START + round(at * MINUTE)


def decisions(events: tuple[HeartbeatEvent, ...]) -> list[str]:
    """Return in words what was decided: minutes after the start."""

    def of(at_ns: int) -> str:
        return f"{(at_ns - START) / MINUTE:g}"

    found: list[str] = []
    for event in events:
        match event:
            case HeartbeatFired():
                found.append(f"fired {of(event.due_ns)}")
            case FireSkipped():
                found.append(f"skipped {of(event.due_ns)} {event.reason}")
            case InstantsPassed():
                span = f"{of(event.first_ns)}-{of(event.last_ns)}"
                found.append(f"{event.decision} {span} x{event.count}")
            case FireDeferred():
                found.append(f"waits {of(event.due_ns)}")
            case FireStopped():
                found.append(f"stopped {event.fire} {event.reason}")
            case HeartbeatCompleted():
                found.append("completed")
            case HeartbeatPaused():
                found.append("paused")
            case _:
                pass
    return found


def next_due(told: Told) -> float | None:
    due_ns = told.state.due_ns
    return None if due_ns is None else (due_ns - START) / MINUTE


# ---- misfires: policy, grace in minutes, minutes of down-time, what comes of it


@pytest.mark.parametrize(
    ("misfire", "grace", "woken_at", "expected"),
    [
        # On time, however late within five seconds.
        ("one", None, 1, ["fired 1"]),
        ("skip", None, 1, ["fired 1"]),
        ("all", None, 1, ["fired 1"]),
        ("one", None, 1 + 4 / 60, ["fired 1"]),
        ("skip", None, 1 + 4 / 60, ["fired 1"]),
        ("skip", 0, 1 + 4 / 60, ["fired 1"]),
        ("all", 0, 1 + 4 / 60, ["fired 1"]),
        # One instant was missed.
        ("one", None, 1.5, ["fired 1"]),
        ("skip", None, 1.5, ["skipped 1-1 x1"]),
        ("all", None, 1.5, ["fired 1"]),
        # One was missed, longer ago than the grace.
        ("one", 0.25, 1.5, ["missed 1-1 x1"]),
        ("skip", 0.25, 1.5, ["missed 1-1 x1"]),
        # Several were missed.
        ("one", None, 4.5, ["coalesced 1-3 x3", "fired 4"]),
        ("skip", None, 4.5, ["skipped 1-4 x4"]),
        ("all", None, 4.5, ["fired 1"]),
        # Several were missed, some of them longer ago than the grace.
        ("one", 2, 4.5, ["missed 1-2 x2", "coalesced 3-3 x1", "fired 4"]),
        ("skip", 2, 4.5, ["missed 1-2 x2", "skipped 3-4 x2"]),
        ("all", 2, 4.5, ["missed 1-2 x2", "fired 3"]),
        ("one", 0.25, 4.5, ["missed 1-4 x4"]),
        ("all", 0.25, 4.5, ["missed 1-4 x4"]),
        # Several were missed, and the last one is on time.
        ("one", None, 4, ["coalesced 1-3 x3", "fired 4"]),
        ("skip", None, 4, ["skipped 1-3 x3", "fired 4"]),
        ("skip", 0, 4, ["missed 1-3 x3", "fired 4"]),
        ("one", 1, 4, ["missed 1-2 x2", "coalesced 3-3 x1", "fired 4"]),
        # A week went by: nothing is gone through one by one, and no more than 100 are made up for.
        ("one", None, 10_080.5, ["coalesced 1-10079 x10079", "fired 10080"]),
        ("skip", None, 10_080.5, ["skipped 1-10080 x10080"]),
        ("all", None, 10_080.5, ["missed 1-9980 x9980", "fired 9981"]),
    ],
)
@pytest.mark.parametrize(
    "schedule", [{}, {"every_ns": 0, "cron": "* * * * *"}], ids=["every", "cron"]
)
def test_what_was_missed(
    misfire: str, grace: float | None, woken_at: float, expected: list[str], schedule: Any
) -> None:
    grace_ns = None if grace is None else round(grace * MINUTE)
    told = Told(misfire=misfire, grace_ns=grace_ns, overlap="allow", **schedule)
    assert told.wake(woken_at) == expected
    last = expected[-1].split()[1].split("-")[-1]
    assert next_due(told) == float(last) + 1


def test_all_that_was_missed_is_made_up_for_one_by_one() -> None:
    told = Told(misfire="all", overlap="allow")
    fired = [told.wake(4.5) for _ in range(4)]
    assert fired == [["fired 1"], ["fired 2"], ["fired 3"], ["fired 4"]]
    assert told.wake(4.5) == []


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_what_is_made_up_for_waits_for_the_end_of_the_fire_before(overlap: str) -> None:
    told = Told(misfire="all", overlap=overlap)
    assert told.wake(3.5) == ["fired 1"]
    assert told.wake(3.5) == ["waits 2"]
    assert HEARTBEAT.open_entry(told.state).wake_at_ns is None  # type: ignore[union-attr]
    assert told.wake(3.5) == []
    assert told.end(1) == ["fired 2"]
    assert told.wake(3.5) == ["waits 3"]
    assert told.end(2) == ["fired 3"]
    assert told.wake(4) == (["skipped 4 overlap"] if overlap == "skip" else ["waits 4"])


def test_what_is_made_up_for_cancels_the_fire_before_if_it_is_to() -> None:
    told = Told(misfire="all", overlap="cancel_previous")
    assert told.wake(3) == ["fired 1"]
    assert told.wake(3) == ["stopped 1 overlap", "fired 2"]


def test_what_waits_to_be_made_up_for_is_decided_once_when_it_is_paused() -> None:
    for at, decided in [(3.5, ["skipped 2-3 x2"]), (0.5, ["skipped 2 paused"])]:
        told = Told(misfire="all")
        told.wake(3.5)
        assert told.wake(3.5) == ["waits 2"]
        paused = decisions(told.say(PauseHeartbeat(heartbeat_id=ID, now_ns=minute(at))))
        assert paused == [*decided, "paused"]
        assert told.end(1) == []


def test_what_waits_to_be_made_up_for_can_be_too_late_for_that() -> None:
    told = Told(misfire="all", grace_ns=2 * MINUTE)
    told.wake(2.5)
    assert told.wake(2.5) == ["waits 2"]
    assert told.end(1, at=9.5) == ["fired 2"]
    assert told.wake(9.5) == ["missed 3-7 x5", "waits 8"]


def test_what_waits_to_be_made_up_for_counts_among_the_fires() -> None:
    told = Told(misfire="all", max_fires=2)
    told.wake(9.5)
    assert told.wake(9.5) == ["waits 2"]
    assert told.end(1) == ["fired 2", "completed"]


def test_an_instant_is_due_once_whatever_the_clock_does() -> None:
    told = Told(overlap="allow")
    assert told.wake(3) == ["coalesced 1-2 x2", "fired 3"]
    assert told.wake(2) == []  # set back
    assert told.wake(3) == []
    assert told.wake(4) == ["fired 4"]
    told.say(PauseHeartbeat(heartbeat_id=ID, now_ns=minute(4.5)))
    told.say(ResumeHeartbeat(heartbeat_id=ID, now_ns=minute(1)))  # set back, and resumed
    assert told.wake(4) == []
    assert told.wake(5) == ["fired 5"]


def test_what_has_jitter_fires_later_by_the_same_each_time() -> None:
    told = Told(jitter_ns=30 * SECOND)
    spread = told.state.spread_ns
    assert 0 < spread < 30 * SECOND
    row = HEARTBEAT.open_entry(told.state)
    assert row is not None
    assert row.wake_at_ns == minute(1) + spread
    assert told.wake(1) == []
    assert told.wake(1 + spread / MINUTE) == ["fired 1"]
    assert Told(jitter_ns=30 * SECOND).state.spread_ns == spread


# ---- overlaps


@pytest.mark.parametrize(
    ("overlap", "second", "after_the_end", "third"),
    [
        ("skip", ["skipped 2 overlap"], [], ["fired 3"]),
        ("queue", ["waits 2"], ["fired 2"], ["waits 3"]),
        ("cancel_previous", ["stopped 1 overlap", "fired 2"], [], ["stopped 2 overlap", "fired 3"]),
        ("allow", ["fired 2"], [], ["fired 3"]),
    ],
)
def test_what_is_due_while_the_fire_before_goes_on(
    overlap: str, second: list[str], after_the_end: list[str], third: list[str]
) -> None:
    told = Told(overlap=overlap)
    assert told.wake(1) == ["fired 1"]
    assert told.wake(2) == second
    assert told.end(1, at=2.5) == after_the_end
    assert told.wake(3) == third


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel_previous", "allow"])
def test_one_that_waits_for_a_person_does_not_count(overlap: str) -> None:
    told = Told(overlap=overlap)
    told.wake(1)
    told.suspend(1)
    assert told.wake(2) == ["fired 2"]
    told.end(2)
    told.suspend(1, news="resumed", n=2)
    assert told.wake(3) != ["fired 3"] or overlap == "allow"


@pytest.mark.parametrize(
    ("overlap", "second", "prepared"),
    [
        ("skip", ["skipped 2 overlap"], [1]),
        ("queue", ["waits 2"], [1]),
        ("cancel_previous", ["skipped 1 overlap"], [2]),
        ("allow", [], [1, 2]),
    ],
)
def test_one_that_is_being_prepared_goes_on(
    overlap: str, second: list[str], prepared: list[int]
) -> None:
    told = Told(overlap=overlap)
    assert told.wake(1, prepares=True) == []
    assert told.wake(2, prepares=True) == second
    assert list(told.state.claims) == prepared
    for fire in (1, 2):
        told.say(ConcludePrepare(fire=fire, attempt=1, now_ns=minute(2.5), hooks=PREPARES))
    assert [*told.state.claims, *told.state.going][: len(prepared)] == prepared


def test_of_those_that_wait_one_is_kept() -> None:
    told = Told(overlap="queue")
    told.wake(1)
    told.wake(2)
    assert told.wake(3) == ["coalesced 3-3 x1"]
    assert told.end(1) == ["fired 2"]


@pytest.mark.parametrize("said", [{"skip": True}, {"error": BOOM}])
def test_one_that_has_waited_and_is_skipped_by_the_one_who_prepares_is_decided_once(
    said: dict[str, Any],
) -> None:
    told = Told(overlap="queue")
    told.wake(1)
    told.wake(2)
    assert told.end(1, hooks=PREPARES) == []
    prepared = ConcludePrepare(fire=2, attempt=1, now_ns=minute(2.5), hooks=PREPARES, **said)
    assert len(decisions(told.say(prepared))) == 1
    assert not told.state.claims
    assert told.wake(3, prepares=True) == []
    told.say(PauseHeartbeat(heartbeat_id=ID, now_ns=minute(3.5)))
    assert decisions(tuple(told.events))[-1] == "paused"


def test_one_that_waits_waits_on_when_somebody_fires_at_the_same_instant() -> None:
    told = Told(overlap="queue")
    told.wake(1)
    told.wake(2)
    told.say(RunNow(heartbeat_id=ID, run_id="r", now_ns=minute(2)))
    told.end(1)
    assert told.end(2) == ["fired 2"]


def test_one_that_waits_goes_on_when_the_fire_before_waits_for_a_person() -> None:
    told = Told(overlap="queue")
    told.wake(1)
    told.wake(2)
    told.suspend(1)
    assert set(told.state.going) == {1, 2}


# ---- ends


def test_what_takes_too_long_is_stopped_and_that_is_its_outcome() -> None:
    told = Told(timeout_ns=30 * SECOND)
    told.wake(1)
    row = HEARTBEAT.open_entry(told.state)
    assert row is not None
    assert row.wake_at_ns == minute(1.5)
    assert told.wake(1.5) == ["stopped 1 timeout"]
    assert told.wake(1.5) == []
    told.end(1, "aborted", at=1.6)
    ended = told.events[-1]
    assert isinstance(ended, FireEnded)
    assert (ended.outcome, ended.elapsed_ms) == ("timed_out", 36_000)


def test_what_has_ended_by_itself_before_it_was_stopped_has_its_own_outcome() -> None:
    told = Told(timeout_ns=30 * SECOND)
    told.wake(1)
    told.wake(1.5)
    told.end(1, "succeeded")
    ended = told.events[-1]
    assert isinstance(ended, FireEnded)
    assert ended.outcome == "succeeded"


def test_no_time_runs_while_a_person_is_waited_for() -> None:
    told = Told(timeout_ns=30 * SECOND)
    told.wake(1)
    told.suspend(1)
    assert told.wake(1.9) == []
    told.suspend(1, at=1.9, news="resumed", n=2)
    assert told.wake(2.1) == ["skipped 2 overlap"]
    assert told.wake(2.4) == ["stopped 1 timeout"]


def test_after_so_many_failures_in_a_row_it_pauses_itself() -> None:
    told = Told(max_failures=2)
    told.wake(1)
    assert told.end(1, "failed", error=BOOM) == []
    told.wake(2)
    told.end(2)  # succeeded: the row is broken
    told.wake(3)
    assert told.end(3, "failed", error=BOOM) == []
    told.wake(4)
    assert told.end(4, "timed_out", error=BOOM) == ["paused"]
    assert told.state.reason == "2 failures in a row; the last one: error: boom"
    assert next_due(told) is None
    told.say(ResumeHeartbeat(heartbeat_id=ID, now_ns=minute(9)))
    assert told.state.failures == 0
    assert next_due(told) == 10


def test_what_cannot_begin_has_failed() -> None:
    told = Told()
    told.wake(1)
    [sequence] = told.state.mail.outbox
    told.say(RefuseFire(fire=1, sequence=sequence, error=BOOM, now_ns=minute(1)))
    assert not told.state.mail.outbox
    assert not told.state.going
    assert told.state.failures == 1


def test_an_end_that_is_told_twice_is_one() -> None:
    told = Told()
    told.wake(1)
    message = MessageId(sender=StreamId("run-hb_h:1"), sequence=1)
    end = EndFire(message=message, fire=1, status="succeeded", now_ns=minute(1))
    assert told.say(end)
    assert not told.say(end)


# ---- bounds


def test_it_is_due_within_its_bounds_and_then_no_more() -> None:
    told = Told(starts_at_ns=minute(10), ends_at_ns=minute(12))
    assert next_due(told) == 10
    for at in (10, 11, 12):
        told.wake(at)
        told.end(told.state.fires)
    assert told.state.status == "completed"
    assert [each for each in told.events if isinstance(each, HeartbeatFired)][-1].due_ns == minute(
        12
    )
    assert next_due(told) is None


def test_it_fires_so_often_and_then_no_more() -> None:
    told = Told(max_fires=2)
    assert told.wake(1) == ["fired 1"]
    told.end(1)
    assert told.wake(2) == ["fired 2", "completed"]
    assert told.wake(3) == []
    told.end(2)
    assert told.state.status == "completed"
    told.say(
        UpdateHeartbeat(heartbeat_id=ID, changes=HeartbeatChanges(max_fires=3), now_ns=minute(4.5))
    )
    assert (told.state.status, next_due(told)) == ("active", 5.5)


def test_one_that_has_fired_often_enough_by_now_is_completed_and_one_that_has_not_goes_on() -> None:
    told = Told()
    told.wake(1)
    told.end(1)
    told.wake(2)
    once = HeartbeatChanges(max_fires=1)
    updated = told.say(UpdateHeartbeat(heartbeat_id=ID, changes=once, now_ns=minute(3)))
    assert decisions(updated) == ["skipped 3-3 x1", "completed"]
    assert told.state.reason
    more = HeartbeatChanges(max_fires=3)
    told.say(UpdateHeartbeat(heartbeat_id=ID, changes=more, now_ns=minute(3)))
    assert (told.state.status, told.state.reason) == ("active", "")


def test_what_is_skipped_by_the_one_who_prepares_is_no_fire() -> None:
    told = Told(max_fires=1)
    told.wake(1, prepares=True)
    assert told.wake(2, prepares=True) == ["skipped 2 max_fires"]
    skip = ConcludePrepare(fire=1, attempt=1, skip=True, now_ns=minute(2))
    assert decisions(told.say(skip)) == ["skipped 1 prepare"]
    assert told.wake(3) == ["fired 3", "completed"]


def test_an_instant_comes_once() -> None:
    told = Told(every_ns=0, at_ns=minute(3))
    assert told.wake(3) == ["fired 3", "completed"]
    told = Told(every_ns=0, at_ns=minute(3), misfire="skip")
    assert told.wake(9) == ["skipped 3-3 x1", "completed"]


@pytest.mark.parametrize(
    "settings",
    [
        {"every_ns": 0, "at_ns": minute(-1)},
        {"ends_at_ns": minute(0.5)},
        {"every_ns": 0, "cron": "0 0 0 1 1 * 2020"},
    ],
)
def test_what_would_never_be_due_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidHeartbeat, match="never be due"):
        Told(**settings)


# ---- what people want of it


def test_a_pause_leaves_no_backlog_and_every_instant_its_decision() -> None:
    told = Told(overlap="queue")
    told.wake(1)
    told.wake(2)
    paused = PauseHeartbeat(heartbeat_id=ID, reason="r", by="me", now_ns=minute(3.5))
    assert decisions(told.say(paused)) == ["skipped 2 paused", "skipped 3-3 x1", "paused"]
    assert told.say(paused) == ()
    assert told.wake(60) == []
    resume = ResumeHeartbeat(heartbeat_id=ID, now_ns=minute(60.5))
    assert told.say(resume)
    assert told.say(resume) == ()
    assert next_due(told) == 61.5


def test_another_schedule_counts_from_now() -> None:
    told = Told()
    changes = HeartbeatChanges(cron="30 * * * *")
    update = UpdateHeartbeat(heartbeat_id=ID, changes=changes, now_ns=minute(2.5))
    assert decisions(told.say(update)) == ["skipped 1-2 x2"]
    assert (told.state.settings.every_ns, next_due(told)) == (0, 30)
    assert told.say(update) == ()


def test_another_prompt_leaves_the_schedule_alone() -> None:
    told = Told()
    changes = HeartbeatChanges(prompt="q")
    told.say(UpdateHeartbeat(heartbeat_id=ID, changes=changes, now_ns=minute(0.5)))
    assert told.state.settings.prompt == "q"
    assert next_due(told) == 1


def test_it_fires_now_without_touching_the_schedule() -> None:
    told = Told(max_fires=1)
    told.wake(0.5)
    run = RunNow(heartbeat_id=ID, run_id="drawn", now_ns=minute(0.5))
    [claimed, fired] = told.say(run)
    assert isinstance(claimed, FireClaimed)
    assert isinstance(fired, HeartbeatFired)
    assert (fired.kind, fired.run_id) == ("manual", "drawn")
    assert told.say(run) == ()  # asked twice
    assert next_due(told) == 1
    told.end(1)
    told.say(PauseHeartbeat(heartbeat_id=ID, now_ns=minute(0.6)))
    assert told.say(RunNow(heartbeat_id=ID, run_id="again", now_ns=minute(0.7)))
    assert told.state.status == "paused"


def test_one_that_was_deleted_is_gone_until_it_is_created_anew() -> None:
    told = Told()
    told.wake(1)
    told.say(DeleteHeartbeat(heartbeat_id=ID, now_ns=minute(1.5)))
    assert told.say(DeleteHeartbeat(heartbeat_id=ID, now_ns=minute(1.5))) == ()
    for command in (
        PauseHeartbeat(heartbeat_id=ID, now_ns=0),
        ResumeHeartbeat(heartbeat_id=ID, now_ns=0),
        RunNow(heartbeat_id=ID, run_id="r", now_ns=0),
        UpdateHeartbeat(heartbeat_id=ID, changes=HeartbeatChanges(prompt="q"), now_ns=0),
    ):
        with pytest.raises(HeartbeatNotFound):
            told.say(command)
    assert told.wake(2) == []
    told.end(1)
    told.say(CreateHeartbeat(heartbeat_id=ID, settings=told.settings, key="l", now_ns=minute(9)))
    assert told.wake(10) == ["fired 10"]
    assert told.state.fires == 2


def test_what_is_being_prepared_when_it_is_deleted_is_not_fired_by_the_next_of_its_name() -> None:
    told = Told()
    told.wake(1, prepares=True)
    told.say(RunNow(heartbeat_id=ID, run_id="r", now_ns=minute(1), hooks=PREPARES))
    deleted = told.say(DeleteHeartbeat(heartbeat_id=ID, now_ns=minute(1)))
    assert decisions(deleted) == ["skipped 1 deleted", "skipped 1 deleted"]
    create = CreateHeartbeat(heartbeat_id=ID, settings=told.settings, key="again", now_ns=minute(1))
    told.say(create)
    for fire in (1, 2):
        conclude = ConcludePrepare(fire=fire, attempt=1, now_ns=minute(1.5), hooks=PREPARES)
        assert told.say(conclude) == ()


def test_an_id_is_taken_once() -> None:
    told = Told()
    again = CreateHeartbeat(heartbeat_id=ID, settings=told.settings, key="k", now_ns=minute(1))
    assert told.say(again) == ()  # the same request, told twice
    with pytest.raises(HeartbeatExists):
        told.say(CreateHeartbeat(heartbeat_id=ID, settings=told.settings, key="l", now_ns=0))


def test_one_that_is_over_is_not_resumed() -> None:
    told = Told(max_fires=1)
    told.wake(1)
    with pytest.raises(AlreadyOver):
        told.say(ResumeHeartbeat(heartbeat_id=ID, now_ns=minute(2)))


# ---- declared in code


def declare(told: Told, prompt: str, at: float) -> tuple[HeartbeatEvent, ...]:
    settings = HeartbeatSettings(agent_id="a", prompt=prompt, every_ns=MINUTE)
    return told.say(
        DeclareHeartbeat(heartbeat_id=ID, settings=settings, declared=prompt, now_ns=minute(at))
    )


def test_what_is_declared_takes_the_place_of_what_is_stored() -> None:
    told = Told()
    assert declare(told, "q", 0.5)
    assert (told.state.settings.prompt, told.state.declared, next_due(told)) == ("q", "q", 1)
    assert declare(told, "q", 0.6) == ()


def test_a_pause_of_the_user_stays_and_that_of_the_code_does_not() -> None:
    told = Told()
    told.say(PauseHeartbeat(heartbeat_id=ID, by="me", now_ns=minute(1)))
    declare(told, "q", 2)
    assert (told.state.status, told.state.settings.prompt) == ("paused", "q")
    told.say(ResumeHeartbeat(heartbeat_id=ID, now_ns=minute(3)))
    told.say(PauseHeartbeat(heartbeat_id=ID, by="code", now_ns=minute(4)))
    declare(told, "q", 5)
    assert (told.state.status, next_due(told)) == ("active", 6)


@pytest.mark.parametrize("paused", [False, True])
def test_what_somebody_has_changed_stays_until_the_code_says_something_else(paused: bool) -> None:
    told = Told()
    declare(told, "q", 0.5)
    changes = HeartbeatChanges(prompt="mine")
    told.say(UpdateHeartbeat(heartbeat_id=ID, changes=changes, now_ns=minute(1)))
    if paused:
        told.say(PauseHeartbeat(heartbeat_id=ID, by="me", now_ns=minute(1)))
    assert declare(told, "q", 2) == ()
    assert told.state.settings.prompt == "mine"
    declare(told, "r", 3)
    assert told.state.settings.prompt == "r"


def test_one_that_the_code_has_paused_can_be_paused_for_good() -> None:
    told = Told()
    declare(told, "q", 0.5)
    told.say(PauseHeartbeat(heartbeat_id=ID, by="code", now_ns=minute(1)))
    assert told.say(PauseHeartbeat(heartbeat_id=ID, by="me", now_ns=minute(1)))
    assert told.say(PauseHeartbeat(heartbeat_id=ID, by="you", now_ns=minute(1))) == ()
    declare(told, "q", 2)
    assert told.state.status == "paused"


def test_what_was_deleted_is_not_declared_again() -> None:
    told = Told()
    told.say(DeleteHeartbeat(heartbeat_id=ID, now_ns=minute(1)))
    assert declare(told, "q", 2) == ()


# ---- hooks


def test_what_was_being_called_when_the_process_died_is_called_once_more() -> None:
    told = Told()
    told.wake(1, prepares=True, hooked=True)
    told.say(RecoverHeartbeat(epoch=2, now_ns=minute(1)))
    assert told.say(ConcludePrepare(fire=1, attempt=1, now_ns=minute(1))) == ()  # of the one before
    assert decisions(told.say(ConcludePrepare(fire=1, attempt=2, now_ns=minute(1)))) == ["fired 1"]
    told.end(1)
    told.say(RecoverHeartbeat(epoch=3, now_ns=minute(1)))
    assert told.say(ConcludeHook(fire=1, attempt=1, hook="on_finish")) == ()
    assert told.say(ConcludeHook(fire=1, attempt=2, hook="on_finish"))
    assert not told.state.hooks


def test_what_kills_the_process_each_time_is_given_up() -> None:
    told = Told()
    told.wake(1, prepares=True, hooked=True)
    for _ in range(2):
        told.say(RecoverHeartbeat(epoch=2, max_recoveries=2, now_ns=minute(1)))
    events = told.say(RecoverHeartbeat(epoch=2, max_recoveries=2, now_ns=minute(1)))
    assert decisions(events) == ["skipped 1 failed"]
    assert told.state.hooks  # on_error is told
    for _ in range(3):
        told.say(RecoverHeartbeat(epoch=2, max_recoveries=2, now_ns=minute(1)))
    assert not told.state.hooks
    assert sum(isinstance(event, HookRan) for event in told.events) == 2


def test_a_hook_is_called_once_for_a_fire_that_waits_for_a_person_and_ends() -> None:
    told = Told()
    told.wake(1, hooked=True)
    told.suspend(1)
    assert told.state.hooks[1].outcome == "suspended"
    told.say(ConcludeHook(fire=1, attempt=1, hook="on_finish"))
    told.end(1)
    assert not told.state.hooks


def test_a_schedule_that_moves_says_when_it_is_due_next() -> None:
    told = Told()
    told.wake(1)
    scheduled = [event for event in told.events if isinstance(event, FireScheduled)]
    assert [event.due_ns for event in scheduled] == [minute(1), minute(2)]
