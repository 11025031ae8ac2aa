"""An answer that fits what was asked for, made of nothing but the schema."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from outlive.actors.run.answer_schema import problem_with
from outlive.events import Value

Schema: TypeAlias = dict[str, Any]

_FORMATS: Final = {
    "date-time": "2030-01-01T00:00:00Z",
    "date": "2030-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "decimal": "0",
}
_LIMITS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_DEEPEST: Final = 20


def fitting(schema: Schema | None) -> Value:
    """Return a small value that fits a schema; None if anything does.

    Raises:
        ValueError: there is more to it than could be guessed, as a pattern.
    """
    if schema is None:
        return None
    value = _fitting(schema, schema.get("$defs") or {}, _DEEPEST)
    problem = problem_with(value, schema)
    if problem:
        raise ValueError(f"no answer comes to mind that fits {schema}: {problem}")
    return value


def _fitting(schema: Schema, definitions: Schema, depth: int) -> Value:
    if depth == 0:
        return None  # It holds itself, and no end of it is in sight.
    if "$ref" in schema:
        found = definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
        return _fitting(found, definitions, depth - 1)
    if "anyOf" in schema:
        return _of_any(schema["anyOf"], definitions, depth)
    if "const" in schema or "enum" in schema:
        first: Value = schema["const"] if "const" in schema else schema["enum"][0]
        return first
    match schema.get("type"):
        case "boolean":
            return True
        case "integer" | "number":
            return _number(schema)
        case "string":
            text = _FORMATS.get(str(schema.get("format")), "")
            return text.ljust(schema.get("minLength", 0), "x")
        case "array":
            return _items(schema, definitions, depth)
        case "object":
            properties: dict[str, Schema] = schema.get("properties") or {}
            required: list[str] = schema.get("required") or []
            return {
                name: _fitting(properties.get(name, {}), definitions, depth - 1)
                for name in required
            }
        case _:
            return None


def _of_any(kinds: list[Schema], definitions: Schema, depth: int) -> Value:
    for kind in kinds:
        value = _fitting(kind, definitions, depth - 1)
        if not problem_with(value, {**kind, "$defs": definitions}):
            return value
    return None


def _number(schema: Schema) -> Value:
    """Return a number near one of the limits."""
    step: float = schema.get("multipleOf", 1)
    limits: list[float] = [0, *(schema[name] for name in _LIMITS if name in schema)]
    for limit in limits:
        near = limit // step * step
        for number in (near, near + step, near - step):
            if not problem_with(number, schema):
                return number
    return None


def _items(schema: Schema, definitions: Schema, depth: int) -> list[Value]:
    first: list[Schema] = schema.get("prefixItems") or []
    others: Schema | bool = schema.get("items") or {}
    kinds = [*first]
    while len(kinds) < schema.get("minItems", 0):
        kinds.append(others if isinstance(others, dict) else {})
    return [_fitting(kind, definitions, depth - 1) for kind in kinds]
