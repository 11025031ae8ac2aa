"""The fields of structs, without a look at their annotations, which may name what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec


def fields_of(value: msgspec.Struct) -> Iterator[tuple[str, object, bool]]:
    """Yield of each field its stored name, its value, and whether that is its default."""
    names = value.__struct_fields__
    defaults: tuple[Any, ...] = value.__struct_defaults__
    required = len(names) - len(defaults)
    for index, (name, stored) in enumerate(zip(names, value.__struct_encode_fields__, strict=True)):
        found: object = getattr(value, name)
        default: Any = msgspec.NODEFAULT if index < required else defaults[index - required]
        if type(default).__name__ == "Factory":  # msgspec keeps `{}` as what makes one
            default = default.factory()
        is_default = default is not msgspec.NODEFAULT and bool(found == default)
        yield stored, found, is_default
