"""What may be said of a heartbeat, with its types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypedDict

from outlive.actors.agent import Agent
from outlive.actors.tool import Tool
from outlive.events import IfActive, IfIdle, SignalType
from outlive.events.heartbeat import Misfire, Overlap
from outlive.events.run.parts import Input

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""


class HeartbeatFields(TypedDict, total=False):
    """What a heartbeat does, and when.

    What it does: it runs the agent `agent_id` with the `prompt`; or it calls the tool `task` in
    the background, with `args` (that of the agent `agent_id`, if that is said, too).

    When: `cron` (see `Cron`; in `timezone`, that of this machine if left out), `every` so long, or
    once, `at` an instant; from `starts_at` to `ends_at`, at most `max_fires` times.

    `misfire`: what is done about instants that were missed while nobody was there: `one` late
    fire for all of them, `skip` them, or make up for `all`, the last 100 at most; those that are
    longer ago than `grace` are missed (default: `all` an hour, else however long; `math.inf` has
    no bound). `overlap`: what is done when the fire before goes on: `skip` this one, `queue` one,
    `cancel_previous`, or `allow` both; one that waits for a person does not count. `jitter`: each
    heartbeat fires later than due by a share of its own, below this. `timeout`: what has run
    longer is cancelled. `max_failures`: after so many in a row it pauses itself. `tools`: those of
    the agent that it may call, all if left out. `name` and `metadata` are for lists, and
    `request_context` and `provider_options` are those of the run.

    With `thread_id` and `resource_id` each fire is a signal to that thread: see `Runtime.signal`
    for `signal_type` (default: `notification`), `tag_name` (`heartbeat`), `attributes`,
    `if_active`, `if_idle` and `provider_options`. `timeout` then also counts what waits its turn
    there, `tools` are those of a run that a fire begins, and its `request_context` is that of
    `if_idle`. A tool (`task`) has no thread.

    `hook` names hooks of the runtime that take the place of those for all: see `HeartbeatHooks`.
    """

    agent_id: str | Agent | None
    task: str | Tool[..., Any] | None
    args: Mapping[str, object] | None
    prompt: Input | None
    cron: str | None
    every: Duration | None
    at: datetime | None
    timezone: str | None
    name: str
    metadata: Mapping[str, object] | None
    starts_at: datetime | None
    ends_at: datetime | None
    max_fires: int | None
    provider_options: Mapping[str, object] | None
    request_context: Mapping[str, object] | None
    misfire: Misfire
    grace: Duration | None
    overlap: Overlap
    jitter: Duration | None
    timeout: Duration | None
    max_failures: int | None
    tools: Sequence[str | Tool[..., Any]] | None
    thread_id: str | None
    resource_id: str | None
    signal_type: SignalType | Literal["system-reminder"] | None
    tag_name: str | None
    attributes: Mapping[str, object] | None
    if_active: IfActive | None
    if_idle: IfIdle | None
    hook: str | None
