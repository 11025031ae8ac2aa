"""The JSON Schema of a type, as models and people see it, and answers are held against it.

It is the one that msgspec makes, but for one thing: that a text is an instant is said there only
where it must have a zone. A model or a person would be told that any text will do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import inspect

from outlive.events import Value

Schema: TypeAlias = dict[str, Any]
_Record: TypeAlias = (
    inspect.StructType | inspect.DataclassType | inspect.TypedDictType | inspect.NamedTupleType
)
_FORMATS: Final[dict[type[inspect.Type], str]] = {
    inspect.DateTimeType: "date-time",
    inspect.TimeType: "time",
}


def schema_of(type: Any) -> dict[str, Value]:  # noqa: ANN401  # a user's type
    """Return the JSON Schema of a type. Raises TypeError where there is none."""
    info = inspect.type_info(type)
    records = _records(info)
    (schema, *references), components = msgspec.json.schema_components(
        [type, *records], ref_template="#/$defs/{name}"
    )
    _add_formats(info, schema)
    for record, reference in zip(records.values(), references, strict=True):
        _add_formats_to_fields(record, components[_name(reference)])
    if "$ref" in schema:
        name, itself = _name(schema), str(schema["$ref"])
        schema = components[name]
        if itself.encode() not in msgspec.json.encode(components):
            del components[name]
    return {**schema, "$defs": components} if components else schema


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).removeprefix("#/$defs/")


def _records(info: inspect.Type) -> dict[Any, _Record]:
    """Return the types with fields that a type is made of; their schemas have names."""
    found: dict[Any, _Record] = {}
    left = [info]
    while left:
        kind = _bare(left.pop())
        if isinstance(kind, _Record):
            if kind.cls not in found:
                found[kind.cls] = kind
                left += (field.type for field in kind.fields)
        else:
            left += _inside(kind)
    return found


def _inside(kind: inspect.Type) -> Iterable[inspect.Type]:
    match kind:
        case inspect.CollectionType(item_type=item):
            return (item,)
        case inspect.TupleType(item_types=items):
            return items
        case inspect.DictType(value_type=value):
            return (value,)
        case inspect.UnionType(types=kinds):
            return kinds
        case _:
            return ()


def _bare(kind: inspect.Type) -> inspect.Type:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _add_formats(info: inspect.Type, schema: Schema | None) -> None:
    """Say in a schema which texts are instants; not in those that it refers to."""
    kind = _bare(info)
    if schema is None or "$ref" in schema:
        return
    match kind:
        case inspect.DateTimeType() | inspect.TimeType():
            if schema.get("format") in (None, "partial-time"):
                schema["format"] = _FORMATS[type(kind)]
        case inspect.CollectionType():
            _add_formats(kind.item_type, schema.get("items"))
        case inspect.TupleType():
            _add_to_each(kind.item_types, schema.get("prefixItems"))
        case inspect.DictType():
            _add_formats(kind.value_type, schema.get("additionalProperties"))
        case inspect.UnionType():
            for one in kind.types:
                sort = _sort(_bare(one))
                for option in schema["anyOf"]:
                    if sort is not None and option.get("type") == sort:
                        _add_formats(one, option)
        case _:
            pass


def _sort(kind: inspect.Type) -> str | None:
    """Return what the schema calls a type; a union has one of each sort, but for records."""
    match kind:
        case inspect.DateTimeType() | inspect.TimeType():
            return "string"
        case inspect.CollectionType() | inspect.TupleType():
            return "array"
        case inspect.DictType():
            return "object"
        case _:
            return None


def _add_formats_to_fields(record: _Record, schema: Schema) -> None:
    properties = schema.get("properties")
    if properties is not None:
        for field in record.fields:
            _add_formats(field.type, properties[field.encode_name])
        return
    items = schema.get("prefixItems", [])
    kinds = [field.type for field in record.fields]
    _add_to_each(kinds, items[len(items) - len(kinds) :])  # A tag may stand before them.


def _add_to_each(kinds: Iterable[inspect.Type], schemas: list[Schema] | None) -> None:
    for kind, schema in zip(kinds, schemas or (), strict=False):
        _add_formats(kind, schema)
