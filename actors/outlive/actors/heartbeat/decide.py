"""What a heartbeat does about a command: pure, without clock, random or I/O.

A command first has its own facts. What follows from the state after them (`_then`) is the same
whatever they were, and in the same commit: an instant that has waited for the end of a fire is
claimed, one that has failed too often is paused, one that will be due no more is completed.
"""

from __future__ import annotations

from typing import Final, assert_never

from outlive.actors.heartbeat.commands import (
    CallHook,
    ConcludeHook,
    ConcludePrepare,
    CreateHeartbeat,
    DeclareHeartbeat,
    DeleteHeartbeat,
    Driven,
    EndFire,
    HeartbeatCommand,
    PauseHeartbeat,
    Prepare,
    RecoverHeartbeat,
    RefuseFire,
    ResumeHeartbeat,
    RunNow,
    SettleFire,
    TellFire,
    UpdateHeartbeat,
    WakeHeartbeat,
)
from outlive.actors.heartbeat.due import (
    Events,
    abandoned,
    claim,
    due,
    fire,
    is_busy,
    spent,
    unprepared,
)
from outlive.actors.heartbeat.schedule import Schedule, anchor_of, spread
from outlive.actors.heartbeat.settled import changed, check, check_fire, same_schedule
from outlive.actors.mail import Acknowledge, acknowledged
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
    HeartbeatEvent,
    HeartbeatExists,
    HeartbeatNotFound,
    HeartbeatPaused,
    HeartbeatRecovered,
    HeartbeatResumed,
    HeartbeatSettings,
    HeartbeatState,
    HeartbeatUpdated,
    HookRan,
    InvalidDefinition,
    InvalidHeartbeat,
    InvalidSignal,
)
from outlive.events.heartbeat import FireOutcome, evolve, overridden
from outlive.events.mail import is_repeat

BY_CODE: Final = "code"
"""Who has paused a heartbeat that was declared in code, and is so no more."""
BY_FAILURES: Final = "failures"
"""Who has paused a heartbeat that has failed too often."""
FAR_AHEAD_NS: Final = 86_400_000_000_000
"""What was decided for instants that are further in the future, a clock has that was wrong."""
OFTEN_ENOUGH: Final = "it has fired as often as it was to"


