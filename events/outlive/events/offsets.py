"""How far named readers of a log have come, and what every store of that does alike."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from outlive.events.errors import InvalidId, InvalidOffset, NameTaken, OffsetMovedOn
from outlive.events.ids import StreamId

_MAX_NAME_CHARACTERS: Final = 200


class SavedOffset(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a named subscription has saved.

    `offset` is a version of `stream`, or a position of the log if there is no stream.
    """

    name: str
    offset: int
    stream: StreamId | None = None
    log_id: str


class OffsetStore(Protocol):
    """Keeps saved offsets by name. What `put` and `delete` have done is durable."""

    def get(self, name: str) -> SavedOffset | None:
        """Return what was saved under a name."""
        ...

    def put(self, saved: SavedOffset, *, backwards: bool) -> None:
        """Save. Raises what `check_successor` raises, and writes nothing then."""
        ...

    def delete(self, name: str) -> bool:
        """Forget a name; return whether it was known."""
        ...

    def all(self) -> list[SavedOffset]:
        """Return all that was saved, by name."""
        ...


def check_name(name: object) -> str:
    """Return the name of a subscription. Raises InvalidId."""
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME_CHARACTERS:
        raise InvalidId(f"a subscription's name is text of 1 to 200 characters, not {name!r}")
    if not name.isprintable() or name != name.strip():
        raise InvalidId(f"{name!r} names no subscription: printable characters, no outer spaces")
    return name


def check_same(saved: SavedOffset, log_id: str, stream: StreamId | None) -> None:
    """Return if what was saved is of this log and of this stream.

    Raises:
        InvalidOffset: of another log.
        NameTaken: of another stream.
    """
    if saved.log_id != log_id:
        raise InvalidOffset(
            saved.offset, 0, f"{saved.name!r} was saved for another log ({saved.log_id})"
        )
    if saved.stream != stream:
        raise NameTaken(saved.name, saved.stream)


def check_successor(before: SavedOffset | None, after: SavedOffset, *, backwards: bool) -> None:
    """Return if `after` may take the place of `before`.

    Raises:
        OffsetMovedOn: it would go back, and is not meant to.
        InvalidOffset, NameTaken: see `check_same`.
    """
    if before is None:
        return
    check_same(before, after.log_id, after.stream)
    if after.offset < before.offset and not backwards:
        raise OffsetMovedOn(after.name, after.offset, before.offset)


class MemoryOffsets:
    """An `OffsetStore` that is gone with its process."""

    def __init__(self) -> None:
        self._saved: dict[str, SavedOffset] = {}

    def get(self, name: str) -> SavedOffset | None:
        """Return what was saved under a name."""
        return self._saved.get(name)

    def put(self, saved: SavedOffset, *, backwards: bool) -> None:
        """Save. See `OffsetStore.put`."""
        check_successor(self._saved.get(saved.name), saved, backwards=backwards)
        self._saved[saved.name] = saved

    def delete(self, name: str) -> bool:
        """Forget a name; return whether it was known."""
        return self._saved.pop(name, None) is not None

    def all(self) -> list[SavedOffset]:
        """Return all that was saved, by name."""
        return [saved for _, saved in sorted(self._saved.items())]
