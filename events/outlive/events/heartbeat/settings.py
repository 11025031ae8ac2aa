"""What a heartbeat does and when: as it is stored, checked already."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from outlive.events.run.parts import InputPart
from outlive.events.signals import IfActive, IfIdle, Signal, SignalType
from outlive.events.values import Value

Misfire: TypeAlias = Literal["skip", "one", "all"]
Overlap: TypeAlias = Literal["skip", "queue", "cancel_previous", "allow"]


class HeartbeatSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a heartbeat does and when.

    With `tool` it calls that tool of the agent in the background; without, the agent is run.
    Exactly one of `cron`, `every_ns` and `at_ns` is set. With `thread_id` each fire is a signal to
    that thread of `resource_id`, and what follows that says how; without, none of it is set.
    """

    agent_id: str
    tool: str = ""
    arguments: dict[str, Value] = {}
    prompt: str = ""
    parts: tuple[InputPart, ...] = ()
    cron: str = ""
    every_ns: int = 0
    at_ns: int | None = None
    timezone: str = "UTC"
    name: str = ""
    metadata: dict[str, Value] = {}
    starts_at_ns: int | None = None
    ends_at_ns: int | None = None
    max_fires: int | None = None
    provider_options: dict[str, Value] = {}
    request_context: dict[str, Value] = {}
    misfire: Misfire = "one"
    grace_ns: int | None = None  # None: what was missed counts however long ago it was
    overlap: Overlap = "skip"
    jitter_ns: int = 0
    timeout_ns: int | None = None
    max_failures: int | None = None
    tools: tuple[str, ...] | None = None  # those of the agent that it may call; None: all
    thread_id: str = ""
    resource_id: str = ""
    signal_type: SignalType | None = None  # None: a notification
    tag_name: str = ""  # if it is empty: heartbeat
    attributes: dict[str, Value] = {}
    if_active: IfActive | None = None
    if_idle: IfIdle | None = None
    hook: str = ""  # names hooks of the runtime

    def signal(self) -> Signal:
        """Return what a thread is told with each fire."""
        return Signal(
            text=self.prompt,
            parts=self.parts,
            type=self.signal_type or "notification",
            tag_name=self.tag_name or "heartbeat",
            attributes=self.attributes,
            provider_options=self.provider_options,
        )
