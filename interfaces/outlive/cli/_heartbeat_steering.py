"""What a person says of a heartbeat from a terminal: through the inbox, to the log's owner."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from outlive.actors import Runtime
from outlive.actors.heartbeat.inputs import heartbeat_id
from outlive.cli._asking import has_waiting, opened
from outlive.cli._exit import OK, Wrong, complain
from outlive.cli._json import plain, print_json
from outlive.cli._saying import WAITS, name_of, say
from outlive.cli._text import printable
from outlive.events import IfActive, IfIdle, InvalidDefinition, heartbeat_stream
from outlive.projections import HeartbeatInfo

T = TypeVar("T")
_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)?")
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LENGTHS: Final = ("every", "grace", "jitter", "timeout")
_OBJECTS: Final = ("args", "attributes", "metadata", "request_context", "provider_options")
_INSTANTS: Final = ("at", "starts_at", "ends_at")


def create_heartbeat(
    data: Path, id: str | None, said: Mapping[str, Any], *, by: str | None, json: bool
) -> int:
    """Create a heartbeat. Raises what `Runtime.heartbeats.create` raises, Wrong."""
    fields = _fields(said)
    info = _visit(data, lambda rt: rt.heartbeats.create(id=id, by=name_of(by), **fields))
    if json:
        print_json(plain(info))
    else:
        print(info.id)  # alone on its line, for a script to use
    if info.status == "submitted":
        complain(f"no process owns the log: {info.id} is created as soon as one does")
    return OK


def update_heartbeat(
    data: Path, id: str, said: Mapping[str, Any], *, by: str | None, json: bool
) -> int:
    """Have a heartbeat be otherwise. Raises what `Runtime.heartbeats.update` raises, Wrong."""
    fields = _fields(said)

    async def update(rt: Runtime) -> HeartbeatInfo:
        return await rt.heartbeats.update(id, by=name_of(by), **fields)

    info = _visit(data, update)
    waits = _waits(data, id)
    if json:
        print_json(plain(info))
    else:
        print(printable(f"{'submitted; ' if waits else ''}updated: {info.id}"))
    if waits:
        complain(WAITS)
    return OK


def pause_heartbeat(data: Path, id: str, *, reason: str, by: str | None, json: bool) -> int:
    """Pause a heartbeat. Raises what `Runtime.heartbeats.pause` raises."""
    return _say(
        data, "paused", id, lambda rt: rt.heartbeats.pause(id, reason, by=name_of(by)), json
    )


def resume_heartbeat(data: Path, id: str, *, by: str | None, json: bool) -> int:
    """Resume a heartbeat. Raises what `Runtime.heartbeats.resume` raises."""
    return _say(data, "resumed", id, lambda rt: rt.heartbeats.resume(id, by=name_of(by)), json)


def delete_heartbeat(data: Path, id: str, *, by: str | None, json: bool) -> int:
    """Delete a heartbeat. Raises what `Runtime.heartbeats.delete` raises."""
    return _say(data, "deleted", id, lambda rt: rt.heartbeats.delete(id, by=name_of(by)), json)


def release_heartbeat(data: Path, id: str, *, json: bool) -> int:
    """Release a heartbeat. Raises what `Runtime.heartbeats.release` raises."""
    return _say(data, "released", id, lambda rt: rt.heartbeats.release(id), json)


def run_heartbeat(data: Path, id: str, *, by: str | None, json: bool) -> int:
    """Have a heartbeat fire now. Raises what `Runtime.heartbeats.run` raises."""
    run_id = _visit(data, lambda rt: rt.heartbeats.run(id, by=name_of(by)))
    waits = _waits(data, id)
    if json:
        print_json({"heartbeat_id": id, "run_id": run_id, "submitted": waits})
    else:
        print(run_id)
    if waits:
        complain(WAITS)
    return OK


def _waits(data: Path, id: str) -> bool:
    """Whether what was just said waits for an owner: an owner carries it out in order."""
    with opened(data) as log:
        return has_waiting(log, heartbeat_stream(heartbeat_id(id)))


def _say(
    data: Path, done: str, id: str, what: Callable[[Runtime], Awaitable[bool]], json: bool
) -> int:
    facts: dict[str, object] = {"heartbeat_id": id, "said": done}
    return say(data, what, f"{done}: heartbeat {id!r}", facts, json=json)


def _visit(data: Path, work: Callable[[Runtime], Awaitable[T]]) -> T:
    async def visit() -> T:
        async with Runtime(data, role="visitor") as rt:
            return await work(rt)

    try:
        return asyncio.run(visit())
    except InvalidDefinition as error:
        raise Wrong(str(error)) from None


def _fields(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said, as it is meant. Raises Wrong."""
    fields = {name: value for name, value in said.items() if value is not None}
    for name in _LENGTHS:
        if name in fields:
            fields[name] = _length(name, fields[name])
    for name in _INSTANTS:
        if name in fields:
            fields[name] = _instant(name, fields[name])
    for name in _OBJECTS:
        if name in fields:
            fields[name] = _object(name, fields[name])
    if "if_active" in fields:
        fields["if_active"] = IfActive(fields["if_active"])
    if "if_idle" in fields:
        fields["if_idle"] = IfIdle(fields["if_idle"])
    if "tools" in fields:
        fields["tools"] = [one.strip() for one in fields["tools"].split(",") if one.strip()]
    return fields


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError) as error:
        option = name.replace("_", "-")
        raise Wrong(f"--{option} is a JSON object: {error}") from None


def _length(name: str, text: str) -> float:
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise Wrong(f"--{name} is a length of time: 30s, 90m, 24h, 7d, not {text!r}")
    return float(found[1]) * _UNITS[found[2] or "s"]


def _instant(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        option = name.replace("_", "-")
        raise Wrong(f"--{option} is a time: 2030-01-01T08:30:00+01:00, not {text!r}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
