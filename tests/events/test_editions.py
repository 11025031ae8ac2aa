"""Which upcaster is called for what: each for its own edition, and none for what came later."""

from __future__ import annotations

import msgspec
import pytest

from outlive.events import Codec, CorruptLog, Event, InvalidDefinition, NewerFormat, Upcaster
from outlive.events.upcast import Plain, Upcasters, tag_of


class Counted(Event, tag="counted", frozen=True, kw_only=True):
    steps: tuple[int, ...] = ()


def adds(step: int) -> Upcaster:
    """One that writes down for which edition it was called."""

    def change(event: Plain) -> Plain:
        steps = event.get("steps", [])
        assert isinstance(steps, list)
        return {**event, "steps": [*steps, step]}

    return Upcaster("counted", step, change)


CODEC = Codec([Counted], schema=4, upcasters=[adds(3), adds(1), adds(2)])
PAYLOAD = msgspec.msgpack.encode([{"type": "counted"}])


@pytest.mark.parametrize(
    ("schema", "steps"), [(1, [1, 2, 3]), (2, [2, 3]), (3, [3]), (4, [])], ids=str
)
def test_what_an_edition_wrote_goes_through_the_changes_since(
    schema: int, steps: list[int]
) -> None:
    assert CODEC.decode(PAYLOAD, schema=schema, where="here") == (Counted(steps=tuple(steps)),)


def test_an_edition_that_nothing_changed_since_is_read_as_it_is() -> None:
    upcasters = Upcasters([adds(1)], 4)
    assert [upcasters.apply_to(schema) for schema in (1, 2, 3, 4)] == [True, False, False, False]
    assert not Upcasters([], 4).apply_to(1)


def test_what_has_no_tag_is_handed_on_as_it_is() -> None:
    strange: list[object] = [None, 5, [], {}, {"type": 5}, {"kind": "counted"}]
    assert [tag_of(one) for one in strange] == [None] * 6
    assert tag_of({"type": "counted", "steps": []}) == "counted"
    assert Upcasters([adds(1)], 2).raised(strange, 1) == strange


def test_what_cannot_be_read_is_told_with_its_place_and_the_reason() -> None:
    for payload, why in [(b"\xc1", "malformed"), (b"\x05", "Expected `array`"), (b"", "truncated")]:
        for schema in (1, 4):
            with pytest.raises(CorruptLog, match=f"^here is damaged: .*{why}") as damaged:
                CODEC.decode(payload, schema=schema, where="here")
            assert damaged.value.where == "here"


def test_what_a_later_edition_wrote_is_told_with_both() -> None:
    with pytest.raises(NewerFormat, match=r"^here has format 5") as newer:
        CODEC.decode(PAYLOAD, schema=5, where="here")
    assert (newer.value.what, newer.value.found, newer.value.known) == ("here", 5, 4)


@pytest.mark.parametrize(
    ("upcasters", "why"),
    [
        ([adds(0)], "^an upcaster of 'counted' is for edition 0, the catalogue's is 3$"),
        ([adds(3)], "^an upcaster of 'counted' is for edition 3, the catalogue's is 3$"),
        ([adds(1), adds(2), adds(1)], "^two upcasters of 'counted' are for edition 1$"),
    ],
    ids=["none", "todays", "twice"],
)
def test_upcasters_that_cannot_hold_are_refused_with_the_reason(
    upcasters: list[Upcaster], why: str
) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        Upcasters(upcasters, 3)
