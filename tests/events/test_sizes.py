"""How much of what comes from outside goes into one event."""

from __future__ import annotations

import msgspec
import pytest

from outlive.events import EventTooLarge, sizes
from outlive.events.sizes import MAX_PAYLOAD_BYTES, MAX_VALUE_BYTES, Size, check_size

LIMIT = 100


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MAX_VALUE_BYTES", LIMIT)


def text_of(size_bytes: int) -> str:
    """A text that takes so many bytes when it is stored."""
    text = "x" * (size_bytes - 2 if size_bytes > 33 else size_bytes - 1)
    assert len(msgspec.msgpack.encode(text)) == size_bytes
    return text


def test_a_value_leaves_room_for_the_rest_of_its_commit() -> None:
    assert MAX_VALUE_BYTES == MAX_PAYLOAD_BYTES - 1024 * 1024


def test_values_that_fit_together_are_let_through_to_the_last_byte() -> None:
    check_size(text_of(LIMIT))
    check_size(text_of(60), text_of(40))
    Size().add(text_of(LIMIT - 10), room=10)


def test_values_that_do_not_fit_together_are_refused_with_their_size() -> None:
    with pytest.raises(EventTooLarge) as refused:
        check_size(text_of(60), text_of(41))
    assert (refused.value.size_bytes, refused.value.limit_bytes) == (LIMIT + 1, LIMIT)


def test_what_adds_up_is_let_through_to_the_last_byte_and_refused_from_there() -> None:
    size = Size()
    size.add(text_of(50), room=10)
    size.add(text_of(20))
    size.add_text("x" * 10)
    size.add_text("ü" * 5)
    with pytest.raises(EventTooLarge) as refused:
        size.add_text("x")
    assert (refused.value.size_bytes, refused.value.limit_bytes) == (LIMIT + 1, LIMIT)


def test_the_room_around_a_value_counts() -> None:
    with pytest.raises(EventTooLarge) as refused:
        Size().add(text_of(50), room=51)
    assert refused.value.size_bytes == LIMIT + 1
