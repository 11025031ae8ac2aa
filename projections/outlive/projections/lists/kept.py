"""How a view keeps lists: rows that lead to the rows of what it holds.

    its stream                                          its row: a `ListedRow`
    l, what is asked for (16), begun at (8), position (8)   its id

What is asked for, fields and their values, is a digest, so that keys have a fixed length
whatever ids are made of. `begun at` is in nanoseconds, and with the position of its first record
it is unique.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Final, Generic, TypeVar

import msgspec

from outlive.events import Event, Record, StreamId
from outlive.events.ids import id_of
from outlive.projections.views.rows import Rows

WHEN_BYTES: Final = 16
_WHEN: Final = Struct(">QQ")
_DIGEST_BYTES: Final = 16
_LAST_NS: Final = (1 << 63) - 1

_encode: Final = msgspec.msgpack.Encoder().encode


class ListedRow(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """What a view keeps of something that begins, goes on and ends. Changed in place."""

    begun_at_ns: int
    first_position: int
    status: str
    updated_at_ns: int = 0
    ended_at_ns: int | None = None
    error_kind: str = ""
    error_message: str = ""
    version: int = 0
    position: int = 0

    @property
    def when(self) -> bytes:
        """Its place in a list."""
        return when_key(self.begun_at_ns, self.first_position)


def when_key(begun_at_ns: int, first_position: int) -> bytes:
    """Return the end of a key of a list: what it is ordered by."""
    return _WHEN.pack(min(max(begun_at_ns, 0), _LAST_NS), first_position)


RowT = TypeVar("RowT", bound=ListedRow)


class Lists(Generic[RowT]):
    """What a view keeps of the entities of a kind: a row each, and lists of them.

    Args:
        kind: of the entities.
        row: the type of their rows.
        over: the statuses of those that have come to their end.
        kept: the fields by which each list is asked for. Those with `status` among them hold
            what is over; what is open stands in the log's open table. The first one whose fields
            are all asked for is read, so the most telling one comes first, and the list of all,
            without any field, last. A row in which one of the fields is empty is not in the list.
    """

    def __init__(
        self, kind: str, row: type[RowT], *kept: tuple[str, ...], over: Collection[str]
    ) -> None:
        assert kept[-1] == (), "whatever is asked for, there is a list to look through"
        self.kind: Final = kind
        self.row: Final = row
        self._over = frozenset(over)
        self._streams = f"{kind}-"
        self._kept = kept
        self._of_all = tuple(fields for fields in kept if "status" not in fields)
        self._of_ended = tuple(fields for fields in kept if "status" in fields)

    def fold(
        self,
        records: Sequence[Record],
        rows: Rows,
        *,
        begin: Callable[[Record], RowT | None],
        change: Callable[[RowT, Sequence[Event], int], None],
    ) -> None:
        """Put what happened to entities into their rows, and the rows into the lists.

        A record of another kind, or without its beginning, is passed over.

        Args:
            records: what happened, in order.
            rows: those of the view.
            begin: makes the row of a first record; None if it is none.
            change: has events, and when they were recorded, change the row. `updated_at_ns` is
                still the time of the record before.
        """
        # Each entity has its own rows: by entity, each row is looked up once.
        by_stream: dict[StreamId, list[Record]] = {}
        for record in records:
            stream = record.stream
            if stream in by_stream:
                by_stream[stream].append(record)
            elif stream.startswith(self._streams):
                by_stream[stream] = [record]
        for stream, its in by_stream.items():
            # A new one has no row: not to look for it in the file spares half of the cost.
            row = None if its[0].first_version == 1 else rows.edit(stream.encode(), self.row)
            left = its
            while row is None and left:
                row = begin(left[0])
                if row is None:
                    left = left[1:]
                else:
                    rows.put(stream.encode(), row)
                    _put(rows, stream, row, self._of_all)
            if row is not None:
                self._go_on(row, left, rows, change)

    def _go_on(
        self,
        row: RowT,
        records: Sequence[Record],
        rows: Rows,
        change: Callable[[RowT, Sequence[Event], int], None],
    ) -> None:
        for record in records:
            at_ns = record.recorded_at_ns
            if row.ended_at_ns is None:
                change(row, record.events, at_ns)
                if row.status in self._over:
                    row.ended_at_ns = at_ns
                    _put(rows, record.stream, row, self._of_ended)
            else:
                ended = _keys(row, self._of_ended)
                change(row, record.events, at_ns)
                if row.status not in self._over:
                    row.ended_at_ns = None  # It goes on after all.
                    for key in ended:
                        rows.delete(key)
            row.updated_at_ns = at_ns
        row.version, row.position = records[-1].last_version, records[-1].position

    def choose(self, asked: Collection[str]) -> tuple[str, ...]:
        """Return the fields of the list that is best for what is asked for."""
        return next(fields for fields in self._kept if set(fields) <= set(asked))


def _put(rows: Rows, stream: StreamId, row: ListedRow, lists: tuple[tuple[str, ...], ...]) -> None:
    id = id_of(stream)
    for key in _keys(row, lists):
        rows.put(key, id)


def _keys(row: ListedRow, lists: tuple[tuple[str, ...], ...]) -> list[bytes]:
    """Return the keys under which a row stands in these lists."""
    when, keys = row.when, list[bytes]()
    for fields in lists:
        values: tuple[str, ...] = tuple([getattr(row, field) for field in fields])
        if all(values):
            keys.append(list_key(fields, values) + when)
    return keys


@lru_cache(maxsize=1_024)
def list_key(fields: tuple[str, ...], values: tuple[str, ...]) -> bytes:
    """Return what the keys of a list begin with; the place follows."""
    return b"l" + blake2b(_encode((fields, values)), digest_size=_DIGEST_BYTES).digest()
