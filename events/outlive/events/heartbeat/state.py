"""The state that a heartbeat's events fold into."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypeVar, assert_never

import msgspec
from msgspec.structs import replace

from outlive.events.event import Failure
from outlive.events.fires import BEGIN, STOP
from outlive.events.heartbeat.events import (
    FireClaimed,
    FireDeferred,
    FireEnded,
    FireKind,
    FireOutcome,
    FireResumed,
    FireScheduled,
    FireSkipped,
    FireStopped,
    FireSuspended,
    HeartbeatCompleted,
    HeartbeatCreated,
    HeartbeatDeleted,
    HeartbeatEvent,
    HeartbeatFired,
    HeartbeatPaused,
    HeartbeatRecovered,
    HeartbeatResumed,
    HeartbeatUpdated,
    HookRan,
    InstantsPassed,
)
from outlive.events.heartbeat.overrides import overridden
from outlive.events.heartbeat.settings import HeartbeatSettings
from outlive.events.ids import StreamId
from outlive.events.mail import NO_MAIL, Letter, Mail, MessageDelivered, delivered, hear, post

T = TypeVar("T")
HeartbeatStatus: TypeAlias = Literal["none", "active", "paused", "completed", "deleted"]
OVER: Final = frozenset({"completed", "deleted"})
"""The statuses of heartbeats that are due no more."""


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fire of which a function of the user has yet to say what is to be done."""

    due_ns: int
    kind: FireKind = "schedule"
    at_ns: int = 0
    run_id: str = ""
    hooked: bool = False
    attempt: int = 1
    crashes: int = 0  # processes that have died meanwhile, without having closed


