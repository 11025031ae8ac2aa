"""Commands, events and whole histories of heartbeats."""

from __future__ import annotations

from typing import Any, Final, cast

from hypothesis import strategies as st

from outlive.actors.heartbeat.commands import (
    CallHook,
    ConcludeHook,
    ConcludePrepare,
    CreateHeartbeat,
    DeclareHeartbeat,
    DeleteHeartbeat,
    Effect,
    EndFire,
    HeartbeatChanges,
    HeartbeatCommand,
    HooksAtHand,
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
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.actors.mail import Acknowledge
from outlive.events import (
    Failure,
    FireClaimed,
    FireDeferred,
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
    HeartbeatFired,
    HeartbeatPaused,
    HeartbeatRecovered,
    HeartbeatResumed,
    HeartbeatSettings,
    HeartbeatState,
    HeartbeatUpdated,
    HookRan,
    IfActive,
    IfIdle,
    InstantsPassed,
    MessageDelivered,
    MessageId,
    StreamId,
    Usage,
)
from outlive.testing._drawn.runs import histories
from outlive.testing._drawn.values import values

_NEW: Final = HeartbeatState()
_SECOND: Final = 1_000_000_000
_ID: Final = "hb_h"
_ENDS: Final = ("succeeded", "failed", "aborted", "timed_out")
_BOOM: Final = Failure(kind="error", message="boom", exception="ValueError")

_THREADS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {},
    {"thread_id": "t", "resource_id": "u"},
    {
        "thread_id": "t",
        "resource_id": "u",
        "signal_type": "state",
        "tag_name": "tag",
        "attributes": {"a": 1},
        "if_active": IfActive("persist"),
        "if_idle": IfIdle("wake", request_context={"a": 1}),
    },
)

_ALL: Final = frozenset({"", "mine"})
_HOOKS: Final = (
    HooksAtHand(known=_ALL),
    HooksAtHand(prepare=_ALL, end=_ALL, known=_ALL),
    HooksAtHand(prepare=frozenset({"mine"}), end=frozenset({"", "mine"}), known=_ALL),
    HooksAtHand(prepare=frozenset({""}), known=frozenset({""})),
)

# What brings a heartbeat on is in it several times.
_KINDS: Final[tuple[type[Any], ...]] = (
    *[WakeHeartbeat] * 10,
    *[EndFire] * 6,
    *[ConcludePrepare] * 4,
    *[ConcludeHook] * 3,
    *[TellFire] * 3,
    *[RecoverHeartbeat] * 2,
    *[ResumeHeartbeat] * 2,
    *[Acknowledge] * 3,
    *[SettleFire] * 2,
    RefuseFire,
    RunNow,
    CreateHeartbeat,
    DeclareHeartbeat,
    UpdateHeartbeat,
    PauseHeartbeat,
    DeleteHeartbeat,
)


