"""Events and other values as a failed test shows them: what is said of them, defaults aside."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import cast

import msgspec

from outlive.events import Event
from outlive.testing._structs import fields_of


def shown(value: object) -> str:
    """Return a value in one line; of a struct, only fields that differ from their default."""
    if not isinstance(value, msgspec.Struct):
        return repr(value)
    said = [f"{name}={_inside(found)}" for name, found, default in fields_of(value) if not default]
    return f"{type(value).__name__}({', '.join(said)})"


def events_shown(events: Sequence[Event]) -> str:
    """Return events, one a line."""
    return "\n".join(f"    {shown(event)}" for event in events) or "    no event"


def difference(expected: Sequence[Event], actual: Sequence[Event]) -> str:
    """Return both lists in one: `-` was expected and is missing, `+` is there and was not."""
    one, two = [shown(event) for event in expected], [shown(event) for event in actual]
    lines: list[str] = []
    for kind, begin, end, other_begin, other_end in SequenceMatcher(
        None, one, two, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            lines += [f"    {line}" for line in one[begin:end]]
        else:
            lines += [f"  - {line}" for line in one[begin:end]]
            lines += [f"  + {line}" for line in two[other_begin:other_end]]
    return "\n".join(lines)


def _inside(value: object) -> str:
    match value:
        case msgspec.Struct():
            return shown(value)
        case tuple():
            parts = [_inside(part) for part in cast("tuple[object, ...]", value)]
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        case list():
            return f"[{', '.join(_inside(part) for part in cast('list[object]', value))}]"
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return f"{{{', '.join(f'{key!r}: {_inside(part)}' for key, part in pairs)}}}"
        case _:
            return repr(value)
