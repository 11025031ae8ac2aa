"""What a user's value is stored as, what comes back, and what has no plain form."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from outlive.events import UnserialisableValue, from_plain, to_plain
from outlive.events.values import canonical, digest


class Point(msgspec.Struct):
    x: int
    y: int


@dataclass
class Named:
    name: str
    photo: bytes


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        ("text", "text"),
        ("überall", "überall"),
        (b"\0\xff", b"\0\xff"),
        ((1, 2.5, True), [1, 2.5, True]),
        ({"a"}, ["a"]),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Named("a", b"\xff"), {"name": "a", "photo": b"\xff"}),
        ({1: "one", "two": 2}, {"1": "one", "two": 2}),
        (dt.date(2026, 1, 2), "2026-01-02"),
        ((1 << 64) - 1, (1 << 64) - 1),
        (-(1 << 63), -(1 << 63)),
    ],
)
def test_a_value_is_stored_in_its_plain_form(value: object, plain: object) -> None:
    found = to_plain(value)
    assert found == plain
    assert type(found) is type(plain)


def test_a_plain_form_shares_nothing_with_the_callers_value() -> None:
    inner = [1]
    plain = to_plain({"inner": inner})
    inner.append(2)
    assert plain == {"inner": [1]}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "^object: "),
        ([object()], "^list: .*object"),
        (1 << 64, "^int: "),
        ("\ud800", "^str: .*surrogates"),
        ({"a": "\ud800"}, "^dict: .*surrogates"),
        (nested(100_000), "^the value contains itself or is nested too deeply$"),
    ],
    ids=["object", "within", "integer", "surrogate", "surrogate within", "deep"],
)
def test_what_has_no_plain_form_is_refused_with_the_reason(value: object, why: str) -> None:
    with pytest.raises(UnserialisableValue, match=why):
        to_plain(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(UnserialisableValue, match="contains itself"):
        to_plain(value)


@pytest.mark.parametrize(
    ("value", "type"),
    [
        (Point(1, 2), Point),
        (Named("a", b"\xff"), Named),
        ({1: "one"}, dict[int, str]),
        ({1, 2}, set[int]),
        (dt.date(2026, 1, 2), dt.date),
        (b"\0\xff", bytes),
    ],
)
def test_a_value_comes_back_with_the_type_that_it_had(value: object, type: Any) -> None:
    assert from_plain(to_plain(value), type) == value


@pytest.mark.parametrize(
    ("plain", "type", "why"),
    [
        ({"x": 1}, Point, "y"),
        ({"x": 1, "y": "2"}, Point, r"\$\.y"),
        ("1", int, "int"),
        ("YQ==", bytes, "bytes"),
        (1, type, "type"),
    ],
)
def test_a_plain_form_that_does_not_fit_is_refused_and_never_coerced(
    plain: Any, type: Any, why: str
) -> None:
    with pytest.raises(UnserialisableValue, match=why):
        from_plain(plain, type)


def test_the_canonical_bytes_of_a_value_do_not_depend_on_the_order_of_its_keys() -> None:
    one = canonical({"b": {"y": 1, "x": 2}, "a": [3, 1]})
    two = canonical({"a": [3, 1], "b": {"x": 2, "y": 1}})
    assert one == two == b'{"a":[3,1],"b":{"x":2,"y":1}}'


def test_a_digest_is_the_same_for_ever() -> None:
    # It is stored: the request of each run is told by it from another one under its id.
    assert digest(b"a", b"bc") == "f657d58ed59382298356d21c95353a31"
    assert digest(b"a", size_bytes=8) == "fb4fc649fd18c02e"


@pytest.mark.parametrize(
    "parts", [(b"ab", b"c"), (b"a", b"bc", b""), (b"bc", b"a"), (b"abc",)], ids=str
)
def test_parts_are_told_apart_even_if_they_join_to_the_same_bytes(parts: Any) -> None:
    assert digest(*parts) != digest(b"a", b"bc")
    assert digest(*parts) == digest(*parts)


def test_the_size_of_a_digest_is_that_of_its_bytes() -> None:
    sizes: list[Callable[[], str]] = [digest, lambda: digest(size_bytes=8)]
    assert [len(make()) for make in sizes] == [32, 16]
