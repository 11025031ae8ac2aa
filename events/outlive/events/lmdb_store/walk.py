"""The walk over a log that finds out whether it is what was written.

Records are walked in the order of their positions: the chain of hashes, the versions and links
of each stream, the epochs, and that each record which must have a row in `entrances` has it.
Behind the last one come the tables, which must say the same.

Each part of the walk has a snapshot of its own. An owner that writes meanwhile cannot use
pages again while a snapshot stands, so one that stood for the whole of a long log would make
its file grow. The tables are compared in the snapshot in which the walk came to the end. What
lies behind the walk can change in one way only: compaction drops it. If a gap then reaches
beyond the point where the walk is, the walk goes on behind the gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import lmdb
import msgspec

from outlive.events.errors import CorruptLog
from outlive.events.ids import Position, StreamId
from outlive.events.lmdb_store.broken import Broken
from outlive.events.lmdb_store.gaps import Gap, GapRow, decode_gap, is_gap, is_intact
from outlive.events.lmdb_store.layout import Tables, entrance_key, is_entrance, number_key
from outlive.events.lmdb_store.remaining import (
    compare_commands,
    compare_meta,
    compare_snapshots,
)
from outlive.events.lmdb_store.rows import parts_of, record_or_gap, records_after, seek
from outlive.events.record import BLOB, GENESIS, chain_fields, link_hash, payload_digest, split
from outlive.events.store import decode_entry

if TYPE_CHECKING:
    Txn: TypeAlias = lmdb.Transaction[memoryview]

PART_RECORDS: Final = 20_000
_LINK_BYTES: Final = 8
_HASH_BYTES: Final = 32
_COUNT_BYTES: Final = 8

ExpectedHead: TypeAlias = tuple[int, bytes]
"""A position and the hash that its record had."""


class _End(msgspec.Struct, gc=False):
    """Where a stream stands: its last record so far, dropped or not."""

    position: int
    version: int
    dropped: bool


class Walk:
    """Walks one log, a part with each call. The counts are of what it came by."""

    def __init__(self, tables: Tables, expected: ExpectedHead | None = None) -> None:
        self._tables = tables
        self._expected = expected
        self._ends: dict[int, _End] = {}
        self._epoch = 0
        self._blobs: dict[bytes, int] = {}  # payloads kept apart: how many records hold them
        self.position = 0
        self.hash = GENESIS
        self.records = 0
        self.events = 0
        self.gaps = 0
        self.dropped_events = 0
        self.streams = 0

    def part(self, txn: Txn) -> bool:
        """Walk on in a snapshot; at the end compare the tables. Return whether there is more.

        Raises:
            Broken: here is the first thing that is not what was written.
            NewerFormat: of a record.
        """
        try:
            with txn.cursor(self._tables.log) as cursor:
                limit = self.position + PART_RECORDS
                more, begun = seek(cursor, self.position + 1) or cursor.first(), True
                while more:
                    if self.position >= limit:
                        return True
                    first, row = _position(cursor.key(), self.position), bytes(cursor.value())
                    next = self.position + 1
                    if first > next or (first < next and not begun):
                        raise Broken(next, "it lacks" if first > next else "it is there twice")
                    if is_gap(row):
                        self._pass(txn, decode_gap(first, row))
                    else:
                        self._walk(txn, parts_of(first, row)[next - first :])
                    more, begun = cursor.next(), False
            self._compare(txn)
        except CorruptLog as error:
            raise Broken(self.position + 1, f"{error.where}: {error.reason}") from None
        return False

    def _walk(self, txn: Txn, parts: list[bytes]) -> None:
        """Walk over records that follow one another. The hot loop."""
        ends, before, epoch, events = self._ends, self.hash, self._epoch, self.events
        position = walked = self.position
        try:
            for part in parts:
                position += 1
                flags, count, its_epoch, number, first_version, hash_at = chain_fields(
                    position, part, _LINK_BYTES
                )
                end = ends.get(number)
                if end is None:
                    end = ends[number] = _End(0, 0, False)
                version = end.version
                if first_version != version + 1 or not count:
                    raise Broken(position, f"it is not version {version + 1} of its stream")
                if int.from_bytes(part[:_LINK_BYTES], "big") != end.position:
                    raise Broken(
                        position, "its link does not lead to the record before in its stream"
                    )
                if its_epoch < epoch:
                    raise Broken(position, f"its epoch {its_epoch} is lower than the one before")
                payload_at = hash_at + _HASH_BYTES
                if flags & BLOB:
                    digest = self._check_blob(txn, position, part[payload_at:])
                else:
                    digest = payload_digest(part[payload_at:])
                hash = link_hash(before, position, part[_LINK_BYTES:hash_at], digest)
                if hash != part[hash_at:payload_at]:
                    raise Broken(
                        position, "its hash is not that of its content and what is before it"
                    )
                end.position, end.version, end.dropped = position, version + count, False
                if is_entrance(first_version, version + count):
                    self._check_entrance(txn, position, number, first_version)
                if self._expected is not None:
                    self._compare_head(position, hash)
                before, epoch, walked, events = hash, its_epoch, position, events + count
        finally:  # Also where it is broken: the counts tell what is in order.
            self.records += walked - self.position
            self.hash, self.position, self._epoch, self.events = before, walked, epoch, events

    def _check_blob(self, txn: Txn, position: int, reference: bytes) -> bytes:
        """Return the digest of a payload that is kept apart, once it is seen to be there."""
        digest, size_bytes = reference[:_HASH_BYTES], int.from_bytes(reference[_HASH_BYTES:])
        if digest not in self._blobs:
            row = txn.get(digest, db=self._tables.blobs)
            if row is None:
                raise Broken(position, "its payload, which is kept apart, lacks")
            payload = bytes(row[_COUNT_BYTES:])
            if len(payload) != size_bytes or payload_digest(payload) != digest:
                raise Broken(position, "its payload, which is kept apart, is not what was written")
        self._blobs[digest] = self._blobs.get(digest, 0) + 1
        return digest

    def _check_entrance(self, txn: Txn, position: int, number: int, version: int) -> None:
        found = txn.get(entrance_key(number, version), db=self._tables.entrances)
        if found is None or bytes(found) != number_key(position):
            raise Broken(position, "its row in the table of entrances is not there, or wrong")

    def _pass(self, txn: Txn, gap: Gap) -> None:
        """Go on behind a gap."""
        known = gap.first <= self.position  # made while the walk was in the midst of it
        before = _hash_before(txn, self._tables, gap.first) if known else self.hash
        if not is_intact(gap, before):
            raise Broken(gap.first, "its gap has another digest than its content")
        for covered in gap.covered.values():
            end = self._ends.setdefault(covered.number, _End(0, 0, False))
            fits = (end.position, end.version) == (covered.link, covered.first_version - 1)
            if not fits and not (known and covered.link < end.position <= covered.last_position):
                raise Broken(gap.first, f"its gap does not fit stream number {covered.number}")
            end.position, end.version = covered.last_position, covered.last_version
            end.dropped = True
        self.gaps += 1
        self.dropped_events += gap.event_count
        if self._expected is not None and self.position < self._expected[0] <= gap.last:
            if self._expected[0] < gap.last:
                raise Broken(self._expected[0], "a gap is there: the hash kept of it is no use")
            self._compare_head(gap.last, gap.closing_hash)
        self.position, self.hash = gap.last, gap.closing_hash

    def _compare_head(self, position: int, hash: bytes) -> None:
        if self._expected is not None and self._expected == (position, self._expected[1]):
            if hash != self._expected[1]:
                raise Broken(position, "it is not the record whose hash was kept elsewhere")
            self._expected = None

    def _compare(self, txn: Txn) -> None:
        """Compare the tables with what was walked over. Raises Broken."""
        if self._expected is not None:
            raise Broken(self._expected[0], f"it lacks: the log ends at {self.position}")
        names = self._compare_streams(txn)
        self._compare_entrances(txn)
        self._compare_blobs(txn)
        with txn.cursor(self._tables.open) as cursor:
            for key, row in cursor.iternext():
                name = names.get(bytes(key))
                if name is None:
                    raise Broken(None, f"the open row {bytes(key).hex()} is of no stream")
                decode_entry(bytes(row), name)
        compare_snapshots(
            txn, self._tables, {number: end.version for number, end in self._ends.items()}
        )
        compare_commands(txn, self._tables)
        compare_meta(txn, self._tables, self._epoch)

    def _compare_streams(self, txn: Txn) -> dict[bytes, StreamId]:
        names: dict[bytes, StreamId] = {}
        ends = dict(self._ends)
        with txn.cursor(self._tables.streams) as cursor:
            for number, (key, row) in enumerate(cursor.iternext(), 1):
                end = ends.pop(number, _End(0, 0, False))
                where = f"stream number {number}"
                if bytes(key) != number_key(number):
                    raise Broken(end.position or None, f"{where} lacks in the table of streams")
                if int.from_bytes(row[:8], "big") != end.position or end.dropped:
                    raise Broken(
                        end.position or None,
                        f"{where} has another last record in the table of streams",
                    )
                try:
                    name = StreamId(bytes(row[8:]).decode())
                except UnicodeDecodeError as error:
                    raise Broken(None, f"the name of {where}: {error}") from None
                found = txn.get(name.encode(), db=self._tables.ids) if name else None
                if found is None or bytes(found) != bytes(key):
                    raise Broken(None, f"the table of ids has no row, or a wrong one, for {name!r}")
                names[bytes(key)] = name
        if ends:
            number, end = next(iter(ends.items()))
            raise Broken(end.position, f"stream number {number} lacks in the table of streams")
        if txn.stat(self._tables.ids)["entries"] != len(names):
            raise Broken(None, "the table of ids has names of no stream")
        self.streams = len(names)
        return names

    def _compare_blobs(self, txn: Txn) -> None:
        try:
            self._compare_held(txn)
        except Broken:
            # Compaction may have dropped records behind the walk: who is left holds them?
            self._blobs = _held(txn, self._tables)
            self._compare_held(txn)

    def _compare_held(self, txn: Txn) -> None:
        found = 0
        with txn.cursor(self._tables.blobs) as cursor:
            for key, row in cursor.iternext():
                count = int.from_bytes(row[:_COUNT_BYTES], "big")
                if count != self._blobs.get(bytes(key), 0):
                    raise Broken(None, f"payload {bytes(key).hex()} is not held by {count} records")
                found += 1
        if found != len(self._blobs):
            raise Broken(None, f"{len(self._blobs) - found} payloads that are kept apart lack")

    def _compare_entrances(self, txn: Txn) -> None:
        """See that each row leads to the record that it means, or to the gap in its place.

        That none lacks was seen with each record.
        """
        with txn.cursor(self._tables.entrances) as cursor:
            for key, row in cursor.iternext():
                number, version = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")
                position = int.from_bytes(row, "big")
                if not (len(key) == 16 and len(row) == 8 and 0 < position <= self.position):
                    raise Broken(None, f"the entrance {bytes(key).hex()} leads to no record")
                here = record_or_gap(txn, self._tables, position)
                if isinstance(here, GapRow):
                    covered = here.covered(number)
                    right = covered is not None and (
                        covered.first_version <= version <= covered.last_version
                    )
                else:
                    raw = split(Position(position), here[1])
                    right = (raw.stream_number, raw.first_version) == (number, version)
                if not right:
                    raise Broken(position, "an entrance of another record leads to it")


def _held(txn: Txn, tables: Tables) -> dict[bytes, int]:
    """Return how many records hold each payload that is kept apart."""
    held: dict[bytes, int] = {}
    for position, data in records_after(txn, tables, 0):
        raw = split(position, data)
        if raw.flags & BLOB:
            held[raw.digest] = held.get(raw.digest, 0) + 1
    return held


def _position(key: memoryview, before: int) -> int:
    if len(key) != 8:
        raise Broken(before + 1, "the key of a row is no position")
    return int.from_bytes(key, "big")


def _hash_before(txn: Txn, tables: Tables, position: int) -> bytes:
    if position == 1:
        return GENESIS
    here = record_or_gap(txn, tables, position - 1)
    if isinstance(here, GapRow):
        return here.closing_hash
    return split(Position(position - 1), here[1]).hash
