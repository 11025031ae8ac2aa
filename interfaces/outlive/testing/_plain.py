"""A state in plain words: as JSON that a person can read and a hash can be made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from outlive.testing._structs import fields_of

_ALL: Final = object()


def plain(state: object, *, like: object = _ALL) -> dict[str, Any]:
    """Return a state as JSON: the fields of structs by name, in the order of their names.

    With `like`, a field that it does not have is left out if it has its default value.
    """
    if not isinstance(state, msgspec.Struct):
        raise TypeError(f"a state is a Struct, not {type(state).__name__}")
    return _struct(state, like)


def differences(expected: object, actual: object, path: str = "") -> Iterator[str]:
    """Yield lines for where two pieces of JSON differ, `-` for the first and `+` for the other."""
    one, two = _object(expected), _object(actual)
    if one is not None and two is not None:
        for key in one | two:
            inner = f"{path}.{key}" if path else key
            if key not in two:
                yield f"  - {inner}: {one[key]!r}"
            elif key not in one:
                yield f"  + {inner}: {two[key]!r}"
            else:
                yield from differences(one[key], two[key], inner)
        order, other = [*one], [*two]
        if order != other and one.keys() == two.keys():
            yield f"  - order of {path}: {order}"
            yield f"  + order of {path}: {other}"
    elif expected != actual or type(expected) is not type(actual):
        yield f"  - {path}: {expected!r}"
        yield f"  + {path}: {actual!r}"


def _struct(value: msgspec.Struct, like: object) -> dict[str, Any]:
    known = _object(like)
    said: dict[str, Any] = {}
    config = value.__struct_config__
    if config.tag is not None:
        said[config.tag_field or "type"] = config.tag
    for name, found, is_default in sorted(fields_of(value), key=lambda field: field[0]):
        if known is None or name in known or not is_default:
            said[name] = _any(found, _ALL if known is None else known.get(name, _ALL))
    return said


def _any(value: object, like: object) -> object:
    match value:
        case msgspec.Struct():
            return _struct(value, like)
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            known = _object(like) or {}
            keyed = [(str(msgspec.to_builtins(key)), part) for key, part in items]
            return {key: _any(part, known.get(key, _ALL)) for key, part in keyed}
        case list() | tuple():
            parts = cast("Sequence[object]", value)
            others = cast("Sequence[object]", like) if isinstance(like, list) else ()
            return [
                _any(part, others[index] if index < len(others) else _ALL)
                for index, part in enumerate(parts)
            ]
        case set() | frozenset():
            members = [_any(part, _ALL) for part in cast("frozenset[object]", value)]
            return sorted(members, key=msgspec.json.encode)
        case _:
            return msgspec.to_builtins(value)


def _object(like: object) -> dict[str, object] | None:
    return cast("dict[str, object]", like) if isinstance(like, dict) else None