def decide(state: HeartbeatState, command: HeartbeatCommand) -> Events:  # one arm each
    """Return the events that `command` causes; none if it is a repeat or comes too late.

    Raises:
        HeartbeatExists: there is one of this id already.
        HeartbeatNotFound: it was never created, or it was deleted.
        InvalidHeartbeat, InvalidCron: the settings cannot hold.
        AlreadyOver: it is due no more, and somebody wants it to be resumed.
    """
    match command:
        case WakeHeartbeat():
            late = tuple(
                FireStopped(fire=number, reason="timeout")
                for number, going in state.going.items()
                if going.deadline_ns is not None and going.deadline_ns <= command.now_ns
            )
            return _then(state, command, *late, *due(_after(state, late), command))
        case EndFire():
            return _end(state, command)
        case TellFire():
            return _hear(state, command)
        case ConcludePrepare():
            return _prepared(state, command)
        case ConcludeHook():
            hook = state.hooks.get(command.fire)
            if hook is None or hook.attempt != command.attempt:
                return ()
            return (HookRan(fire=command.fire, hook=command.hook, error=command.error),)
        case SettleFire():
            return _settle(state, command)
        case RefuseFire():
            return _refuse(state, command)
        case RunNow():
            _require(state, command.heartbeat_id)
            known = {claimed.run_id for claimed in state.claims.values()}
            known |= {going.stream.partition("-")[2] for going in state.going.values()}
            if command.run_id in known:
                return ()
            now_ns = command.now_ns
            claimed = claim(
                state, command, now_ns, kind="manual", run_id=command.run_id, by=command.by
            )
            return _then(state, command, *claimed)
        case CreateHeartbeat():
            if state.status not in ("none", "deleted"):
                if command.key == state.key:
                    return ()
                raise HeartbeatExists(command.heartbeat_id)
            check(command.settings)
            created = HeartbeatCreated(
                heartbeat_id=command.heartbeat_id,
                settings=command.settings,
                key=command.key,
                spread_ns=spread(command.heartbeat_id, command.settings.jitter_ns),
                by=command.by,
            )
            return (created, *_from_now(state, command.settings, command.now_ns))
        case DeclareHeartbeat():
            return _declare(state, command)
        case UpdateHeartbeat():
            _require(state, command.heartbeat_id)
            settings = changed(state.settings, command.changes)
            if settings == state.settings:
                return ()
            updated = HeartbeatUpdated(
                settings=settings,
                spread_ns=spread(command.heartbeat_id, settings.jitter_ns),
                by=command.by,
            )
            return _update(state, updated, command.now_ns)
        case PauseHeartbeat():
            _require(state, command.heartbeat_id)
            if state.status != "active" and not (state.paused_by == BY_CODE != command.by):
                return ()
            paused = HeartbeatPaused(reason=command.reason, by=command.by)
            return (*abandoned(state, command.now_ns, "paused"), paused)
        case ResumeHeartbeat():
            _require(state, command.heartbeat_id)
            if state.status == "completed":
                raise AlreadyOver(command.heartbeat_id, "completed", "heartbeat")
            if state.status == "active":
                return ()
            return _resume(state, command.now_ns, by=command.by)
        case DeleteHeartbeat():
            if state.status == "deleted":
                return ()
            _require(state, command.heartbeat_id)
            skipped = (*unprepared(state, "deleted"), *abandoned(state, command.now_ns, "deleted"))
            return (*skipped, HeartbeatDeleted(by=command.by))
        case RecoverHeartbeat():
            return _recover(state, command)
        case Acknowledge():
            return acknowledged(state.mail, command)
        case _:
            assert_never(command)


def _require(state: HeartbeatState, heartbeat_id: str) -> None:
    if state.status in ("none", "deleted"):
        raise HeartbeatNotFound(heartbeat_id)


def _after(state: HeartbeatState, facts: Events) -> HeartbeatState:
    for fact in facts:
        state = evolve(state, fact)
    return state


def _then(state: HeartbeatState, command: Driven, *facts: HeartbeatEvent) -> Events:
    """Return the facts, and what follows from them."""
    events = list(facts)
    after = _after(state, facts)

    def add(more: Events) -> None:
        nonlocal after
        events.extend(more)
        after = _after(after, more)

    settings = after.settings
    if after.status != "active":
        return tuple(events)
    if settings.max_failures is not None and after.failures >= settings.max_failures:
        times = f"{after.failures} failures in a row" if after.failures > 1 else "it has failed"
        add(abandoned(after, command.now_ns, "paused"))
        add((HeartbeatPaused(reason=f"{times}{_last_error(facts)}", by=BY_FAILURES),))
        return tuple(events)
    waits_ns, held = after.deferred_ns, after.held
    if waits_ns is not None:
        if settings.max_fires is not None and spent(after) >= settings.max_fires:
            add((FireSkipped(due_ns=waits_ns, reason="max_fires"),))
        elif not is_busy(after):
            add(claim(after, command, waits_ns))
        if held and not after.held:
            add((FireScheduled(due_ns=Schedule(settings, after.anchor_ns).next(waits_ns)),))
    if settings.max_fires is not None and after.fired >= settings.max_fires:
        add((HeartbeatCompleted(reason=OFTEN_ENOUGH),))
    elif after.due_ns is None and after.deferred_ns is None and not after.claims:
        add((HeartbeatCompleted(reason="it is due no more"),))
    return tuple(events)


def _last_error(facts: Events) -> str:
    for fact in reversed(facts):
        error = fact.error if isinstance(fact, FireEnded | FireSkipped) else None
        if error is not None:
            return f"; the last one: {error.kind}: {error.message}".rstrip(": ")
    return ""


