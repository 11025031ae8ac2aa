"""What a heartbeat does and when: as it is stored, checked already."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from outlive.events.run.parts import InputPart
from outlive.events.values import Value

Misfire: TypeAlias = Literal["skip", "one", "all"]
Overlap: TypeAlias = Literal["skip", "queue", "cancel_previous", "allow"]


class HeartbeatSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a heartbeat does and when.

    With `tool` it calls that tool of the agent in the background; without, the agent is run.
    Exactly one of `cron`, `every_ns` and `at_ns` is set.
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
