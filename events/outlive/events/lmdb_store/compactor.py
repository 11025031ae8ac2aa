"""Compaction of a log in LMDB: ranges of records that may go become gaps (gaps.py).

It goes from the end of the log to its beginning, a part at a time, and each part is a
transaction of its own. What a part is to become is found out before that, in a snapshot, so
that the transaction is short and commits do not wait long for it. That nobody else changes
what was read is sure: only the owner writes, it changes no record, and it compacts once at a
time. The epoch is compared in each transaction, as in those of the writer.

A crash leaves the parts that were done, each a valid log. Gaps that touch are made one, so
going over the log again comes to the same end, wherever it was cut off before.

It goes backwards because a record is judged by what follows it. It has another use: whoever
reads a stream meanwhile, page by page, sees a beginning of an answer's pieces, then the whole
of it, and never pieces with a hole between them.

A record that is dropped cannot be verified any more. So its hash is checked first. A payload
that is kept apart goes with the last record that holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import lmdb

from outlive.events.compaction import Compacted, Superseded
from outlive.events.errors import (
    CorruptLog,
    Fenced,
    LogError,
    LogNotWritable,
    NewerFormat,
    UnknownEvent,
)
from outlive.events.ids import Position
from outlive.events.lmdb_store.gaps import GapRow, is_gap
from outlive.events.lmdb_store.layout import Tables, number_key
from outlive.events.lmdb_store.meta import epoch_of
from outlive.events.lmdb_store.opened import Opened
from outlive.events.lmdb_store.pieces import Changes, Rows, changes_of, pieces_of
from outlive.events.lmdb_store.rows import record_or_gap, seek
from outlive.events.lmdb_store.space import lack_of_space
from outlive.events.record import GENESIS, RawRecord, split

if TYPE_CHECKING:
    Txn: TypeAlias = lmdb.Transaction[memoryview]

_PART_RECORDS: Final = 2_000
_PART_ROWS: Final = 500
_PART_BYTES: Final = 4 << 20


class Compactor:
    """Compacts the log of an owner, once."""

    def __init__(self, opened: Opened, epoch: int, superseded: Superseded) -> None:
        self._opened = opened
        self._epoch = epoch
        self._superseded = superseded

    def run(self) -> Compacted:
        """Compact what may go. See `EventLog.compact`."""
        records = events = size_bytes = gaps = 0
        upper = int(self._opened.reading.head())
        while upper:
            upper, changes = self._part(upper)
            records += changes.records
            events += changes.events
            size_bytes += changes.bytes
            gaps += changes.gaps
        return Compacted(records=records, events=events, bytes=size_bytes, gaps=gaps)

    def _part(self, upper: int) -> tuple[int, Changes]:
        """Compact the part of the log up to a position; return where the next one ends."""
        rows, above, before = self._opened.reading.within(lambda txn: self._read(txn, upper))
        pieces = pieces_of(rows, before)
        for piece in reversed(pieces):
            if piece.raw is not None:
                piece.goes = self._may_go(piece.raw)
        changes = changes_of(pieces, pieces_of(above, pieces[-1].hash))
        if changes.put:
            changes.bytes += self._write(changes)
        return pieces[0].first - 1, changes

    def _may_go(self, raw: RawRecord) -> bool:
        where = f"record {raw.position}"
        blob = self._opened.reading.blob(raw)
        payload = raw.events_payload(blob)
        try:
            events = self._opened.codec.decode(payload, schema=raw.schema, where=where)
        except (UnknownEvent, NewerFormat):
            return False  # A later release knows what it is; it is no piece of an answer.
        if len(events) != raw.count:
            raise CorruptLog(where, f"it holds {len(events)} events, its header says {raw.count}")
        return self._superseded.may_go(
            raw.stream_number, raw.first_version, raw.recorded_at_ns, events
        )

    def _read(self, txn: Txn, upper: int) -> tuple[Rows, Rows, bytes]:
        """Return the rows up to a position, the row above if it is a gap, and the hash before."""
        tables = self._opened.tables
        rows: Rows = []
        above: Rows = []
        size_bytes = 0
        with txn.cursor(tables.log) as cursor:
            if not seek(cursor, upper):
                raise CorruptLog(f"record {upper}", "it lacks")
            if cursor.next():
                if is_gap(cursor.value()):
                    above = [(int.from_bytes(cursor.key(), "big"), bytes(cursor.value()))]
                cursor.prev()
            else:
                cursor.last()
            while True:
                first, row = int.from_bytes(cursor.key(), "big"), bytes(cursor.value())
                rows.append((first, row))
                size_bytes += len(row)
                full = len(rows) == _PART_ROWS or size_bytes > _PART_BYTES
                if full or upper - first >= _PART_RECORDS or not cursor.prev():
                    break
        rows.reverse()
        return rows, above, _hash_before(txn, self._opened, rows[0][0])

    def _write(self, changes: Changes) -> int:
        """Make the changes, durably; return the bytes of payloads that nobody holds any more."""
        path = self._opened.folder.path
        try:
            return self._opened.reading.within(lambda txn: self._put(txn, changes), write=True)
        except LogError as error:
            reason = lack_of_space(error.__cause__ or error, path)
            if reason:
                raise LogNotWritable(str(path), reason) from error
            raise

    def _put(self, txn: Txn, changes: Changes) -> int:
        tables = self._opened.tables
        current = epoch_of(txn, tables)
        if current != self._epoch:
            raise Fenced(self._epoch, current)
        with txn.cursor(tables.log) as cursor:
            for key in sorted(changes.removed - changes.put.keys()):
                if cursor.set_key(key):
                    cursor.delete()
            cursor.putmulti(sorted(changes.put.items()))
        return sum(_let_go(txn, tables, *held) for held in changes.blobs.items())


def _let_go(txn: Txn, tables: Tables, digest: bytes, records: int) -> int:
    """Note that so many records fewer hold a payload; return its bytes if none does."""
    row = bytes(txn.get(digest, b"", db=tables.blobs))
    holders = int.from_bytes(row[:8], "big") - records
    if holders > 0:
        txn.put(digest, number_key(holders) + row[8:], db=tables.blobs)
        return 0
    txn.delete(digest, db=tables.blobs)
    return len(row)


def _hash_before(txn: Txn, opened: Opened, position: int) -> bytes:
    if position == 1:
        return GENESIS
    here = record_or_gap(txn, opened.tables, position - 1)
    if isinstance(here, GapRow):
        return here.closing_hash
    return split(Position(position - 1), here[1]).hash