def _from_now(
    state: HeartbeatState, settings: HeartbeatSettings, now_ns: int, *, by: str = ""
) -> Events:
    """Return when it is due next: later than all that is decided, unless that is far ahead.

    Then a clock was wrong, and what it has decided would hold for as long as it was ahead. Which
    clock that was, then's or now's, cannot be told; so somebody has to have said when to begin,
    not the code that runs at each opening, before the clock may have been set.

    Raises:
        InvalidHeartbeat: it is due never.
    """
    anchor_ns, decided_ns = anchor_of(settings, now_ns), state.decided_ns
    if by != BY_CODE and decided_ns - now_ns > FAR_AHEAD_NS:
        decided_ns = 0
    due_ns = Schedule(settings, anchor_ns).next(max(now_ns, decided_ns))
    if due_ns is None:
        raise InvalidHeartbeat("it would never be due: its times are in the past, or out of bounds")
    return (FireScheduled(due_ns=due_ns, anchor_ns=anchor_ns),)


def _declare(state: HeartbeatState, command: DeclareHeartbeat) -> Events:
    """What the code says holds once it says something else: what people have done since stays.

    So do a pause and a deletion, whatever it says.
    """
    if state.status == "deleted":
        return ()
    check(command.settings)
    spread_ns = spread(command.heartbeat_id, command.settings.jitter_ns)
    if state.status == "none":
        created = HeartbeatCreated(
            heartbeat_id=command.heartbeat_id,
            settings=command.settings,
            declared=command.declared,
            spread_ns=spread_ns,
        )
        return (created, *_from_now(state, command.settings, command.now_ns))
    events: Events = ()
    if command.declared != state.declared:
        updated = HeartbeatUpdated(
            settings=command.settings, declared=command.declared, spread_ns=spread_ns
        )
        events = _update(state, updated, command.now_ns, by=BY_CODE)
    after = _after(state, events)
    if after.status == "paused" and after.paused_by == BY_CODE:
        events = (*events, *_resume(after, command.now_ns, by=BY_CODE))
    return events


def _update(
    state: HeartbeatState, updated: HeartbeatUpdated, now_ns: int, *, by: str = ""
) -> Events:
    settings = updated.settings
    again = state.status == "completed"
    often_enough = settings.max_fires is not None and state.fired >= settings.max_fires
    if again and often_enough:
        return (updated, HeartbeatCompleted(reason=state.reason))
    if state.status == "active" and often_enough:
        passed = abandoned(state, now_ns, "updated")
        return (*passed, updated, HeartbeatCompleted(reason=OFTEN_ENOUGH))
    if state.status == "paused" or (same_schedule(settings, state.settings) and not again):
        return (updated,)
    try:
        following = _from_now(state, settings, now_ns, by=by)
    except InvalidHeartbeat:
        if again and same_schedule(settings, state.settings):
            return (updated, HeartbeatCompleted(reason=state.reason))
        raise
    return (*abandoned(state, now_ns, "updated"), updated, *following)


def _resume(state: HeartbeatState, now_ns: int, *, by: str) -> Events:
    resumed = HeartbeatResumed(by=by)
    try:
        return (resumed, *_from_now(state, state.settings, now_ns, by=by))
    except InvalidHeartbeat:
        return (resumed, HeartbeatCompleted(reason="it is due no more"))


def _prepared(state: HeartbeatState, command: ConcludePrepare) -> Events:
    claimed = state.claims.get(command.fire)
    if claimed is None or claimed.attempt != command.attempt:
        return ()
    error = command.error or _does_not_hold(state, command.overrides)
    ran = HookRan(fire=command.fire, hook="prepare", error=error)
    unwanted = claimed.kind == "schedule" and state.status == "paused"
    reason = "failed" if error else "prepare" if command.skip else "over"
    if error or command.skip or unwanted:
        skipped = FireSkipped(
            due_ns=claimed.due_ns,
            kind=claimed.kind,
            reason=reason,
            fire=command.fire,
            error=error,
        )
        return _then(state, command, ran, skipped)
    fired = fire(state, command, command.fire, claimed, command.overrides)
    return _then(state, command, ran, fired)


