"""A heartbeat's settings as a whole: what changes make of them, and if that can hold. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET
from msgspec.structs import astuple, replace

from outlive.actors.heartbeat.commands import HeartbeatChanges
from outlive.actors.heartbeat.schedule import cron_of
from outlive.events import (
    FireOverrides,
    HeartbeatSettings,
    InvalidHeartbeat,
    InvalidSignal,
    ResourceIdRequired,
    ThreadlessOption,
)
from outlive.events.signals import check_if_idle, checked_json

_NO_SCHEDULE: Final = {"cron": "", "every_ns": 0, "at_ns": None}
_SCHEDULE: Final = tuple(_NO_SCHEDULE)
_WHEN: Final = (*_SCHEDULE, "timezone", "starts_at_ns", "ends_at_ns")
_OF_AGENTS: Final = {
    "prompt": "prompt",
    "parts": "prompt",
    "tools": "tools",
    "provider_options": "provider_options",
    "thread_id": "thread_id",
}
_OF_THREADS: Final = (
    "resource_id",
    "signal_type",
    "tag_name",
    "attributes",
    "if_active",
    "if_idle",
)


def changed(settings: HeartbeatSettings, changes: HeartbeatChanges) -> HeartbeatSettings:
    """Return the settings with what is to be otherwise. One schedule takes another's place.

    Raises:
        InvalidHeartbeat, InvalidCron: they cannot hold together.
    """
    said = zip(changes.__struct_fields__, astuple(changes), strict=True)
    new = {name: value for name, value in said if value is not UNSET}
    if not new.keys().isdisjoint(_SCHEDULE):
        new = {**_NO_SCHEDULE, **new}
    if "prompt" in new:
        new.setdefault("parts", ())
    after = replace(settings, **new)
    check(after)
    if "timezone" in new and not after.cron:
        raise InvalidHeartbeat("timezone: it is that of cron, and there is none")
    return after


def same_schedule(one: HeartbeatSettings, other: HeartbeatSettings) -> bool:
    """Whether both are due at the same times."""
    return all(getattr(one, name) == getattr(other, name) for name in _WHEN)


def check(settings: HeartbeatSettings) -> None:
    """Return if these settings can hold together.

    Raises:
        InvalidHeartbeat, InvalidCron: they cannot, and why.
        ResourceIdRequired, ThreadlessOption: what is said of its thread is not all of it.
    """
    if bool(settings.cron) + bool(settings.every_ns) + bool(settings.at_ns) != 1:
        names = [name.removesuffix("_ns") for name in _SCHEDULE if getattr(settings, name)]
        raise InvalidHeartbeat(
            f"say one of cron, every and at, not {' and '.join(names) or 'none of them'}"
        )
    if settings.cron:
        cron_of(settings.cron, settings.timezone)
    if settings.every_ns and settings.jitter_ns >= settings.every_ns:
        raise InvalidHeartbeat("jitter: it is less than the time between two fires (every)")
    starts, ends = settings.starts_at_ns, settings.ends_at_ns
    if starts is not None and ends is not None and ends < starts:
        raise InvalidHeartbeat("ends_at: it is not before starts_at")
    _check_thread(settings)
    if settings.tool:
        for field, name in _OF_AGENTS.items():
            if getattr(settings, field) not in ("", (), None, {}):
                raise InvalidHeartbeat(f"{name}: a heartbeat that calls a tool (task) has none")
    else:
        if not settings.prompt.strip() and not settings.parts:
            raise InvalidHeartbeat("prompt: text or parts that are not empty")
        if settings.arguments:
            raise InvalidHeartbeat("args: they are for a heartbeat that calls a tool (task)")


def _check_thread(settings: HeartbeatSettings) -> None:
    if not settings.thread_id:
        for name in _OF_THREADS:
            if getattr(settings, name):
                raise ThreadlessOption(f"{name}: it is about a thread; say thread_id, too")
        return
    if not settings.resource_id:
        raise ResourceIdRequired("resource_id: say to whom the thread of thread_id belongs")
    if settings.request_context:
        raise InvalidHeartbeat("request_context: with a thread it is that of if_idle=IfIdle(...)")
    try:
        checked_json("provider_options", settings.provider_options)
    except InvalidSignal as error:
        raise InvalidHeartbeat(f"{error.field}: {error.reason}") from None


def check_fire(after: HeartbeatSettings, overrides: FireOverrides) -> None:
    """Return if one fire can be like this: pure.

    Raises:
        InvalidHeartbeat, InvalidSignal: what it is to be otherwise does not go with the rest.
    """
    check(after)
    if not after.thread_id:
        return
    if overrides.metadata is not None:
        raise InvalidHeartbeat("metadata: what is told to a thread has none")
    if after.if_idle is not None:
        check_if_idle(after.if_idle)
        if overrides.request_context is not None and after.if_idle.behaviour != "wake":
            raise InvalidHeartbeat("request_context: of a run, and only wake starts one")
