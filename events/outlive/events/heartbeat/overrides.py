"""What one fire has in the place of its heartbeat's settings."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from outlive.events.heartbeat.settings import HeartbeatSettings
from outlive.events.run.parts import InputPart
from outlive.events.signals import IfActive, IfIdle, SignalType
from outlive.events.values import Value


class FireOverrides(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one fire has in the place of its heartbeat's settings. None: as it is set.

    On a thread `request_context` is that of `if_idle`.
    """

    prompt: str | None = None
    parts: tuple[InputPart, ...] | None = None
    arguments: dict[str, Value] | None = None
    metadata: dict[str, Value] | None = None
    request_context: dict[str, Value] | None = None
    provider_options: dict[str, Value] | None = None
    thread_id: str | None = None
    resource_id: str | None = None
    signal_type: SignalType | None = None
    tag_name: str | None = None
    attributes: dict[str, Value] | None = None
    if_active: IfActive | None = None
    if_idle: IfIdle | None = None


_NOTHING: Final = FireOverrides()


def overridden(settings: HeartbeatSettings, said: FireOverrides | None) -> HeartbeatSettings:
    """Return what one fire does. Pure and total; whether it can hold is not asked."""
    if said is None or said == _NOTHING:
        return settings
    names = said.__struct_fields__
    new = {name: value for name in names if (value := getattr(said, name)) is not None}
    if "prompt" in new:
        new.setdefault("parts", ())
    after = replace(settings, **new)
    if not after.thread_id:
        return after
    context = said.request_context
    if context is None and said.if_idle is None:
        context = settings.request_context or None  # of a heartbeat without a thread
    if context is not None:
        if_idle = replace(after.if_idle or IfIdle(), request_context=context)
        after = replace(after, if_idle=if_idle)
    return replace(after, request_context={})