class Going(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fire that is a run or a task by now, and not over.

    With `thread`: one that was signalled there, and is, or will be, the run `stream` if that
    begins one.
    """

    stream: StreamId
    thread: StreamId | None = None
    due_ns: int
    kind: FireKind = "schedule"
    at_ns: int = 0  # claimed
    fired_at_ns: int = 0
    settings: HeartbeatSettings | None = None  # with what is otherwise, until it has begun
    suspended: bool = False
    stopped: str = ""  # why it is being cancelled
    deadline_ns: int | None = None
    hooked: bool = False

    @property
    def to(self) -> StreamId:
        """To whom its heartbeat speaks about it."""
        return self.stream if self.thread is None else self.thread


class Hook(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fire whose outcome is to be told to the user's functions."""

    due_ns: int
    kind: FireKind = "schedule"
    at_ns: int = 0
    outcome: FireOutcome
    # The run or task; the thread, if none has begun. None: not fired, as preparing it has failed.
    stream: StreamId | None = None
    error: Failure | None = None
    attempt: int = 1
    crashes: int = 0


class HeartbeatState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A heartbeat between two events."""

    heartbeat_id: str = ""
    status: HeartbeatStatus = "none"
    settings: HeartbeatSettings = HeartbeatSettings(agent_id="")
    key: str = ""
    declared: str = ""
    reason: str = ""  # why it is paused
    paused_by: str = ""
    anchor_ns: int = 0  # an interval is counted from here
    spread_ns: int = 0  # it fires so much later than due
    due_ns: int | None = None
    decided_ns: int = 0  # the last instant that has its decision, or waits for it
    deferred_ns: int | None = None  # an instant that waits for the end of what was fired before
    fires: int = 0  # claimed
    fired: int = 0  # by the schedule, since it was created
    failures: int = 0  # in a row
    claims: dict[int, Claim] = {}
    going: dict[int, Going] = {}
    hooks: dict[int, Hook] = {}
    mail: Mail = NO_MAIL

    @property
    def over(self) -> bool:
        """Whether it is due no more."""
        return self.status in OVER

    @property
    def held(self) -> bool:
        """Whether the instant that waits is the next one: the schedule waits with it."""
        return self.deferred_ns is not None and self.deferred_ns == self.due_ns


def evolve(state: HeartbeatState, event: HeartbeatEvent) -> HeartbeatState:  # one arm an event
    """Return the state after `event`. Pure and total; raises nothing."""
    match event:
        case FireScheduled():
            anchor = state.anchor_ns if event.anchor_ns is None else event.anchor_ns
            state = replace(state, due_ns=event.due_ns, anchor_ns=anchor)
            if event.due_ns is None or event.due_ns > state.decided_ns:
                return state
            return replace(state, decided_ns=event.due_ns - 1)  # A clock was far ahead.
        case FireClaimed():
            if event.kind == "schedule":
                state = _decided(state, event.due_ns)
                if state.deferred_ns == event.due_ns:  # It waits no more, whatever comes of it.
                    state = replace(state, deferred_ns=None)
            claim = Claim(
                due_ns=event.due_ns,
                kind=event.kind,
                at_ns=event.at_ns,
                run_id=event.run_id,
                hooked=event.hooked,
            )
            return replace(
                state,
                fires=max(state.fires, event.fire),
                claims={**state.claims, event.fire: claim},
            )
        case HeartbeatFired():
            return _fired(state, event)
        case FireEnded():
            return _ended(state, event)
        case FireSkipped():
            return _skipped(state, event)
        case InstantsPassed():
            waits = state.deferred_ns
            if waits is not None and event.first_ns <= waits <= event.last_ns:
                state = replace(state, deferred_ns=None)
            return _decided(state, event.last_ns)
        case FireDeferred():
            return replace(_decided(state, event.due_ns), deferred_ns=event.due_ns)
        case HookRan():
            if event.hook == "prepare":
                return state
            return replace(state, hooks=_without(state.hooks, event.fire))
        case FireStopped():
            going = state.going.get(event.fire)
            if going is None:
                return state
            stopped = replace(going, stopped=event.reason, deadline_ns=None)
            letter = Letter(to=going.to, subject=STOP, about=str(event.fire))
            return replace(
                state, going={**state.going, event.fire: stopped}, mail=post(state.mail, letter)
            )
        case FireSuspended():
            return _waits(state, event)
        case FireResumed():
            going = state.going.get(event.fire)
            heard = replace(state, mail=hear(state.mail, event.message))
            if going is None:
                return heard
            resumed = replace(going, suspended=False, deadline_ns=event.deadline_ns)
            return replace(heard, going={**state.going, event.fire: resumed})
        case HeartbeatRecovered():
            return _recovered(state, event)
        case MessageDelivered():
            return _delivered(state, event)
        case HeartbeatCreated():
            return replace(
                state,
                heartbeat_id=event.heartbeat_id,
                status="active",
                settings=event.settings,
                key=event.key,
                spread_ns=event.spread_ns,
                declared=event.declared,
                reason="",
                paused_by="",
                fired=0,
                failures=0,
            )
        case HeartbeatUpdated():
            declared = state.declared if event.declared is None else event.declared
            again = state.status == "completed"
            return replace(
                state,
                status="active" if again else state.status,
                reason="" if again else state.reason,
                settings=event.settings,
                spread_ns=event.spread_ns,
                declared=declared,
            )
        case HeartbeatPaused():
            return replace(
                state,
                status="paused",
                reason=event.reason,
                paused_by=event.by,
                due_ns=None,
                deferred_ns=None,
            )
        case HeartbeatResumed():
            return replace(state, status="active", reason="", paused_by="", failures=0)
        case HeartbeatCompleted():
            return replace(state, status="completed", reason=event.reason, due_ns=None)
        case HeartbeatDeleted():
            return replace(state, status="deleted", due_ns=None, deferred_ns=None)
        case _:
            assert_never(event)


def _decided(state: HeartbeatState, due_ns: int) -> HeartbeatState:
    return replace(state, decided_ns=max(state.decided_ns, due_ns))


def _fired(state: HeartbeatState, event: HeartbeatFired) -> HeartbeatState:
    stream = StreamId(f"task-{event.task_id}" if event.task_id else f"run-{event.run_id}")
    claim = state.claims.get(event.fire)
    going = Going(
        stream=stream,
        thread=StreamId(f"thread-{event.thread_id}") if event.thread_id else None,
        due_ns=event.due_ns,
        kind=event.kind,
        at_ns=event.at_ns if claim is None else claim.at_ns,
        fired_at_ns=event.at_ns,
        settings=overridden(state.settings, event.overrides),
        deadline_ns=event.deadline_ns,
        hooked=claim is not None and claim.hooked,
    )
    return replace(
        state,
        claims=_without(state.claims, event.fire),
        going={**state.going, event.fire: going},
        fired=state.fired + (event.kind == "schedule"),
        mail=post(state.mail, Letter(to=going.to, subject=BEGIN, about=str(event.fire))),
    )


def _skipped(state: HeartbeatState, event: FireSkipped) -> HeartbeatState:
    if event.kind == "schedule":
        state = _decided(state, event.due_ns)
    if event.fire is None:
        deferred = None if state.deferred_ns == event.due_ns else state.deferred_ns
        return replace(state, deferred_ns=deferred)
    claim = state.claims.get(event.fire)
    hooks = state.hooks
    if event.error is not None and claim is not None and claim.hooked:
        hook = Hook(
            due_ns=claim.due_ns,
            kind=claim.kind,
            at_ns=claim.at_ns,
            outcome="failed",
            error=event.error,
        )
        hooks = {**hooks, event.fire: hook}
    return replace(
        state,
        claims=_without(state.claims, event.fire),
        hooks=hooks,
        failures=state.failures + 1 if event.error is not None else state.failures,
    )


def _waits(state: HeartbeatState, event: FireSuspended) -> HeartbeatState:
    going = state.going.get(event.fire)
    heard = replace(state, mail=hear(state.mail, event.message))
    if going is None:
        return heard
    hooks = state.hooks
    if going.hooked:
        hooks = {**hooks, event.fire: _hook(going, "suspended")}
    waiting = replace(going, suspended=True, deadline_ns=None, hooked=False)
    return replace(heard, going={**state.going, event.fire: waiting}, hooks=hooks)


def _ended(state: HeartbeatState, event: FireEnded) -> HeartbeatState:
    going = state.going.get(event.fire)
    hooks = state.hooks
    if going is not None and going.hooked:
        hooks = {**hooks, event.fire: _hook(_settled(going, event), event.outcome, event.error)}
    failures = state.failures
    if event.outcome in ("failed", "timed_out"):
        failures += 1
    elif event.outcome == "succeeded":
        failures = 0
    return replace(
        state,
        going=_without(state.going, event.fire),
        hooks=hooks,
        failures=failures,
        mail=hear(_without_letters(state.mail, going, event.fire), event.message, last=True),
    )


def _settled(going: Going, event: FireEnded) -> Going:
    """Return the fire with the run that was told of it; with its thread if none was."""
    if going.thread is None or event.told_by_itself:
        return going
    return replace(going, stream=StreamId(f"run-{event.run_id}") if event.run_id else going.thread)


def _without_letters(mail: Mail, going: Going | None, fire: int) -> Mail:
    """Return the mail without what was to be said to one that is over: it has begun, and ended."""
    if going is not None:
        for sequence, letter in mail.outbox.items():
            if letter.to == going.to and letter.about == str(fire):
                mail = delivered(mail, sequence)
    return mail


def _hook(going: Going, outcome: FireOutcome, error: Failure | None = None) -> Hook:
    return Hook(
        due_ns=going.due_ns,
        kind=going.kind,
        at_ns=going.at_ns,
        outcome=outcome,
        stream=going.stream,
        error=error,
    )


def _delivered(state: HeartbeatState, event: MessageDelivered) -> HeartbeatState:
    """A message has arrived; what has begun by it needs no more of its settings."""
    letter = state.mail.outbox.get(event.sequence)
    after = replace(state, mail=delivered(state.mail, event.sequence))
    if letter is None or letter.subject != BEGIN:
        return after
    fire = int(letter.about)
    going = state.going.get(fire)
    if going is None:
        return after
    return replace(after, going={**state.going, fire: replace(going, settings=None)})


def _recovered(state: HeartbeatState, event: HeartbeatRecovered) -> HeartbeatState:
    crash = 0 if event.clean else 1
    claims, hooks = dict(state.claims), dict(state.hooks)
    for fire in event.fires:
        if fire in claims:
            claim = claims[fire]
            claims[fire] = replace(claim, attempt=claim.attempt + 1, crashes=claim.crashes + crash)
        if fire in hooks:
            hook = hooks[fire]
            hooks[fire] = replace(hook, attempt=hook.attempt + 1, crashes=hook.crashes + crash)
    return replace(state, claims=claims, hooks=hooks)


def _without(entries: dict[int, T], fire: int) -> dict[int, T]:
    return {number: entry for number, entry in entries.items() if number != fire}
