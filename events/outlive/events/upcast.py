"""Reading what an older edition of the catalogue wrote.

A new field with a default needs nothing of this: msgspec fills it in. An upcaster is for what a
default cannot say: a field that became two, a unit that changed, an event that got another name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, cast

import msgspec

from outlive.events.errors import InvalidDefinition
from outlive.events.values import Value

Plain: TypeAlias = dict[str, Value]
"""An event as it is stored: its fields, and its tag as `type`. Defaults are not stored."""


class Upcaster(msgspec.Struct, frozen=True):
    """Turns an event of edition `edition` into the same fact as edition `edition + 1` says it.

    One event becomes one event, as versions must not shift. `change` is pure: it is given a
    dict of its own and returns the new one, `type` included, which may be another one. It is
    called at each reading of a record of `edition` or before, and never for later ones.
    """

    type: str
    edition: int
    change: Callable[[Plain], Plain]


class Upcasters:
    """The upcasters of a catalogue whose edition is `schema`.

    Raises:
        InvalidDefinition: two of them are for the same, or one is for no earlier edition.
    """

    def __init__(self, upcasters: Iterable[Upcaster], schema: int) -> None:
        self._schema = schema
        self._by_place: dict[tuple[str, int], Callable[[Plain], Plain]] = {}
        for one in upcasters:
            if not 1 <= one.edition < schema:
                raise InvalidDefinition(
                    f"an upcaster of {one.type!r} is for edition {one.edition}, "
                    f"the catalogue's is {schema}"
                )
            if (one.type, one.edition) in self._by_place:
                raise InvalidDefinition(
                    f"two upcasters of {one.type!r} are for edition {one.edition}"
                )
            self._by_place[one.type, one.edition] = one.change
        self._last = max((edition for _, edition in self._by_place), default=0)

    def apply_to(self, schema: int) -> bool:
        """Whether a record of that edition may have to be changed."""
        return schema <= self._last

    def raised(self, events: Sequence[object], schema: int) -> list[object]:
        """Return plain events of edition `schema` as today's edition says them."""
        return [self._raise(event, schema) for event in events]

    def _raise(self, event: object, schema: int) -> object:
        for edition in range(schema, self._schema):
            tag = tag_of(event)
            change = None if tag is None else self._by_place.get((tag, edition))
            if change is not None:
                event = change(cast("Plain", event))
                if tag_of(event) is None:
                    raise TypeError(
                        f"the upcaster of {tag!r}, edition {edition}, returned {event!r}: "
                        f"one event is a dict with its 'type'"
                    )
        return event


def tag_of(event: object) -> str | None:
    """Return the tag of a plain event; None if it is none."""
    match event:
        case {"type": str(tag)}:
            return tag
        case _:
            return None
