"""Does an answer fit what was asked for? Only the schema is at hand, not the type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import pytest

from outlive.actors.json_schema import schema_of
from outlive.actors.run.answer_schema import problem_with


class Address(msgspec.Struct):
    street: str
    number: int = 1


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    street: str


class Tree(msgspec.Struct):
    name: str
    left: Tree | None = None
    middle: Tree | None = None
    right: Tree | None = None


class Pay(msgspec.Struct, tag=True):
    amount: int


class Refuse(msgspec.Struct, tag=True):
    reason: str


@dataclass
class Person:
    name: str
    homes: list[Address]
    age: int | None = None


class Meeting(msgspec.Struct):
    at: datetime
    then: Meeting | None = None


class Row(msgspec.Struct, tag="row", array_like=True):
    number: int
    at: time


class Call(msgspec.Struct, tag="call", array_like=True):
    at: time


class Colour(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int = 0


FITS: list[tuple[Any, list[Any], list[Any]]] = [
    (bool, [True, False], [0, "true", None]),
    (int, [0, -1], [True, "1", 1.5, None]),
    (float, [1.5, 1], ["1", None]),
    (str, ["", "x"], [1, None, b"x"]),
    (bytes, [b"x", b""], ["x", 1]),
    (None, [None], [0, False]),
    (Literal["a", "b"], ["a"], ["c", 1, None]),
    (Literal[1, None], [1, None], [2, "1"]),
    (Colour, ["red"], ["RED"]),
    (date, ["2030-01-31"], ["2030-02-31", "soon"]),
    (datetime, ["2030-01-31T10:00:00", "2030-01-31T10:00:00Z"], ["soon", "2030-01-31", "10:00", 7]),
    (time, ["10:00:00"], ["ten", "2030-01-31"]),
    (Annotated[time, msgspec.Meta(tz=False)], ["10:00:00"], ["ten"]),
    (datetime | None, [None, "2030-01-31T10:00:00Z"], ["soon"]),
    (datetime | list[time], ["2030-01-31T10:00:00Z", ["10:00:00"]], ["soon", ["10"]]),
    (dict[str, datetime], [{}, {"a": "2030-01-31T10:00:00Z"}], [{"a": "soon"}]),
    (tuple[str, datetime], [["soon", "2030-01-31T10:00:00Z"]], [["soon", "soon"]]),
    (
        Meeting,
        [{"at": "2030-01-31T10:00:00Z", "then": {"at": "2030-01-31T11:00:00Z"}}],
        [{"at": "soon"}, {"at": "2030-01-31T10:00:00Z", "then": {"at": "soon"}}],
    ),
    (Call | Row, [["row", 1, "10:00:00"], ["call", "10:00:00"]], [["row", 1, "x"], ["call", "x"]]),
    (UUID, ["c4524ac0-e81e-4aa8-a595-0aec605a659a"], ["c4524ac0"]),
    (Decimal, ["1.50"], ["one"]),
    (Annotated[int, msgspec.Meta(ge=1, le=5)], [1, 5], [0, 6]),
    (Annotated[str, msgspec.Meta(pattern="^[a-z]+$")], ["abc"], ["ABC"]),
    (int | None, [1, None], ["1"]),
    (int | str, [1, "1"], [1.5, None]),
    (list[int], [[], [1, 2]], [[1, "2"], 1, {"0": 1}]),
    (Annotated[list[int], msgspec.Meta(min_length=1)], [[1]], [[]]),
    (set[str], [["a"]], [[1]]),
    (tuple[int, str], [[1, "a"]], [[1], [1, "a", 2], ["a", 1]]),
    (Point, [[1], [1, 2]], [[], ["1"], [1, 2, 3]]),
    (dict[str, int], [{}, {"a": 1}], [{"a": "1"}, [1]]),
    (Address, [{"street": "s"}, {"street": "s", "number": 2, "more": 1}], [{}, {"street": 1}]),
    (Strict, [{"street": "s"}], [{"street": "s", "more": 1}]),
    (
        Person,
        [{"name": "n", "homes": [{"street": "s"}], "age": None}],
        [{"name": "n"}, {"name": "n", "homes": [{}]}, {"name": "n", "homes": [], "age": "1"}],
    ),
    (
        Pay | Refuse,
        [{"type": "Pay", "amount": 1}, {"type": "Refuse", "reason": "r"}],
        [{"type": "Pay", "reason": "r"}, {"type": "Other"}, {"amount": 1}, 1],
    ),
    (
        Tree,
        [{"name": "n", "left": {"name": "m", "right": {"name": "o"}}}],
        [{"name": "n", "left": {"name": "m", "right": {"name": 1}}}],
    ),
    (list[Any], [[1, "a", None]], [1]),
]


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, right, _ in FITS for value in right]
)
def test_an_answer_that_fits(kind: Any, value: Any) -> None:
    assert problem_with(value, schema_of(kind)) == ""


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, _, wrong in FITS for value in wrong]
)
def test_an_answer_that_does_not_fit(kind: Any, value: Any) -> None:
    assert problem_with(value, schema_of(kind)) != ""


def test_the_problem_says_where_it_is() -> None:
    wrong: Any = {"name": "n", "homes": [{"street": "s"}, {"street": 2}]}
    assert problem_with(wrong, schema_of(Person)) == (
        "Expected `str`, got `int` - at `$.homes[1].street`"
    )


def test_without_a_schema_anything_fits() -> None:
    assert problem_with({"any": ["thing"]}, None) == ""


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (int, "1", "Expected `int`, got `str`"),
        (int | str, 1.5, "Expected `int`, got `float`; or Expected `str`, got `float`"),
        (tuple[int, str], [1, "a", 2], "Expected `array` of length <= 2"),
        (dict[str, int], {"a": "1"}, "Expected `int`, got `str` - at `$.a`"),
        (Address, {}, "missing field `street` - at `$`"),
        (Strict, {"street": "s", "more": 1}, "unknown field `more` - at `$`"),
        (list[Address], [{"street": "s"}, {}], "missing field `street` - at `$[1]`"),
        (
            Tree,
            {"name": "n", "left": {"name": 1}},
            "Expected `str`, got `int` - at `$.left.name`; "
            "or Expected `null`, got `object` - at `$.left`",
        ),
    ],
    ids=str,
)
def test_the_problem_says_what_is_wrong_and_where(kind: Any, value: Any, problem: str) -> None:
    assert problem_with(value, schema_of(kind)) == problem


def test_items_that_a_schema_leaves_no_room_for_do_not_fit() -> None:
    pair: Any = {"type": "array", "prefixItems": [{"type": "integer"}] * 2, "items": False}
    assert problem_with([1, 2], pair) == ""
    assert problem_with([1, 2, 3], pair) == "expected 2 items - at `$`"


def test_what_a_schema_refers_to_and_does_not_have_may_be_anything() -> None:
    assert problem_with([1, "x"], {"type": "array", "items": {"$ref": "#/$defs/Gone"}}) == ""


def test_what_a_schema_says_beyond_that_is_left_to_the_tools_own_check() -> None:
    assert problem_with(5, {"type": "odd"}) == ""
    assert problem_with(0, {"minimum": 1}) == "", "of which type?"
    assert problem_with({}, {"required": ["a"]}) == ""
    assert problem_with("a", {"const": "a"}) == ""
    assert problem_with("b", {"const": "a"}) != ""
