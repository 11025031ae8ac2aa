"""What people and programs say of a heartbeat, made plain and checked field by field."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast, get_args

from msgspec import UNSET

from outlive.actors.agent import Agent
from outlive.actors.cron.zone import host_timezone
from outlive.actors.heartbeat.commands import HeartbeatChanges
from outlive.actors.heartbeat.schedule import cron_of
from outlive.actors.heartbeat.settled import changed
from outlive.actors.tool import Tool
from outlive.events import (
    HeartbeatSettings,
    IfActive,
    IfIdle,
    InvalidHeartbeat,
    InvalidId,
    InvalidSignal,
    Value,
    thread_stream,
    to_plain,
)
from outlive.events.errors import EventTooLarge, UnserialisableValue
from outlive.events.heartbeat import Misfire, Overlap
from outlive.events.run.parts import Input, InputPart, TextPart, text_and_parts
from outlive.events.signals import (
    check_if_active,
    check_if_idle,
    checked_attributes,
    new_signal,
)
from outlive.events.sizes import check_size
from outlive.projections.lists import check_text

_PREFIX: Final = "hb_"
_LONGEST: Final = 160
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_NS: Final = 2**62
_LEAST_NS: Final = 1_000_000
_NO_BOUND: Final = -1
_LATE_FOR_ALL_NS: Final = 3_600_000_000_000


def heartbeat_id(given: str) -> str:
    """Return the id by which a heartbeat is known: `hb_my-weird-id` for `My Weird ID!!`.

    Whatever comes of it comes of that again.

    Raises:
        InvalidId: nothing is left of it, or it is too long.
    """
    if not isinstance(given, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidId(f"an id of a heartbeat is text, not {type(given).__name__}")
    plain = unicodedata.normalize("NFKD", given).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9_]+", "-", plain.strip().removeprefix(_PREFIX)).strip("-_")
    if not slug:
        raise InvalidId(f"{given!r:.300} is no id of a heartbeat: use letters and digits")
    if len(slug) > _LONGEST:  # The ids of its runs are longer, by a number.
        raise InvalidId(f"an id of a heartbeat has at most {_LONGEST} characters: {given!r:.300}")
    return _PREFIX + slug


def to_create(given: Mapping[str, object]) -> HeartbeatChanges:
    """Return what a heartbeat is created with, with what holds where nothing is said.

    Raises:
        InvalidHeartbeat, InvalidCron: a field that cannot hold, by its name.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if "cron" in said and "timezone" not in said:
        said["timezone"] = host_timezone()
    changes = _changes(said)
    for name in ("agent_id", "tool"):
        if getattr(changes, name) is not UNSET:
            break
    else:
        raise InvalidHeartbeat("agent_id: say which agent is to run, or which tool (task)")
    changed(HeartbeatSettings(agent_id="?"), changes)
    return changes


def to_update(given: Mapping[str, object]) -> HeartbeatChanges:
    """Return what is to be otherwise: a field that is None is as if it had never been said.

    Raises:
        InvalidHeartbeat, InvalidCron: a field that cannot hold, by its name; or none at all.
    """
    said = dict(given)
    if not said:
        raise InvalidHeartbeat("say what is to be otherwise")
    for name in ("agent_id", "misfire", "overlap", "name"):
        if name in said and said[name] is None:
            raise InvalidHeartbeat(f"{name}: it cannot be without")
    if said.get("timezone", "") is None:
        said["timezone"] = host_timezone()
    changes = _changes(said)
    zone = changes.timezone if isinstance(changes.timezone, str) else "UTC"
    cron_of(changes.cron if isinstance(changes.cron, str) and changes.cron else "@daily", zone)
    return changes


def to_override(given: Mapping[str, object]) -> HeartbeatChanges:
    """Return what one fire has otherwise, field by field. Raises InvalidHeartbeat."""
    return _changes(given)


def _changes(given: Mapping[str, object]) -> HeartbeatChanges:
    found: dict[str, object] = {}
    for name, value in given.items():
        read = _READ.get(name)
        if read is None:
            raise InvalidHeartbeat(f"{name}: a heartbeat has {', '.join(FIELDS)}")
        try:
            read(name, value, found)
        except InvalidSignal as error:
            field = error.field if error.field.startswith(name) else name
            raise InvalidHeartbeat(f"{field}: {error.reason}") from None
        except (UnserialisableValue, EventTooLarge, InvalidId) as error:
            raise InvalidHeartbeat(f"{name}: {error}") from None
    if "misfire" in found and "grace_ns" not in found:
        found["grace_ns"] = _grace_of(found["misfire"])
    if found.get("grace_ns", 0) is None:
        misfire = found.get("misfire", "one")
        found["grace_ns"] = _grace_of(misfire)
    elif found.get("grace_ns") == _NO_BOUND:
        found["grace_ns"] = None
    changes = HeartbeatChanges(**cast("dict[str, Any]", found))
    try:
        check_size(changes)
    except EventTooLarge as error:
        raise InvalidHeartbeat(str(error)) from None
    return changes


