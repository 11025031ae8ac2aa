"""A function's signature and docstring, as JSON Schemas and as a check of arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from copy import copy
from typing import Annotated, Any, Final, get_type_hints

import msgspec

from outlive.actors.json_schema import schema_of
from outlive.events.errors import InvalidDefinition
from outlive.events.values import Value, from_plain

_NOTHING: Final = inspect.Signature.empty
_ARGUMENT: Final = re.compile(r"^\s*(\*{0,2}\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


class Signature:
    """What a tool takes and gives.

    `context` is the type of the parameter that the runtime fills.

    Raises:
        InvalidDefinition: a parameter without annotation, of a type that has no JSON Schema,
            positional-only, or `*args` / `**kwargs`.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str, *, context: type, wrong_context: type
    ) -> None:
        self._name = name
        try:
            hints = get_type_hints(fn, include_extras=True)
        except Exception as error:  # noqa: BLE001  # an annotation is any expression
            raise InvalidDefinition(
                f"tool {name!r}: its annotations cannot be read: {error}"
            ) from None
        documentation = inspect.getdoc(fn) or ""
        self.description = summary_of(documentation)
        described = argument_descriptions(documentation)
        self.context_parameter: str | None = None
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for parameter in inspect.signature(fn).parameters.values():
            if hints.get(parameter.name) is context:
                self.context_parameter = parameter.name
                continue
            if hints.get(parameter.name) is wrong_context:
                raise InvalidDefinition(
                    f"tool {name!r} takes a {wrong_context.__name__}, but is "
                    f"{'a' if wrong_context.__name__ == 'ToolContext' else 'an async'} function "
                    f"that needs a {context.__name__}"
                )
            fields.append(self._field(parameter, hints, described))
        self._arguments: Any = msgspec.defstruct(
            f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._fields = tuple(field[0] for field in fields)
        self.returns: Any = hints.get("return", _NOTHING)
        self.parameters: Final = self._schema(self._arguments, "parameters")
        self.output: Final = (
            None if self.returns is _NOTHING else self._schema(self.returns, "output")
        )

    def _field(
        self, parameter: inspect.Parameter, hints: dict[str, Any], described: dict[str, str]
    ) -> tuple[str, Any] | tuple[str, Any, Any]:
        where = f"tool {self._name!r}, parameter {parameter.name!r}"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidDefinition(f"{where}: a model cannot fill *args or **kwargs; name them")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise InvalidDefinition(f"{where}: arguments are passed by name; remove the '/'")
        if parameter.name not in hints:
            raise InvalidDefinition(
                f"{where}: needs an annotation, the model's schema comes from it"
            )
        hint = hints[parameter.name]
        if parameter.name in described:
            hint = Annotated[hint, msgspec.Meta(description=described[parameter.name])]
        if parameter.default is _NOTHING:
            return (parameter.name, hint)
        return (parameter.name, hint, _default(parameter.default))

    def _schema(self, type: Any, what: str) -> dict[str, Value]:
        try:
            return schema_of(type)
        except TypeError as error:
            raise InvalidDefinition(f"tool {self._name!r}, {what}: {error}") from None

    def arguments(self, values: dict[str, Value]) -> dict[str, Any]:
        """Return the arguments as the function wants them.

        Raises:
            UnserialisableValue: they do not fit the signature; the message says where.
        """
        struct = from_plain(values, self._arguments)
        return {field: getattr(struct, field) for field in self._fields}

    def check_output(self, value: Value) -> None:
        """Raise UnserialisableValue if a plain value does not fit the return annotation."""
        if self.returns is not _NOTHING:
            from_plain(value, self.returns)


def _default(value: object) -> object:
    """Mutable defaults are copied by msgspec only when they are empty."""
    if type(value) in (list, dict, set) and value:
        return msgspec.field(default_factory=lambda: copy(value))
    return value


def summary_of(documentation: str) -> str:
    """Return a docstring up to its first section (`Args:`, `Returns:`, `Raises:`)."""
    lines: list[str] = []
    for line in documentation.splitlines():
        if re.match(r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?):\s*$", line):
            break
        lines.append(line)
    return "\n".join(lines).strip()


def argument_descriptions(documentation: str) -> dict[str, str]:
    """Return what the `Args:` section of a Google-style docstring says of each parameter."""
    found: dict[str, str] = {}
    inside, indent, last = False, 0, ""
    for line in documentation.splitlines():
        if re.match(r"^(Args|Arguments|Parameters):\s*$", line):
            inside, indent = True, 0
            continue
        if not inside or not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            break
        indent = indent or depth
        match = _ARGUMENT.match(line)
        if depth == indent and match:
            last = match[1].lstrip("*")
            found[last] = match[2].strip()
        elif last:
            found[last] = f"{found[last]} {line.strip()}".strip()
    return found
