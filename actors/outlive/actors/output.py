"""What an agent's answers have to be, if they are more than text."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from typing import Any, Final, cast

import msgspec
from msgspec.structs import replace

from outlive.actors.json_schema import schema_of
from outlive.actors.run.commands import CompleteModelCall
from outlive.events import EventTooLarge, Failure, InvalidDefinition, Value, to_plain
from outlive.events.sizes import check_size

_FENCED: Final = re.compile(r"\s*```\w*\n(.*)\n```\s*", re.DOTALL)
_LONGEST_REASON: Final = 2_000


class OutputType:
    """A type that answers are read as: a msgspec Struct, a dataclass or a pydantic model.

    Raises:
        InvalidDefinition: it is none of them, or has no JSON Schema.
    """

    def __init__(self, type: Any, agent_id: str) -> None:  # noqa: ANN401  # a user's type
        where = f"agent {agent_id!r}, output_type"
        self.type: Final[Any] = type
        self._pydantic: Final = hasattr(type, "model_validate_json")
        known = self._pydantic or is_dataclass(type) or _is_struct(type)
        if not isinstance(type, _Type) or not known:
            raise InvalidDefinition(
                f"{where} is a msgspec Struct, a dataclass or a pydantic model, not {type!r}"
            )
        try:
            self.schema: Final = self._schema()
        except Exception as error:
            raise InvalidDefinition(f"{where}: it has no JSON Schema: {error}") from error

    def _schema(self) -> dict[str, Value]:
        if self._pydantic:
            return cast("dict[str, Value]", self.type.model_json_schema())
        return schema_of(self.type)

    def read(self, text: str) -> tuple[Value, str]:
        """Return the plain form of an answer, or why it is none."""
        fenced = _FENCED.fullmatch(text)
        json = text if fenced is None else fenced[1]
        try:
            if self._pydantic:
                return to_plain(self.type.model_validate_json(json).model_dump(mode="json")), ""
            return to_plain(msgspec.json.decode(json.encode(), type=self.type)), ""
        except Exception as error:  # noqa: BLE001  # a type may check itself, and raise anything
            return None, str(error)[:_LONGEST_REASON] or type(error).__name__

    def checked(self, answer: CompleteModelCall, repairs: int) -> CompleteModelCall:
        """Return a final answer with its value, or with what is wrong with it."""
        if answer.tool_calls:
            return answer
        data, problem = self.read(answer.text)
        if not problem:
            try:
                check_size(answer.text, answer.reasoning, data)
            except EventTooLarge as error:
                data, problem = None, str(error)
        if not problem:
            return replace(answer, data=data)
        failure = Failure(kind="invalid_output", message=problem)
        return replace(answer, problem=failure, repairs=repairs, repair=repair_message(failure))


_Type = type


def _is_struct(type: object) -> bool:
    return isinstance(type, _Type) and issubclass(type, msgspec.Struct)


def repair_message(problem: Failure) -> str:
    """Return what the model is told of an answer that does not fit."""
    return (
        f"This answer does not fit its schema: {problem.message}\n"
        "Answer again: with JSON that fits the schema, and nothing else."
    )