def _does_not_hold(state: HeartbeatState, overrides: FireOverrides | None) -> Failure | None:
    """Return why a fire cannot be so: the heartbeat may have been updated meanwhile."""
    if overrides is None:
        return None
    try:
        check_fire(overridden(state.settings, overrides), overrides)
    except (InvalidDefinition, InvalidSignal) as error:
        return Failure(kind="prepare", message=str(error), exception=type(error).__name__)
    return None


def _hear(state: HeartbeatState, command: TellFire) -> Events:
    if is_repeat(state.mail, command.message) or command.fire not in state.going:
        return ()
    if command.news == "suspended":
        return _then(state, command, FireSuspended(fire=command.fire, message=command.message))
    timeout_ns = state.settings.timeout_ns
    resumed = FireResumed(
        fire=command.fire,
        deadline_ns=None if timeout_ns is None else command.now_ns + timeout_ns,
        message=command.message,
    )
    return _then(state, command, resumed)


def _end(state: HeartbeatState, command: EndFire) -> Events:
    going = state.going.get(command.fire)
    if going is None:
        return ()
    outcome: FireOutcome = command.status
    error = command.error
    if going.stopped == "timeout" and outcome == "aborted":
        outcome = "timed_out"
        error = Failure(kind="timeout", message="it has taken longer than the timeout allows")
    ended = FireEnded(
        fire=command.fire,
        outcome=outcome,
        error=error,
        usage=command.usage,
        elapsed_ms=max(command.now_ns - going.fired_at_ns, 0) // 1_000_000,
        message=command.message,
    )
    return _then(state, command, ended)


def _settle(state: HeartbeatState, command: SettleFire) -> Events:
    told = acknowledged(state.mail, Acknowledge(sequence=command.sequence))
    going = state.going.get(command.fire)
    if going is None:
        return told
    ended = FireEnded(
        fire=command.fire,
        outcome=command.outcome,
        run_id=command.run_id,
        elapsed_ms=max(command.now_ns - going.fired_at_ns, 0) // 1_000_000,
    )
    return _then(state, command, *told, ended)


def _refuse(state: HeartbeatState, command: RefuseFire) -> Events:
    told = acknowledged(state.mail, Acknowledge(sequence=command.sequence))
    if command.fire not in state.going:
        return told
    ended = FireEnded(fire=command.fire, outcome="failed", error=command.error)
    return _then(state, command, *told, ended)


def _recover(state: HeartbeatState, command: RecoverHeartbeat) -> Events:
    """Call the user's functions once more that were being called; give up on what kills."""
    bound = None if command.clean else command.max_recoveries
    again: list[int] = []
    given_up: list[HeartbeatEvent] = []
    for number, claimed in state.claims.items():
        if Prepare(number, claimed.attempt) in command.running:
            continue
        if bound is None or claimed.crashes < bound:
            again.append(number)
            continue
        error = _killed(claimed.crashes + 1)
        given_up += (
            HookRan(fire=number, hook="prepare", error=error),
            FireSkipped(
                due_ns=claimed.due_ns, kind=claimed.kind, reason="failed", fire=number, error=error
            ),
        )
    for number, hook in state.hooks.items():
        if CallHook(number, hook.attempt) in command.running:
            continue
        if bound is None or hook.crashes < bound:
            again.append(number)
        else:
            given_up.append(HookRan(fire=number, hook="", error=_killed(hook.crashes + 1)))
    if not again and not given_up:
        return ()
    recovered = HeartbeatRecovered(
        epoch=command.epoch, fires=tuple(dict.fromkeys(again)), clean=command.clean
    )
    return _then(state, command, recovered, *given_up)


def _killed(times: int) -> Failure:
    return Failure(kind="in_doubt", message=f"the process ended {times} times while it was called")
