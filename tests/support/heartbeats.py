"""Heartbeats whose facts are compared: due each minute from the start of 2030 on."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from outlive.actors.heartbeat.commands import (
    NO_HOOKS_AT_HAND,
    CreateHeartbeat,
    HeartbeatCommand,
    HooksAtHand,
    WakeHeartbeat,
)
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.events import (
    Event,
    Failure,
    FireClaimed,
    FireScheduled,
    HeartbeatFired,
    HeartbeatSettings,
    HeartbeatState,
    MessageId,
    StreamId,
)
from outlive.testing import Given
from outlive.testing import given as given_entity

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
START: Final = 1_893_456_000 * SECOND  # 2030-01-01 00:00 UTC
BOOM: Final = Failure(kind="error", message="boom")
EVERY_MINUTE: Final = HeartbeatSettings(agent_id="a", prompt="p", every_ns=MINUTE)
ON_A_THREAD: Final = replace(EVERY_MINUTE, thread_id="t", resource_id="u")
RUN_1: Final = StreamId("run-h:1")
RUN_2: Final = StreamId("run-h:2")
THREAD: Final = StreamId("thread-t")
Heartbeat = Given[HeartbeatState, HeartbeatCommand]


def minute(at: float) -> int:
    return START + round(at * MINUTE)


def given(*events: Event) -> Heartbeat:
    return given_entity(*events, entity=HEARTBEAT)


def created(**settings: Any) -> Heartbeat:
    """A heartbeat that was created at the start, and is due each minute."""
    create = CreateHeartbeat(
        heartbeat_id="h", settings=replace(EVERY_MINUTE, **settings), key="k", now_ns=START
    )
    return given().when(create).after


def hooks(*, prepare: bool = False, end: bool = False) -> HooksAtHand:
    named, none = frozenset({""}), frozenset[str]()
    return HooksAtHand(prepare=named if prepare else none, end=named if end else none, known=named)


PREPARES: Final = hooks(prepare=True)
BOTH: Final = hooks(prepare=True, end=True)


def wake(at: float, hooks: HooksAtHand = NO_HOOKS_AT_HAND) -> WakeHeartbeat:
    return WakeHeartbeat(now_ns=minute(at), hooks=hooks)


def message(sender: StreamId, sequence: int = 1) -> MessageId:
    return MessageId(sender=sender, sequence=sequence)


def fired(fire: int, due: float, at: float | None = None, **more: Any) -> HeartbeatFired:
    said: dict[str, Any] = {"run_id": f"h:{fire}", **more}
    return HeartbeatFired(
        fire=fire, due_ns=minute(due), at_ns=minute(due if at is None else at), **said
    )


def claimed(fire: int, due: float, at: float | None = None, **more: Any) -> FireClaimed:
    return FireClaimed(
        fire=fire, due_ns=minute(due), at_ns=minute(due if at is None else at), **more
    )


def scheduled(due: float) -> FireScheduled:
    return FireScheduled(due_ns=minute(due))


def second_waits(*, prepares: bool = False, **settings: Any) -> Heartbeat:
    """The first fire goes on, or is being prepared, and the second instant waits for that."""
    first = wake(1, BOTH if prepares else hooks(end=True))
    return created(overlap="queue", **settings).when(first, wake(2)).after
