"""Where the committed rows of a view are: a port, and the store in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from outlive.events import Fenced, MemoryLog, OutliveError, Position

Changes: TypeAlias = Sequence[tuple[bytes, bytes | None]]


class Damaged(OutliveError):
    """A view's files are not what was written. It is built anew from the log."""


class Unusable(OutliveError):
    """A view's files cannot be used now: no right to, no space. Tried again later."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """How far a view has got, so that it can be told whether it belongs to this log.

    `hash` is that of the record at `position`, `before` a position that precedes it.
    """

    position: Position = Position(0)
    before: Position = Position(0)
    hash: bytes = b""


class Store(Protocol):
    """The committed rows of one view. Not for use by several threads, but `get` and `page`."""

    @property
    def checkpoint(self) -> Checkpoint:
        """How far it has got."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """Return a row. Raises Damaged."""
        ...

    def page(
        self, start: bytes, end: bytes | None, *, reverse: bool, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Return rows in the order of their keys. See `Base`. Raises Damaged."""
        ...

    def commit(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Put and take out rows, and move the checkpoint: all of it or nothing.

        Raises:
            Damaged: the store is not what was written, or somebody took it away.
            Unusable: it cannot be written now. Close it.
        """
        ...

    def close(self, *, clean: bool = True) -> None:
        """Let go of it. Twice is once. `clean`: as far as is known it is what was written."""
        ...


class MemoryStore:
    """Rows in memory, gone with whoever holds them."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._keys: list[bytes] | None = None
        self._checkpoint = Checkpoint()

    @property
    def checkpoint(self) -> Checkpoint:
        """How far it has got."""
        return self._checkpoint

    def get(self, key: bytes) -> bytes | None:
        """Return a row."""
        return self._rows.get(key)

    def page(
        self, start: bytes, end: bytes | None, *, reverse: bool, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Return rows in the order of their keys."""
        if self._keys is None:
            self._keys = sorted(self._rows)
        first = bisect_left(self._keys, start)
        last = len(self._keys) if end is None else bisect_left(self._keys, end)
        if reverse:
            chosen = self._keys[max(first, last - limit) : last][::-1]
        else:
            chosen = self._keys[first : min(last, first + limit)]
        return [(key, self._rows[key]) for key in chosen]

    def commit(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Put and take out rows, and move the checkpoint."""
        self._keys = None
        for key, row in changes:
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row
        self._checkpoint = checkpoint

    def close(self, *, clean: bool = True) -> None:
        """Nothing to let go of."""


class StoreBesideLog:
    """Rows that a log in memory holds: they are there for its next owner, as a folder's are.

    Another name or version is another view. Whoever is not the log's owner any more gets Fenced,
    whatever he does.
    """

    def __init__(self, log: MemoryLog, name: str, version: int, *, fresh: bool) -> None:
        self._log = log
        self._check_owner()
        views, key = log.store.views, f"{name} {version}"
        kept = views.get(key)
        if fresh or not isinstance(kept, MemoryStore):
            kept = views[key] = MemoryStore()
        self._kept = kept

    @property
    def checkpoint(self) -> Checkpoint:
        """How far it has got."""
        return self._kept.checkpoint

    def get(self, key: bytes) -> bytes | None:
        """Return a row. Raises Fenced."""
        self._check_owner()
        return self._kept.get(key)

    def page(
        self, start: bytes, end: bytes | None, *, reverse: bool, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Return rows in the order of their keys. Raises Fenced."""
        self._check_owner()
        return self._kept.page(start, end, reverse=reverse, limit=limit)

    def commit(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Put and take out rows, and move the checkpoint. Raises Fenced."""
        self._check_owner()
        self._kept.commit(changes, checkpoint)

    def close(self, *, clean: bool = True) -> None:
        """Nothing to let go of."""

    def _check_owner(self) -> None:
        if self._log.epoch != self._log.store.epoch:
            raise Fenced(self._log.epoch, self._log.store.epoch)