def _grace_of(misfire: object) -> int | None:
    """Return the grace of a policy, where none is said: an hour for `all`, else no bound."""
    return _LATE_FOR_ALL_NS if misfire == "all" else None


def prompt_of(given: object) -> tuple[str, tuple[InputPart, ...]]:
    """Return a prompt's text, and its parts if it is more than that. Raises InvalidHeartbeat."""
    if isinstance(given, Sequence) and not isinstance(given, bytes | bytearray):
        try:
            text, parts = text_and_parts(cast("Input", given))
        except (TypeError, ValueError, UnserialisableValue) as error:
            raise InvalidHeartbeat(f"prompt: {error}") from None
        if text.strip() or any(not isinstance(part, TextPart) for part in parts):
            return text, parts
    raise InvalidHeartbeat(f"prompt: text or parts that are not empty, not {given!r:.80}")


def arguments_of(given: object) -> dict[str, Value]:
    """Return the arguments of a tool. Raises InvalidHeartbeat."""
    return values_of("args", given)


def attributes_of(given: object) -> dict[str, Value]:
    """Return the attributes of what a thread is told. Raises InvalidSignal."""
    return checked_attributes("attributes", cast("Mapping[str, object] | None", given))


def values_of(name: str, given: object) -> dict[str, Value]:
    """Return JSON that is kept with a heartbeat, or handed on. Raises InvalidHeartbeat."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidHeartbeat(f"{name}: a mapping, not {given!r:.80}")
    mapping = cast("Mapping[object, object]", given)
    if not all(isinstance(key, str) for key in mapping):
        raise InvalidHeartbeat(f"{name}: its keys are text")
    try:
        return cast("dict[str, Value]", to_plain(dict(mapping)))
    except UnserialisableValue as error:
        raise InvalidHeartbeat(f"{name}: {error}") from None


def _text(name: str, value: object, found: dict[str, object]) -> None:
    if not isinstance(value, str):
        raise InvalidHeartbeat(f"{name}: text, not {value!r:.80}")
    to_plain(value)
    found[name] = value


def _some_text(name: str, value: object, found: dict[str, object]) -> None:
    _text(name, value, found)
    if not str(value).strip():
        raise InvalidHeartbeat(f"{name}: it is not empty")


def _cron(name: str, value: object, found: dict[str, object]) -> None:
    if value is None:
        found[name] = ""
        return
    _some_text(name, value, found)


def _agent(name: str, value: object, found: dict[str, object]) -> None:
    _some_text(name, value.id if isinstance(value, Agent) else value, found)


def _task(_: str, value: object, found: dict[str, object]) -> None:
    if value is None:
        found["tool"], found["arguments"] = "", {}
        return
    _some_text("task", value.name if isinstance(value, Tool) else value, found)
    found["tool"] = found.pop("task")


def _prompt(_: str, value: object, found: dict[str, object]) -> None:
    # A tool has none; that an agent has one is looked at with the rest.
    found["prompt"], found["parts"] = ("", ()) if value is None else prompt_of(value)


def _arguments(_: str, value: object, found: dict[str, object]) -> None:
    found["arguments"] = arguments_of(value)


def _values(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = values_of(name, value)


def _length(name: str, value: object) -> int:
    """Return a duration in nanoseconds, above zero."""
    if isinstance(value, timedelta):
        length_ns = value // _MICROSECOND * 1_000
    elif type(value) is int:
        length_ns = value * 1_000_000_000
    elif type(value) is float and math.isfinite(value):
        length_ns = round(min(value * 1e9, _MOST_NS))
    else:
        raise InvalidHeartbeat(f"{name}: a duration in seconds, or a timedelta, not {value!r:.80}")
    if not 0 < length_ns < _MOST_NS:
        raise InvalidHeartbeat(f"{name}: a duration above zero, below 146 years, not {value!r:.80}")
    return length_ns


def _every(_: str, value: object, found: dict[str, object]) -> None:
    every_ns = 0 if value is None else _length("every", value)
    if 0 < every_ns < _LEAST_NS:
        raise InvalidHeartbeat(f"every: a millisecond or more, not {value!r:.80}")
    found["every_ns"] = every_ns


def _or_none(name: str, value: object, found: dict[str, object]) -> None:
    found[f"{name}_ns"] = None if value is None else _length(name, value)


def _grace(name: str, value: object, found: dict[str, object]) -> None:
    if value is None:
        found["grace_ns"] = None  # that of the policy
    elif value == math.inf:
        found["grace_ns"] = _NO_BOUND
    else:
        found["grace_ns"] = 0 if _is_nothing(value) else _length(name, value)


def _jitter(name: str, value: object, found: dict[str, object]) -> None:
    found["jitter_ns"] = 0 if value is None or _is_nothing(value) else _length(name, value)


def _is_nothing(value: object) -> bool:
    return (type(value) in (int, float) and value == 0) or value == timedelta(0)


def _instant(name: str, value: object, found: dict[str, object]) -> None:
    if value is None:
        found[f"{name}_ns"] = None
        return
    if not isinstance(value, datetime):
        raise InvalidHeartbeat(f"{name}: a datetime, not {value!r:.80}")
    if value.utcoffset() is None:
        raise InvalidHeartbeat(f"{name}: a datetime with a time zone, not {value!r}")
    at_ns = (value - _START) // _MICROSECOND * 1_000
    if not 0 <= at_ns < _MOST_NS:
        raise InvalidHeartbeat(f"{name}: within the years 1970 to 2115, not {value!r}")
    found[f"{name}_ns"] = at_ns


def _whole(name: str, value: object, found: dict[str, object]) -> None:
    if value is not None and (type(value) is not int or not 1 <= value < 2**31):
        raise InvalidHeartbeat(f"{name}: a whole number from 1, or None, not {value!r:.80}")
    found[name] = value


def _misfire(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = _one_of(name, value, get_args(Misfire))


def _overlap(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = _one_of(name, value, get_args(Overlap))


def _one_of(name: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidHeartbeat(f"{name}: {', '.join(known)}, not {value!r:.80}")
    return value


def _tools(name: str, value: object, found: dict[str, object]) -> None:
    if value is None:
        found[name] = None
        return
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidHeartbeat(f"{name}: a list of names, not {value!r:.80}")
    listed = cast("Sequence[object]", value)
    names = [item.name if isinstance(item, Tool) else item for item in listed]
    if not all(isinstance(item, str) and item for item in names):
        raise InvalidHeartbeat(f"{name}: a list of names, not {value!r:.80}")
    to_plain(names)
    found[name] = tuple(dict.fromkeys(cast("list[str]", names)))


def _thread(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = ""
    if value is not None:
        _some_text(name, value, found)
        thread_stream(str(value))


def _hook(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = ""
    if value is not None:
        _some_text(name, value, found)


def _resource(name: str, value: object, found: dict[str, object]) -> None:
    if value is not None:
        check_text(name, cast("str", value))
    found[name] = value or ""


def _signal_type(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = None if value is None else new_signal("?", type=cast("Any", value)).type


def _tag_name(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = new_signal("?", tag_name=cast("Any", value)).tag_name


def _attributes(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = attributes_of(value)


def _if_active(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = None if value is None else check_if_active(cast("IfActive", value))


def _if_idle(name: str, value: object, found: dict[str, object]) -> None:
    found[name] = None if value is None else check_if_idle(cast("IfIdle", value))


_READ: Final = {
    "agent_id": _agent,
    "task": _task,
    "args": _arguments,
    "prompt": _prompt,
    "cron": _cron,
    "every": _every,
    "at": _instant,
    "timezone": _some_text,
    "name": _text,
    "metadata": _values,
    "starts_at": _instant,
    "ends_at": _instant,
    "max_fires": _whole,
    "provider_options": _values,
    "request_context": _values,
    "misfire": _misfire,
    "grace": _grace,
    "overlap": _overlap,
    "jitter": _jitter,
    "timeout": _or_none,
    "max_failures": _whole,
    "tools": _tools,
    "thread_id": _thread,
    "resource_id": _resource,
    "signal_type": _signal_type,
    "tag_name": _tag_name,
    "attributes": _attributes,
    "if_active": _if_active,
    "if_idle": _if_idle,
    "hook": _hook,
}
FIELDS: Final = tuple(_READ)
"""What may be said of a heartbeat."""
