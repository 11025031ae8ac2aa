"""Rows of a view: what is committed, and above it what is not yet.

A view that was committed at `c` and folded up to `p` has above its committed rows all that the
records from `c` to `p` have changed. That is right over any commit from `c` to `p`: a row that
one of these records has changed is looked up above, and all others are alike in those commits.
So a commit may land while rows are read, in this process or in the owner's, and what it has
written need not leave the upper layer at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from typing import Any, Final, Protocol, TypeVar

import msgspec

T = TypeVar("T")

MAX_KEY_BYTES: Final = 500
_PAGE: Final = 128
_KEPT: Final = 2_048  # clean rows above, so that a row in use is not decoded each time
_GONE: Final = object()

_encode: Final = msgspec.msgpack.Encoder().encode


_decoders: Final[dict[Any, msgspec.msgpack.Decoder[Any]]] = {}


def _decoder(type: type[T]) -> msgspec.msgpack.Decoder[T]:
    found = _decoders.get(type)
    if found is None:
        found = _decoders[type] = msgspec.msgpack.Decoder(type)
    return found


class Base(Protocol):
    """Committed rows, encoded."""

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        ...

    def page(
        self, start: bytes, end: bytes | None, *, reverse: bool, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` rows with `start <= key < end`, in the order of their keys.

        With `reverse` in the opposite order, so that the last ones come.
        """
        ...


class ViewRows:
    """What a query reads: rows by key, and in the order of their keys."""

    def __init__(self, base: Base, known: dict[bytes, object]) -> None:
        self._base = base
        self._known = known

    def get(self, key: bytes, type: type[T]) -> T | None:
        """Return the row at `key`, as what `put` was given: a `type`. None if there is none.

        It is the view's own: a query must not change it.
        """
        found: Any = self._known.get(key)
        if found is None:
            data = self._base.get(key)
            return None if data is None else _decoder(type).decode(data)
        return None if found is _GONE else found

    def scan(
        self,
        type: type[T],
        *,
        start: bytes = b"",
        end: bytes | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, T]]:
        """Yield the rows with `start <= key < end`, in the order of their keys, or reversed."""
        decode = _decoder(type).decode
        above: list[tuple[bytes, Any]] = sorted(
            (
                item
                for item in self._known.items()
                if start <= item[0] and (end is None or item[0] < end)
            ),
            key=itemgetter(0),
            reverse=reverse,
        )
        below = self._below(start, end, reverse)
        last: bytes | None = None
        for key, value in merge(above, below, key=itemgetter(0), reverse=reverse):
            if key == last:
                continue  # What is above comes first, and holds.
            last = key
            if value.__class__ is _Encoded:
                yield key, decode(value.data)
            elif value is not _GONE:
                yield key, value

    def _below(
        self, start: bytes, end: bytes | None, reverse: bool
    ) -> Iterator[tuple[bytes, _Encoded]]:
        while True:
            page = self._base.page(start, end, reverse=reverse, limit=_PAGE)
            for key, data in page:
                yield key, _Encoded(data)
            if len(page) < _PAGE:
                return
            if reverse:
                end = page[-1][0]
            else:
                start = page[-1][0] + b"\0"


class _Encoded:
    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Rows(ViewRows):
    """What a projection reads and writes: `get`, `scan`, `edit`, `put`, `delete`.

    A key has 1 to 500 bytes, a value is whatever msgspec encodes as msgpack: a Struct, text,
    numbers, lists, dicts. A row that `edit` returned is changed in place, as is one that `get`
    returned and that is put again.
    """

    def __init__(self, base: Base) -> None:
        super().__init__(base, {})
        self.dirty: Final[dict[bytes, None]] = {}  # what is to be committed
        self.reading: Final = ViewRows(base, self._known)

    @property
    def above(self) -> int:
        """How many rows are held above what is committed, be they changed or not."""
        return len(self._known)

    def get(self, key: bytes, type: type[T]) -> T | None:
        """Return the row at `key`; None if there is none."""
        found: Any = self._known.get(key)
        if found is None:
            found = super().get(key, type)
            if found is not None:
                self._known[key] = found
        elif found is _GONE:
            return None
        row: T | None = found
        return row

    def edit(self, key: bytes, type: type[T]) -> T | None:
        """Return the row at `key` to be changed in place: it need not be put again."""
        row: Any = self._known.get(key)  # The hot path of every projection.
        if row is None or row is _GONE:
            row = self.get(key, type)
            if row is None:
                return None
        self.dirty[key] = None
        found: T = row
        return found

    def put(self, key: bytes, value: object) -> None:
        """Put a row, in the place of one that is there."""
        if value is None or not 0 < len(key) <= MAX_KEY_BYTES:
            raise ValueError(f"a row has a key of 1 to {MAX_KEY_BYTES} bytes and a value")
        self._known[key] = value
        self.dirty[key] = None

    def delete(self, key: bytes) -> None:
        """Take a row out, if there is one."""
        self._known[key] = _GONE
        self.dirty[key] = None

    def take(self) -> list[tuple[bytes, bytes | None]]:
        """Return what is to be committed, encoded, by key; None takes a row out."""
        known = self._known
        changes = [
            (key, None if known[key] is _GONE else _encode(known[key])) for key in self.dirty
        ]
        self.dirty.clear()
        changes.sort(key=itemgetter(0))
        return changes

    def put_back(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        """What was taken could not be committed: it is taken again with what comes."""
        self.dirty.update(dict.fromkeys(key for key, _ in changes))

    def settled(self) -> None:
        """What was taken is committed: let go of it, unless there is little."""
        if len(self._known) > _KEPT:
            for key in [key for key in self._known if key not in self.dirty]:
                del self._known[key]
