"""What becomes of the instants at which a heartbeat is due: pure, as all of `decide`."""

from __future__ import annotations

from typing import Final, TypeAlias

from outlive.actors.heartbeat.commands import Driven
from outlive.actors.heartbeat.schedule import Schedule
from outlive.events import (
    FireClaimed,
    FireDeferred,
    FireOverrides,
    FireScheduled,
    FireSkipped,
    FireStopped,
    HeartbeatEvent,
    HeartbeatFired,
    HeartbeatState,
    InstantsPassed,
)
from outlive.events.heartbeat import FireKind, evolve, overridden
from outlive.events.heartbeat.state import Claim

Events: TypeAlias = tuple[HeartbeatEvent, ...]

ON_TIME_NS: Final = 5_000_000_000
"""The last instant is on time if it was not longer ago: loops are busy, and owners take over."""
MOST_LATE: Final = 100
"""So many of the instants that were missed are made up for, at most."""


def spent(state: HeartbeatState) -> int:
    """Return how often the schedule has fired, with what is being prepared."""
    return state.fired + sum(claimed.kind == "schedule" for claimed in state.claims.values())


def is_busy(state: HeartbeatState) -> bool:
    """Whether what was fired before goes on. What waits for a person does not."""
    return bool(state.claims) or any(not going.suspended for going in state.going.values())


def wake_at(state: HeartbeatState) -> int | None:
    """Return the next instant for which the clock is to be watched; None if there is none."""
    deadlines = (going.deadline_ns for going in state.going.values())
    instants = [deadline_ns for deadline_ns in deadlines if deadline_ns is not None]
    if state.status == "active" and state.due_ns is not None and not state.held:
        instants.append(state.due_ns + state.spread_ns)
    return min(instants, default=None)


def due(state: HeartbeatState, command: Driven) -> Events:
    """Return the decisions for all instants that have come, and when the next one is.

    What was missed is looked at from its end, so however much it is, this is one commit; but
    where each of it is made up for, that is one instant at a time.
    """
    first_ns = state.due_ns
    seen_ns = command.now_ns - state.spread_ns
    if state.status != "active" or first_ns is None or seen_ns < first_ns or state.held:
        return ()
    schedule = Schedule(state.settings, state.anchor_ns)
    last_ns = max(schedule.last(seen_ns) or first_ns, first_ns)
    chosen_ns = _chosen(state, schedule, first_ns, last_ns, seen_ns)
    before_ns = last_ns if chosen_ns is None else schedule.last(chosen_ns - 1)
    events: Events = ()
    if before_ns is not None and before_ns >= first_ns:
        events = _passed(state, schedule, first_ns, before_ns, seen_ns)
    if chosen_ns is not None and _is_to_wait(state, chosen_ns, seen_ns):
        return (*events, FireScheduled(due_ns=chosen_ns), FireDeferred(due_ns=chosen_ns))
    if chosen_ns is not None:
        events = (*events, *_offer(state, command, chosen_ns))
    upto_ns = last_ns if chosen_ns is None else chosen_ns
    return (*events, FireScheduled(due_ns=schedule.next(upto_ns)))


def _chosen(
    state: HeartbeatState, schedule: Schedule, first_ns: int, last_ns: int, seen_ns: int
) -> int | None:
    """Return the instant that is to fire; None if none of them is."""
    settings = state.settings
    on_time = seen_ns - last_ns <= ON_TIME_NS
    within = settings.grace_ns is None or seen_ns - last_ns <= settings.grace_ns
    match settings.misfire:
        case "one":
            return last_ns if on_time or within else None
        case "skip":
            return last_ns if on_time else None
        case "all":
            if not within:
                return last_ns if on_time else None
            oldest_ns = last_ns
            for _ in range(MOST_LATE - 1):
                before_ns = schedule.last(oldest_ns - 1)
                if before_ns is None or before_ns < first_ns:
                    break
                if settings.grace_ns is not None and seen_ns - before_ns > settings.grace_ns:
                    break
                oldest_ns = before_ns
            return oldest_ns


def _passed(
    state: HeartbeatState,
    schedule: Schedule,
    first_ns: int,
    upto_ns: int,
    seen_ns: int,
) -> Events:
    """Return the decisions for the instants from `first_ns` to `upto_ns`: none of them fires."""
    settings = state.settings
    edge_ns = first_ns  # what is earlier is too long ago
    if settings.misfire == "all":
        edge_ns = upto_ns + 1
    elif settings.grace_ns is not None:
        edge_ns = max(first_ns, seen_ns - settings.grace_ns)
    events: list[HeartbeatEvent] = []
    missed_ns = schedule.last(min(edge_ns - 1, upto_ns))
    if missed_ns is not None and missed_ns >= first_ns:
        events.append(
            InstantsPassed(
                decision="missed",
                first_ns=first_ns,
                last_ns=missed_ns,
                count=schedule.count(first_ns, missed_ns),
                reason="misfire",
            )
        )
        first_ns = schedule.next(missed_ns) or upto_ns + 1
    if first_ns <= upto_ns:
        events.append(
            InstantsPassed(
                decision="coalesced" if settings.misfire == "one" else "skipped",
                first_ns=first_ns,
                last_ns=upto_ns,
                count=schedule.count(first_ns, upto_ns),
                reason="misfire",
            )
        )
    return tuple(events)


