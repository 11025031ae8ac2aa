"""Facts as JSON, one object a line: bytes as base64, times as ISO 8601 in UTC."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import msgspec

from outlive.events import Recorded

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


def utc(at_ns: int) -> datetime:
    """Return an instant as a time in UTC."""
    return _START + timedelta(microseconds=at_ns // 1000)


def plain(value: object) -> object:
    """Return a struct, and all that is in it, with every field by name.

    Fields at their default are kept. A field `..._at_ns` becomes `..._at`, a time.
    """
    match value:
        case msgspec.Struct():
            tag = value.__struct_config__.tag
            found: dict[str, object] = {"type": tag} if isinstance(tag, str) else {}
            for name, item in msgspec.structs.asdict(value).items():
                if name.endswith("_at_ns"):
                    found[name.removesuffix("_ns")] = utc(item) if isinstance(item, int) else None
                else:
                    found[name] = plain(item)
            return found
        case list() | tuple():
            return [plain(item) for item in cast("list[object]", value)]
        case dict():
            items = cast("dict[object, object]", value).items()
            return {str(key): plain(item) for key, item in items}
        case _:
            return value


def recorded_object(recorded: Recorded) -> dict[str, object]:
    """Return an event and its place in the log, as `runs watch --json` shows it."""
    event = cast("dict[str, object]", plain(recorded.event))
    return {
        "version": recorded.version,
        "type": event.pop("type", None),
        "recorded_at": recorded.recorded_at,
        "id": recorded.id,
        "stream": recorded.stream,
        "epoch": recorded.epoch,
        "cause": recorded.cause,
        "correlation_id": recorded.correlation_id,
        "event": event,
    }


def json_line(value: object) -> str:
    """Return a value as one line of JSON."""
    return msgspec.json.encode(value).decode()


def print_json(value: object) -> None:
    """Print a value as one line of JSON, at once."""
    sys.stdout.write(json_line(value) + "\n")
    sys.stdout.flush()
