"""What a read model is: a name, a version, and a fold."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from outlive.events import Event, InvalidDefinition, Record
from outlive.projections.views.rows import Rows

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Projection(Protocol):
    """Folds the records of a log into rows, which queries read.

    Each record is applied once: its rows and the position that was reached are committed
    together. What `apply` reads is in the record and in its rows, and it keeps nothing else:
    no clock, no file, no attribute of its own. Then its rows can be made anew from the log
    whenever they are lost, and are the same again.
    """

    @property
    def name(self) -> str:
        """The view's name and its folder's: small letters, digits and hyphens, 63 at most."""
        ...

    @property
    def version(self) -> int:
        """A number that is another one when `apply` is: then the view is built anew."""
        ...

    @property
    def events(self) -> Collection[type[Event]]:
        """The event types that it wants. A record without any of them is passed over."""
        ...

    def apply(self, records: Sequence[Record], rows: Rows) -> None:
        """Put what records change into the rows.

        They come in the order of the log, one or some hundreds at a time: whatever was at hand.
        The rows must be the same however the records are divided up.

        Runs on the event loop, so it should take microseconds a record. If it raises, its view
        stands still, with the rows as they were at the last commit, and the others go on.
        """
        ...


def check_projections(projections: Collection[Projection]) -> dict[str, Projection]:
    """Return projections by their names. Raises InvalidDefinition."""
    found: dict[str, Projection] = {}
    for projection in projections:
        name = getattr(projection, "name", None)
        if not isinstance(name, str) or not callable(getattr(projection, "apply", None)):
            raise InvalidDefinition(f"a projection has a name and apply, not {projection!r}")
        if not _NAME.fullmatch(name):
            raise InvalidDefinition(
                f"a view is named in small letters, digits and hyphens, not {name!r}"
            )
        if name in found:
            raise InvalidDefinition(f"two projections have the name {name!r}")
        found[name] = projection
    return found
