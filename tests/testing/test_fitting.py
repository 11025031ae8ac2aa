"""Answers that come to mind when nothing is known but the schema."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from outlive.actors.run.answer_schema import problem_with
from outlive.testing._fitting import fitting


class Address(msgspec.Struct):
    street: Annotated[str, Meta(min_length=3)]
    number: int
    more: str = ""


@dataclass
class Choice:
    among: list[Address]
    sure: bool
    note: str | None


class Tree(msgspec.Struct):
    name: str
    left: Tree | None
    right: Tree | None = None


KINDS: list[Any] = [
    bool,
    int,
    float,
    str,
    None,
    Literal["x", "y"],
    int | None,
    date,
    Annotated[datetime, Meta(tz=True)],
    timedelta,
    UUID,
    Decimal,
    list[int],
    tuple[int, str, bool],
    dict[str, int],
    Address,
    Choice,
    Tree,
    Annotated[int, Meta(ge=3)],
    Annotated[float, Meta(gt=0.5)],
    Annotated[int, Meta(gt=3)],
    Annotated[int, Meta(lt=-3)],
    Annotated[int, Meta(le=-3)],
    Annotated[int, Meta(gt=3, multiple_of=5)],
    Annotated[int, Meta(lt=-3, multiple_of=5)],
    Annotated[list[Address], Meta(min_length=2)],
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_answer_comes_to_mind_that_fits(kind: Any) -> None:
    schema = msgspec.json.schema(kind)
    value = fitting(schema)
    assert problem_with(value, schema) == ""
    msgspec.convert(value, kind)


def test_anything_is_an_answer_where_anything_fits() -> None:
    assert fitting(None) is None


def test_what_cannot_be_guessed_is_said() -> None:
    with pytest.raises(ValueError, match="no answer comes to mind"):
        fitting(msgspec.json.schema(Annotated[str, Meta(pattern="^[a-z]{3}$")]))
