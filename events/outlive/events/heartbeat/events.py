"""What happens to a heartbeat, in the past tense.

An instant at which a heartbeat is due gets one decision: `HeartbeatFired`, `FireSkipped`, or it is
in the range of an `InstantsPassed`. `fire` counts from 1 what was claimed, by the schedule or by
somebody; it is never used again.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from outlive.events.event import Event, Failure, Usage
from outlive.events.heartbeat.overrides import FireOverrides
from outlive.events.heartbeat.settings import HeartbeatSettings
from outlive.events.ids import kind_of
from outlive.events.mail import MessageDelivered, MessageId

FireKind: TypeAlias = Literal["schedule", "manual"]
SignalOutcome: TypeAlias = Literal["delivered", "queued", "persisted", "discarded"]
"""What became of a fire that was signalled to a thread and has begun no run."""
FireOutcome: TypeAlias = (
    Literal["succeeded", "failed", "aborted", "suspended", "timed_out"] | SignalOutcome
)


class HeartbeatCreated(Event, tag="heartbeat-created", frozen=True, kw_only=True):
    """There is a heartbeat, or again one of this id. `key` tells a repeat from another one."""

    heartbeat_id: str
    settings: HeartbeatSettings
    key: str = ""
    spread_ns: int = 0  # how much later than due it fires: its share of the jitter
    declared: str = ""  # in code: the digest of what is said there
    by: str = ""


class HeartbeatUpdated(Event, tag="heartbeat-updated", frozen=True, kw_only=True):
    """It does something else, or at other times, from now on."""

    settings: HeartbeatSettings
    spread_ns: int = 0
    declared: str | None = None  # None: as it was
    by: str = ""


class FireScheduled(Event, tag="fire-scheduled", frozen=True, kw_only=True):
    """All instants before `due_ns` are decided, and it is due then; None: it is due no more.

    With `anchor_ns` an interval is counted from there.
    """

    due_ns: int | None = None
    anchor_ns: int | None = None


class HeartbeatPaused(Event, tag="heartbeat-paused", frozen=True, kw_only=True):
    """It is not due until it is resumed."""

    reason: str = ""
    by: str = ""


class HeartbeatResumed(Event, tag="heartbeat-resumed", frozen=True, kw_only=True):
    """It is due again. What has passed meanwhile is not made up for."""

    by: str = ""


class HeartbeatCompleted(Event, tag="heartbeat-completed", frozen=True, kw_only=True):
    """It will be due no more: its last instant is decided, or it has fired often enough."""

    reason: str = ""


class HeartbeatDeleted(Event, tag="heartbeat-deleted", frozen=True, kw_only=True):
    """Somebody does not want it any more. What has happened stays readable."""

    by: str = ""


class FireClaimed(Event, tag="fire-claimed", frozen=True, kw_only=True):
    """It is due, and what follows is being prepared. Durable before any code of the user runs."""

    fire: int
    due_ns: int
    kind: FireKind = "schedule"
    at_ns: int = 0
    run_id: str = ""  # drawn by who wants it to fire now
    prepares: bool = False  # a function says first what is to be done
    hooked: bool = False  # somebody wants to be called when it is over
    by: str = ""


class HeartbeatFired(Event, tag="heartbeat-fired", frozen=True, kw_only=True):
    """A run, or a task, begins: however often this process dies. The decision for `due_ns`.

    With `thread_id` that thread is signalled, and what it does at that moment decides: `run_id`
    is the run that this begins there, if it begins one.
    """

    fire: int
    due_ns: int
    kind: FireKind = "schedule"
    at_ns: int = 0
    run_id: str = ""  # of an agent's run
    task_id: str = ""  # of a tool's task
    thread_id: str = ""
    overrides: FireOverrides | None = None
    deadline_ns: int | None = None


class FireSkipped(Event, tag="fire-skipped", frozen=True, kw_only=True):
    """Nothing is done at this instant, and why. The decision for `due_ns`.

    `reason`: `overlap`, `max_fires`, `prepare` (a function said so), `failed` (it has raised:
    `error`), `over` (the heartbeat was paused meanwhile), `paused`, `updated` or `deleted`.
    """

    due_ns: int
    kind: FireKind = "schedule"
    reason: str = ""
    fire: int | None = None  # if it was claimed
    error: Failure | None = None


class InstantsPassed(Event, tag="instants-passed", frozen=True, kw_only=True):
    """The decision for `count` instants in a row, from `first_ns` to `last_ns`.

    `coalesced`: a later one has fired for them. `missed`: they were too long ago. `skipped`: what
    was missed is not made up for.
    """

    decision: Literal["coalesced", "missed", "skipped"]
    first_ns: int
    last_ns: int
    count: int = 1
    reason: str = ""


class FireDeferred(Event, tag="fire-deferred", frozen=True, kw_only=True):
    """What was fired before goes on: this instant waits for its end. Its decision comes then."""

    due_ns: int


class FireStopped(Event, tag="fire-stopped", frozen=True, kw_only=True):
    """What was fired is to be cancelled: it has taken too long, or another one is due."""

    fire: int
    reason: Literal["timeout", "overlap"]


class FireSuspended(Event, tag="fire-suspended", frozen=True, kw_only=True):
    """What was fired waits for a person. That is its outcome until there is another one."""

    fire: int
    message: MessageId | None = None


class FireResumed(Event, tag="fire-resumed", frozen=True, kw_only=True):
    """What was fired goes on."""

    fire: int
    deadline_ns: int | None = None
    message: MessageId | None = None


class FireEnded(Event, tag="fire-ended", frozen=True, kw_only=True):
    """What was fired is over. `elapsed_ms` counts from when it was fired.

    `run_id` is the run that was told of it, where a thread was signalled and it began none.
    """

    fire: int
    outcome: FireOutcome
    run_id: str = ""
    error: Failure | None = None
    usage: Usage = Usage()
    elapsed_ms: int = 0
    message: MessageId | None = None

    @property
    def told_by_itself(self) -> bool:
        """Whether it was told by the run or the task that was begun."""
        return self.message is not None and kind_of(self.message.sender) != "thread"


class HookRan(Event, tag="hook-ran", frozen=True, kw_only=True):
    """A function of the user was called for a fire, to its end; `error`: it has raised."""

    fire: int
    hook: str  # its name; empty: there was none for what the fire came to, or it broke
    error: Failure | None = None


class HeartbeatRecovered(Event, tag="heartbeat-recovered", frozen=True, kw_only=True):
    """The process died while functions of the user were called for these fires: once more."""

    epoch: int  # of the owner that goes on with it
    fires: tuple[int, ...] = ()
    clean: bool = False  # the owner before had closed in good order


HeartbeatEvent: TypeAlias = (
    HeartbeatCreated
    | HeartbeatUpdated
    | FireScheduled
    | HeartbeatPaused
    | HeartbeatResumed
    | HeartbeatCompleted
    | HeartbeatDeleted
    | FireClaimed
    | HeartbeatFired
    | FireSkipped
    | InstantsPassed
    | FireDeferred
    | FireStopped
    | FireSuspended
    | FireResumed
    | FireEnded
    | HookRan
    | HeartbeatRecovered
    | MessageDelivered
)