def _is_to_wait(state: HeartbeatState, chosen_ns: int, seen_ns: int) -> bool:
    """Whether an instant is made up for once the fire before is over, and those after it then."""
    settings = state.settings
    late = settings.misfire == "all" and seen_ns - chosen_ns > ON_TIME_NS
    one_by_one = settings.overlap in ("skip", "queue")
    full = settings.max_fires is not None and spent(state) >= settings.max_fires
    return late and one_by_one and is_busy(state) and state.deferred_ns is None and not full


def _offer(state: HeartbeatState, command: Driven, due_ns: int) -> Events:
    """Return what becomes of an instant, as what was fired before may still go on."""
    settings = state.settings
    if settings.max_fires is not None and spent(state) >= settings.max_fires:
        return (FireSkipped(due_ns=due_ns, reason="max_fires"),)
    if not is_busy(state) or settings.overlap == "allow":
        return claim(state, command, due_ns)
    match settings.overlap:
        case "skip":
            return (FireSkipped(due_ns=due_ns, reason="overlap"),)
        case "queue":
            if state.deferred_ns is None:
                return (FireDeferred(due_ns=due_ns),)
            passed = InstantsPassed(
                decision="coalesced", first_ns=due_ns, last_ns=due_ns, reason="overlap"
            )
            return (passed,)
        case "cancel_previous":
            stopped: Events = tuple(
                FireStopped(fire=number, reason="overlap")
                for number, going in state.going.items()
                if not going.suspended and not going.stopped
            )
            return (*unprepared(state, "overlap"), *stopped, *claim(state, command, due_ns))


def unprepared(state: HeartbeatState, reason: str) -> Events:
    """Return the decisions for fires that are being prepared, and are not wanted any more."""
    return tuple(
        FireSkipped(due_ns=claimed.due_ns, kind=claimed.kind, reason=reason, fire=number)
        for number, claimed in state.claims.items()
    )


def claim(
    state: HeartbeatState,
    command: Driven,
    due_ns: int,
    *,
    kind: FireKind = "schedule",
    run_id: str = "",
    by: str = "",
) -> Events:
    """Claim an instant; without a function that prepares it, it is fired in the same commit."""
    number = state.fires + 1
    hook, hooks = state.settings.hook, command.hooks
    claimed = FireClaimed(
        fire=number,
        due_ns=due_ns,
        kind=kind,
        at_ns=command.now_ns,
        run_id=run_id,
        prepares=hooks.prepares(hook),
        hooked=hooks.ends(hook),
        by=by,
    )
    if claimed.prepares:
        return (claimed,)
    after = evolve(state, claimed)
    return (claimed, fire(after, command, number, after.claims[number], None))


def fire(
    state: HeartbeatState,
    command: Driven,
    number: int,
    claimed: Claim,
    overrides: FireOverrides | None,
) -> HeartbeatFired:
    """Return the fact that a claimed fire begins."""
    id = claimed.run_id or f"{state.heartbeat_id}:{number}"
    settings = overridden(state.settings, overrides)
    timeout_ns = settings.timeout_ns
    tool = bool(settings.tool)
    return HeartbeatFired(
        fire=number,
        due_ns=claimed.due_ns,
        kind=claimed.kind,
        at_ns=command.now_ns,
        run_id="" if tool else id,
        task_id=id if tool else "",
        thread_id=settings.thread_id,
        overrides=overrides,
        deadline_ns=None if timeout_ns is None else command.now_ns + timeout_ns,
    )


def abandoned(state: HeartbeatState, now_ns: int, reason: str) -> Events:
    """Return the decisions for instants that have come and are not to fire any more."""
    events: list[HeartbeatEvent] = []
    first_ns = state.due_ns
    passed = state.status == "active" and first_ns is not None and first_ns <= now_ns
    if state.deferred_ns is not None and not (passed and state.held):
        events.append(FireSkipped(due_ns=state.deferred_ns, reason=reason))
    if passed and first_ns is not None:
        schedule = Schedule(state.settings, state.anchor_ns)
        last_ns = max(schedule.last(now_ns) or first_ns, first_ns)
        events.append(
            InstantsPassed(
                decision="skipped",
                first_ns=first_ns,
                last_ns=last_ns,
                count=schedule.count(first_ns, last_ns),
                reason=reason,
            )
        )
    return tuple(events)
