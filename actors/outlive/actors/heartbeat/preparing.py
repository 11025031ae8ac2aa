"""What the function that prepares a fire wants to be otherwise, checked before it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from msgspec import UNSET

from outlive.actors.heartbeat.commands import HeartbeatChanges
from outlive.actors.heartbeat.inputs import to_override
from outlive.actors.heartbeat.settled import check_fire
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.required import require_thread
from outlive.events import FireOverrides, HeartbeatSettings, InvalidHeartbeat
from outlive.events.heartbeat import overridden

_OF_A_TASK: Final = ("args", "request_context")
_OF_AN_AGENT: Final = (
    "prompt",
    "metadata",
    "request_context",
    "provider_options",
    "thread_id",
    "resource_id",
    "signal_type",
    "tag_name",
    "attributes",
    "if_active",
    "if_idle",
)


def overrides_of(
    said: object, settings: HeartbeatSettings, all: Surroundings
) -> FireOverrides | None:
    """Return what `prepare` wants to be otherwise.

    Raises:
        InvalidHeartbeat, InvalidSignal, OtherResource: it says something else, or what can not
            be; nothing that is returned can do harm later.
    """
    if said is None:
        return None
    if not isinstance(said, Mapping):
        raise InvalidHeartbeat(f"prepare returns SKIP, a dict or None, not {said!r:.80}")
    given = dict(cast("Mapping[str, Any]", said))
    known = _OF_A_TASK if settings.tool else _OF_AN_AGENT
    for name in given:
        if name not in known:
            raise InvalidHeartbeat(f"prepare returns {', '.join(known)}, not {name!r:.80}")
    for name in ("thread_id", "resource_id"):
        if name in given and given[name] is None:
            raise InvalidHeartbeat(f"{name}: leave it out, or say which")
    overrides = _plain(to_override(given))
    _check(overrides, settings, all)
    return overrides


def _plain(changes: HeartbeatChanges) -> FireOverrides:
    names = FireOverrides.__struct_fields__
    said = {name: value for name in names if (value := getattr(changes, name)) is not UNSET}
    return FireOverrides(**said)


def _check(overrides: FireOverrides, settings: HeartbeatSettings, all: Surroundings) -> None:
    after = overridden(settings, overrides)
    check_fire(after, overrides)
    if after.thread_id:
        require_thread(all.log, after.thread_id, after.resource_id)
    tool = all.tool(after.agent_id, after.tool) if after.tool else None
    problem = None if tool is None else tool.problem_with(after.arguments)
    if problem is not None:
        raise InvalidHeartbeat(f"args: {problem.message}")