@st.composite
def heartbeat_settings(draw: st.DrawFn) -> HeartbeatSettings:
    """Draw what a heartbeat does and when: settings that can hold."""
    when = draw(
        st.sampled_from(
            [{"every_ns": 3 * _SECOND}, {"every_ns": _SECOND}, {"cron": "*/2 * * * * *"}]
        )
    )
    return HeartbeatSettings(
        agent_id=draw(st.sampled_from(["a", "b"])),
        prompt="p",
        misfire=draw(st.sampled_from(["one", "skip", "all"])),
        grace_ns=draw(st.sampled_from([None, None, 4 * _SECOND])),
        overlap=draw(st.sampled_from(["skip", "queue", "cancel_previous", "allow"])),
        timeout_ns=draw(st.sampled_from([None, 2 * _SECOND])),
        max_fires=draw(st.sampled_from([None, None, 3, 1])),
        max_failures=draw(st.sampled_from([None, None, 2])),
        jitter_ns=draw(st.sampled_from([0, 0, _SECOND // 2])),
        hook=draw(st.sampled_from(["", "", "mine", "unknown"])),
        **cast("dict[str, Any]", when),
        **draw(st.sampled_from(_THREADS)),
    )


@st.composite
def heartbeat_commands(
    draw: st.DrawFn, state: HeartbeatState = _NEW, *, now_ns: int = 0
) -> HeartbeatCommand:
    """Draw a command for a heartbeat in `state`: mostly one that brings it on.

    One that comes twice, or too late, is drawn too; `decide` takes or refuses all of them.

    Args:
        state: what the heartbeat has come to. Before its first event it can only be created.
        now_ns: the instant at which the command comes.
    """
    now_ns += draw(st.sampled_from([0, 0, 0, 20 * _SECOND]))
    new = draw(st.integers(0, 3)) > 0
    if state.status == "none":
        kind: type[Any] = CreateHeartbeat if new else DeclareHeartbeat
    else:
        kind = draw(st.sampled_from(_KINDS))
    if kind in (CreateHeartbeat, DeclareHeartbeat, UpdateHeartbeat):
        return _set(draw, kind, now_ns)
    if kind in (PauseHeartbeat, ResumeHeartbeat, DeleteHeartbeat):
        return cast("HeartbeatCommand", kind(heartbeat_id=_ID, now_ns=now_ns, by="p"))
    if kind is Acknowledge:
        oldest = next(iter(state.mail.outbox), state.mail.sent)
        return Acknowledge(sequence=oldest)
    has = {"now_ns": now_ns, "hooks": draw(st.sampled_from(_HOOKS))}
    if kind is WakeHeartbeat:
        return WakeHeartbeat(**cast("dict[str, Any]", has))
    if kind is RunNow:
        run_id = draw(st.sampled_from(["r1", "r2"]))
        return RunNow(heartbeat_id=_ID, run_id=run_id, **cast("dict[str, Any]", has))
    return _of_fire(draw, state, kind, cast("dict[str, Any]", has))


def _set(draw: st.DrawFn, kind: type[Any], now_ns: int) -> HeartbeatCommand:
    if kind is UpdateHeartbeat:
        changes = draw(
            st.sampled_from(
                [
                    HeartbeatChanges(prompt="q"),
                    HeartbeatChanges(every_ns=2 * _SECOND),
                    HeartbeatChanges(cron="* * * * *"),
                    HeartbeatChanges(max_fires=5),
                ]
            )
        )
        return UpdateHeartbeat(heartbeat_id=_ID, changes=changes, now_ns=now_ns)
    settings = draw(heartbeat_settings())
    if kind is DeclareHeartbeat:
        return DeclareHeartbeat(heartbeat_id=_ID, settings=settings, declared="d", now_ns=now_ns)
    key = draw(st.sampled_from(["k", "l"]))
    return CreateHeartbeat(heartbeat_id=_ID, settings=settings, key=key, now_ns=now_ns)


def _of_fire(
    draw: st.DrawFn, state: HeartbeatState, kind: type[Any], has: dict[str, Any]
) -> HeartbeatCommand:
    error = draw(st.sampled_from([None, None, _BOOM]))
    if kind is RecoverHeartbeat:
        running: set[Effect] = set()
        if draw(st.integers(0, 9)) == 9:
            running = {Prepare(fire, claim.attempt) for fire, claim in state.claims.items()}
            running |= {CallHook(fire, hook.attempt) for fire, hook in state.hooks.items()}
        return RecoverHeartbeat(
            epoch=2,
            running=frozenset(running),
            clean=draw(st.booleans()),
            max_recoveries=draw(st.sampled_from([None, 0, 1])),
            **has,
        )
    if kind is ConcludePrepare:
        fire, claim = next(iter(state.claims.items()), (state.fires, None))
        said = draw(
            st.sampled_from(
                [
                    None,
                    FireOverrides(prompt="o"),
                    FireOverrides(thread_id="t2", resource_id="u"),
                    FireOverrides(attributes={"b": 2}),  # without a thread that cannot be
                ]
            )
        )
        return ConcludePrepare(
            fire=fire,
            attempt=1 if claim is None else claim.attempt,
            skip=error is None and draw(st.integers(0, 3)) == 3,
            overrides=said if error is None else None,
            error=error,
            **has,
        )
    if kind is ConcludeHook:
        number, hook = next(iter(state.hooks.items()), (state.fires, None))
        attempt = 1 if hook is None else hook.attempt
        return ConcludeHook(fire=number, attempt=attempt, hook="on_finish", error=error)
    fire = next(iter(state.going), state.fires)
    heard = state.mail.heard.get(StreamId(f"run-{_ID}:{fire}"), 0)
    message = MessageId(sender=StreamId(f"run-{_ID}:{fire}"), sequence=heard + 1)
    if kind is RefuseFire:
        sequence = next(iter(state.mail.outbox), state.mail.sent)
        return RefuseFire(fire=fire, sequence=sequence, error=_BOOM, **has)
    if kind is SettleFire:
        letters = state.mail.outbox.items()
        sent = [n for n, letter in letters if letter.about == str(fire)] or [state.mail.sent]
        outcome, run_id = draw(
            st.sampled_from([("delivered", "r"), ("queued", "r"), ("persisted", "")])
        )
        return SettleFire(
            fire=fire, sequence=sent[0], outcome=cast("Any", outcome), run_id=run_id, **has
        )
    if kind is TellFire:
        going = state.going.get(fire)
        waits = going is not None and going.suspended
        news = "resumed" if waits else "suspended"
        return TellFire(message=message, fire=fire, news=cast("Any", news), **has)
    status = draw(st.sampled_from(["succeeded", "succeeded", "failed", "aborted", "timed_out"]))
    return EndFire(message=message, fire=fire, status=cast("Any", status), error=error, **has)


def heartbeat_histories(
    *, max_commands: int = 40
) -> st.SearchStrategy[list[tuple[HeartbeatEvent, ...]]]:
    """Draw valid histories of heartbeats, from nothing at all to their end.

    A list of commits, each with its events, as `decide` has caused them.
    """
    drawn = histories(
        lambda state, now_ns: heartbeat_commands(state, now_ns=now_ns),
        entity=HEARTBEAT,
        max_commands=max_commands,
    )
    return cast("st.SearchStrategy[list[tuple[HeartbeatEvent, ...]]]", drawn)


def heartbeat_events() -> st.SearchStrategy[HeartbeatEvent]:
    """Draw a single event of a heartbeat, with anything in it that it may hold.

    For what must take any event whatever came before it: codecs, exporters, views. For events
    that follow from each other see `heartbeat_histories`.
    """
    text, count = st.text(max_size=10), st.integers(0, 2**31)
    fire, instants = st.integers(1, 100), st.integers(0, 2**62)
    failures = st.builds(Failure, kind=text, message=text, exception=text)
    objects = st.dictionaries(text, values(), max_size=3)
    kinds = st.sampled_from(["schedule", "manual"])
    message = st.none() | st.builds(MessageId, sender=text.map(StreamId), sequence=fire)
    return st.one_of(
        st.builds(
            HeartbeatCreated,
            heartbeat_id=text,
            settings=heartbeat_settings(),
            key=text,
            declared=text,
            by=text,
        ),
        st.builds(
            HeartbeatUpdated,
            settings=heartbeat_settings(),
            declared=st.none() | text,
            by=text,
        ),
        st.builds(FireScheduled, due_ns=st.none() | instants, anchor_ns=st.none() | instants),
        st.builds(HeartbeatPaused, reason=text, by=text),
        st.builds(HeartbeatResumed, by=text),
        st.builds(HeartbeatCompleted, reason=text),
        st.builds(HeartbeatDeleted, by=text),
        st.builds(
            FireClaimed,
            fire=fire,
            due_ns=instants,
            kind=kinds,
            at_ns=instants,
            run_id=text,
            prepares=st.booleans(),
            hooked=st.booleans(),
            by=text,
        ),
        st.builds(
            HeartbeatFired,
            fire=fire,
            due_ns=instants,
            kind=kinds,
            at_ns=instants,
            run_id=text,
            task_id=text,
            thread_id=text,
            overrides=st.none()
            | st.builds(
                FireOverrides,
                prompt=st.none() | text,
                arguments=st.none() | objects,
                attributes=st.none() | objects,
                thread_id=st.none() | text,
                resource_id=st.none() | text,
                tag_name=st.none() | text,
                if_active=st.sampled_from([None, IfActive("persist")]),
                if_idle=st.sampled_from([None, IfIdle("wake", request_context={"a": 1})]),
            ),
            deadline_ns=st.none() | instants,
        ),
        st.builds(
            FireSkipped,
            due_ns=instants,
            kind=kinds,
            reason=text,
            fire=st.none() | fire,
            error=st.none() | failures,
        ),
        st.builds(
            InstantsPassed,
            decision=st.sampled_from(["coalesced", "missed", "skipped"]),
            first_ns=instants,
            last_ns=instants,
            count=count,
            reason=text,
        ),
        st.builds(FireDeferred, due_ns=instants),
        st.builds(FireStopped, fire=fire, reason=st.sampled_from(["timeout", "overlap"])),
        st.builds(FireSuspended, fire=fire, message=message),
        st.builds(FireResumed, fire=fire, deadline_ns=st.none() | instants, message=message),
        st.builds(
            FireEnded,
            fire=fire,
            outcome=st.sampled_from([*_ENDS, "delivered", "queued", "persisted", "discarded"]),
            run_id=text,
            error=st.none() | failures,
            usage=st.builds(Usage, input_tokens=count, output_tokens=count),
            elapsed_ms=count,
            message=message,
        ),
        st.builds(HookRan, fire=fire, hook=text, error=st.none() | failures),
        st.builds(
            HeartbeatRecovered,
            epoch=fire,
            fires=st.lists(fire, max_size=3).map(tuple),
            clean=st.booleans(),
        ),
        st.builds(MessageDelivered, sequence=fire, to=text.map(StreamId)),
    )
