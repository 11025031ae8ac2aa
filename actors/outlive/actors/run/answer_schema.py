"""Does an answer fit what was asked for? Asked in any process, with nothing but the schema.

The schema is one that msgspec has made of the tool's `answer_type`; each plain value in the
answer is given to msgspec again, as the type that its part of the schema stands for. It is the
answer that is walked through, and not the schema: that may contain itself. What the schema says
beyond that is left to the tool's own check.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias, cast
from uuid import UUID

import msgspec

from outlive.events import UnserialisableValue, Value, from_plain

Schema: TypeAlias = dict[str, Any]

_BOUNDS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "pattern": "pattern",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "minProperties": "min_length",
    "maxProperties": "max_length",
}
_PLAIN: Final[dict[str, Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
    "array": list[Any],
    "object": dict[str, Any],
}
_FORMATS: Final[dict[str, Any]] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "decimal": Decimal,
}


def problem_with(value: Value, schema: dict[str, Value] | None) -> str:
    """Return why a plain value does not fit a schema; empty if it does. None: anything fits."""
    if schema is None:
        return ""
    try:
        _check(value, schema, schema.get("$defs") or {}, "$")
    except UnserialisableValue as error:
        return str(error)
    return ""


def _check(value: Value, schema: Schema, definitions: Any, where: str) -> None:
    """Raise UnserialisableValue if a value does not fit."""
    while "$ref" in schema:
        found = definitions.get(str(schema["$ref"]).rpartition("/")[2])
        if found is None:
            return
        schema = found
    if "anyOf" in schema:
        _check_any(value, schema["anyOf"], definitions, where)
        return
    try:
        from_plain(value, _type(schema))
    except UnserialisableValue as error:
        raise UnserialisableValue(_placed(str(error), where)) from None
    if isinstance(value, list):
        first: list[Schema] = schema.get("prefixItems") or []
        others = schema.get("items")
        for number, item in enumerate(value):
            kind = first[number] if number < len(first) else others
            if kind is False:
                raise UnserialisableValue(f"expected {len(first)} items - at `{where}`")
            if isinstance(kind, dict):
                _check(item, cast("Schema", kind), definitions, f"{where}[{number}]")
    elif isinstance(value, dict) and schema.get("type") == "object":
        _check_object(value, schema, definitions, where)


def _check_any(value: Value, kinds: list[Schema], definitions: Any, where: str) -> None:
    problems: list[str] = []
    for kind in kinds:
        try:
            _check(value, kind, definitions, where)
        except UnserialisableValue as error:
            problems.append(str(error))
        else:
            return
    raise UnserialisableValue("; or ".join(dict.fromkeys(problems)))


def _check_object(value: dict[str, Value], schema: Schema, definitions: Any, where: str) -> None:
    properties: Schema = schema.get("properties") or {}
    for name in schema.get("required") or ():
        if name not in value:
            raise UnserialisableValue(f"missing field `{name}` - at `{where}`")
    others = schema.get("additionalProperties")
    for name, item in value.items():
        kind = properties.get(name, others)
        if kind is False:
            raise UnserialisableValue(f"unknown field `{name}` - at `{where}`")
        if isinstance(kind, dict):
            _check(item, cast("Schema", kind), definitions, f"{where}.{name}")


def _type(schema: Schema) -> Any:
    """Return the type that a schema stands for, without what is inside; Any if it is unknown."""
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    if "const" in schema:
        return Literal[schema["const"]]
    found: Any = _PLAIN.get(str(schema.get("type")), Any)
    if schema.get("contentEncoding") == "base64":
        return bytes
    if found is str and schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    bounds = {_BOUNDS[name]: limit for name, limit in schema.items() if name in _BOUNDS}
    return Annotated[found, msgspec.Meta(**bounds)] if bounds and found is not Any else found


def _placed(problem: str, where: str) -> str:
    return problem if where == "$" else f"{problem} - at `{where}`"
