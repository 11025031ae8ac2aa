"""What may be wished of a heartbeat. Everything that `decide` needs is in the command."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from outlive.actors.mail import Acknowledge, Deliver
from outlive.actors.run.commands import Command
from outlive.events import (
    Failure,
    FireOverrides,
    HeartbeatSettings,
    IfActive,
    IfIdle,
    MessageId,
    SignalType,
    Usage,
    Value,
)
from outlive.events.heartbeat import Misfire, Overlap, SignalOutcome
from outlive.events.run.parts import InputPart


class HeartbeatChanges(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is to be otherwise; what is not set stays. Each field is one of the settings."""

    agent_id: str | UnsetType = UNSET
    tool: str | UnsetType = UNSET
    arguments: dict[str, Value] | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    parts: tuple[InputPart, ...] | UnsetType = UNSET
    cron: str | UnsetType = UNSET
    every_ns: int | UnsetType = UNSET
    at_ns: int | UnsetType | None = UNSET
    timezone: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    metadata: dict[str, Value] | UnsetType = UNSET
    starts_at_ns: int | UnsetType | None = UNSET
    ends_at_ns: int | UnsetType | None = UNSET
    max_fires: int | UnsetType | None = UNSET
    provider_options: dict[str, Value] | UnsetType = UNSET
    request_context: dict[str, Value] | UnsetType = UNSET
    misfire: Misfire | UnsetType = UNSET
    grace_ns: int | UnsetType | None = UNSET
    overlap: Overlap | UnsetType = UNSET
    jitter_ns: int | UnsetType = UNSET
    timeout_ns: int | UnsetType | None = UNSET
    max_failures: int | UnsetType | None = UNSET
    tools: tuple[str, ...] | UnsetType | None = UNSET
    thread_id: str | UnsetType = UNSET
    resource_id: str | UnsetType = UNSET
    signal_type: SignalType | UnsetType | None = UNSET
    tag_name: str | UnsetType = UNSET
    attributes: dict[str, Value] | UnsetType = UNSET
    if_active: IfActive | UnsetType | None = UNSET
    if_idle: IfIdle | UnsetType | None = UNSET
    hook: str | UnsetType = UNSET


class HooksAtHand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which functions of the user this process has around a fire, by the name of the hooks.

    The empty name stands for heartbeats that name none. Where a name is not known, both are
    taken to be there: the effect is owed until they are.
    """

    prepare: frozenset[str] = frozenset()
    end: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset({""})

    def prepares(self, name: str) -> bool:
        """Whether a function is to be asked what is to be done."""
        return name in self.prepare or name not in self.known

    def ends(self, name: str) -> bool:
        """Whether one is to be called when it is over."""
        return name in self.end or name not in self.known


NO_HOOKS_AT_HAND: Final = HooksAtHand()


class Driven(Command, kw_only=True, frozen=True, gc=False):
    """A wish after which the heartbeat may fire, with what this process has for that."""

    now_ns: int
    hooks: HooksAtHand = NO_HOOKS_AT_HAND


class CreateHeartbeat(Command, kw_only=True, frozen=True, gc=False):
    """There is to be a heartbeat. The same `key` again changes nothing."""

    heartbeat_id: str
    settings: HeartbeatSettings
    key: str
    now_ns: int
    by: str = ""


class DeclareHeartbeat(Command, kw_only=True, frozen=True, gc=False):
    """The code of the owner says that there is a heartbeat, and what it does."""

    heartbeat_id: str
    settings: HeartbeatSettings
    declared: str  # digest of the settings
    now_ns: int


class UpdateHeartbeat(Command, kw_only=True, frozen=True, gc=False):
    """The heartbeat is to be otherwise."""

    heartbeat_id: str
    changes: HeartbeatChanges
    now_ns: int
    by: str = ""


class PauseHeartbeat(Command, kw_only=True, frozen=True, gc=False):
    """It is not to be due for the time being; of one that is paused it changes nothing."""

    heartbeat_id: str
    now_ns: int
    reason: str = ""
    by: str = ""


class ResumeHeartbeat(Command, kw_only=True, frozen=True, gc=False):
    """It is to be due again, from now on; of one that is active it changes nothing."""

    heartbeat_id: str
    now_ns: int
    by: str = ""


class DeleteHeartbeat(Command, kw_only=True, frozen=True, gc=False):
    """It is not wanted any more; of one that was deleted it changes nothing."""

    heartbeat_id: str
    now_ns: int
    by: str = ""


class RunNow(Driven, kw_only=True, frozen=True, gc=False):
    """It is to fire now, whatever its schedule says, with a run of this id."""

    heartbeat_id: str
    run_id: str
    by: str = ""


class WakeHeartbeat(Driven, kw_only=True, frozen=True, gc=False):
    """An instant that it waits for may have come."""


class ConcludePrepare(Driven, kw_only=True, frozen=True, gc=False):
    """The function of the user has said what is to be done, or has raised."""

    fire: int
    attempt: int
    skip: bool = False
    overrides: FireOverrides | None = None
    error: Failure | None = None


class ConcludeHook(Command, kw_only=True, frozen=True, gc=False):
    """A function of the user was called, or there was none to be called."""

    fire: int
    attempt: int
    hook: str
    error: Failure | None = None


class TellFire(Driven, kw_only=True, frozen=True, gc=False):
    """What was fired tells that it waits for a person, or goes on."""

    message: MessageId
    fire: int
    news: Literal["suspended", "resumed"]


class EndFire(Driven, kw_only=True, frozen=True, gc=False):
    """What was fired tells how it has ended."""

    message: MessageId
    fire: int
    status: Literal["succeeded", "failed", "aborted", "timed_out"]
    error: Failure | None = None
    usage: Usage = Usage()


class SettleFire(Driven, kw_only=True, frozen=True, gc=False):
    """The thread that was signalled tells what became of it, without a run of its own.

    Args:
        fire: which one.
        sequence: of the message by which it was signalled.
        outcome: what became of it.
        run_id: of the run that was told; empty: none was.
    """

    fire: int
    sequence: int
    outcome: SignalOutcome
    run_id: str = ""


class RefuseFire(Driven, kw_only=True, frozen=True, gc=False):
    """What was to be fired cannot begin."""

    fire: int
    sequence: int
    error: Failure


class RecoverHeartbeat(Driven, kw_only=True, frozen=True, gc=False):
    """Settle what was being done when the process died."""

    epoch: int
    running: frozenset[Effect] = frozenset()
    clean: bool = False
    max_recoveries: int | None = 5


class Prepare(msgspec.Struct, frozen=True, gc=False, tag="prepare"):
    """An effect: a function of the user says what a fire is to do."""

    fire: int
    attempt: int


class CallHook(msgspec.Struct, frozen=True, gc=False, tag="call-hook"):
    """An effect: a function of the user is told what a fire came to."""

    fire: int
    attempt: int


Effect: TypeAlias = Prepare | CallHook | Deliver

HeartbeatCommand: TypeAlias = (
    CreateHeartbeat
    | DeclareHeartbeat
    | UpdateHeartbeat
    | PauseHeartbeat
    | ResumeHeartbeat
    | DeleteHeartbeat
    | RunNow
    | WakeHeartbeat
    | ConcludePrepare
    | ConcludeHook
    | TellFire
    | EndFire
    | SettleFire
    | RefuseFire
    | RecoverHeartbeat
    | Acknowledge
)
