"""Does an answer fit what was asked for? Asked in any process, with nothing but the schema.

The schema is one that msgspec has made of the tool's `answer_type`, so it is turned back into a
type that msgspec can check. What the schema says beyond that is left to the tool's own check.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias, Union, cast

import msgspec

from outlive.events import UnserialisableValue, Value, from_plain

Schema: TypeAlias = dict[str, Any]

_DEEPEST: Final = 32
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
}
_PLAIN: Final[dict[str, Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
}


def problem_with(value: Value, schema: dict[str, Value] | None) -> str:
    """Return why a plain value does not fit a schema; empty if it does. None: anything fits."""
    if schema is None:
        return ""
    try:
        from_plain(value, _type(schema, schema.get("$defs") or {}, 0))
    except UnserialisableValue as error:
        return str(error)
    return ""


def _type(schema: Schema, definitions: Any, depth: int) -> Any:
    """Return the type that a schema describes; Any where it cannot be told."""
    if depth > _DEEPEST:
        return Any  # It contains itself.
    if "$ref" in schema:
        found = definitions.get(str(schema["$ref"]).rpartition("/")[2])
        return Any if found is None else _type(found, definitions, depth + 1)
    if "anyOf" in schema:
        return _union([_type(part, definitions, depth + 1) for part in schema["anyOf"]])
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    if "const" in schema:
        return Literal[schema["const"]]
    kind = schema.get("type")
    if kind == "array":
        found = _array(schema, definitions, depth)
    elif kind == "object":
        found = _object(schema, definitions, depth)
    else:
        found = _PLAIN.get(str(kind), Any)
    bounds = {_BOUNDS[name]: limit for name, limit in schema.items() if name in _BOUNDS}
    return Annotated[found, msgspec.Meta(**bounds)] if bounds and found is not Any else found


def _array(schema: Schema, definitions: Any, depth: int) -> Any:
    items = schema.get("items")
    if not isinstance(items, dict):
        return list[Any]
    inner = _type(cast("Schema", items), definitions, depth + 1)
    return list[inner]  # type: ignore[valid-type]  # known when it runs


def _object(schema: Schema, definitions: Any, depth: int) -> Any:
    properties: Schema = schema.get("properties") or {}
    if not properties:
        values = schema.get("additionalProperties")
        inner = Any
        if isinstance(values, dict):
            inner = _type(cast("Schema", values), definitions, depth + 1)
        return dict[str, inner]  # type: ignore[valid-type]  # known when it runs
    required = schema.get("required") or ()
    fields: list[Any] = []
    for number, (name, part) in enumerate(properties.items()):
        kind = _type(part, definitions, depth + 1)
        renamed = (
            msgspec.field(name=name) if name in required else msgspec.field(name=name, default=None)
        )
        # A field that is left out takes its default; one that is there must fit.
        fields.append((f"field_{number}", kind, renamed))
    forbids = schema.get("additionalProperties") is False
    return msgspec.defstruct("answer", fields, kw_only=True, forbid_unknown_fields=forbids)


def _union(parts: list[Any]) -> Any:
    """Return one of these; Any where msgspec cannot tell them apart."""
    one_of: Any = Union  # subscribed with what is known when it runs
    found: Any = one_of[tuple(parts)]
    try:
        msgspec.json.Decoder(found)
    except TypeError:
        return Any
    return found
