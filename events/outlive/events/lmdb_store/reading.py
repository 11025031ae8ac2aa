"""Reading, the same for the owner and for every other process.

Each read has a snapshot of its own and leaves it before it decodes: a reader that stays in a
snapshot keeps the owner from using pages again. Within it, rows are looked at in place, and
what leaves it is copied. The environment is closed only when nobody is
inside of it, as the binding gives up the GIL within its calls.

Where the lock file cannot be written (a read-only mount), LMDB cannot know that somebody reads,
and an owner would write over the pages of a snapshot. There each read keeps owners away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import lmdb

from outlive.events.codec import Codec
from outlive.events.commit import OpenEntry
from outlive.events.errors import CorruptLog, LogClosed, LogFailed
from outlive.events.forks import Birthplace
from outlive.events.ids import Position, StreamId, Version
from outlive.events.lmdb_store.gaps import GapRow
from outlive.events.lmdb_store.layout import (
    Tables,
    entrance_key,
    number_key,
    translated,
)
from outlive.events.lmdb_store.meta import epoch_of
from outlive.events.lmdb_store.rows import (
    last_record,
    record_at,
    record_or_gap,
    records_after,
)
from outlive.events.recall import Recalled
from outlive.events.record import BLOB, RawRecord, Record, Recorded, decode, split
from outlive.events.sizes import MAX_PAGE_BYTES
from outlive.events.snapshot import Snapshot, unpack_snapshot
from outlive.events.store import check_after, check_limit, decode_entry, usable

if TYPE_CHECKING:
    Txn: TypeAlias = lmdb.Transaction[memoryview]

T = TypeVar("T")

_MAX_CACHED: Final = 65_536
_PATIENCE_S: Final = 10.0


class Reading:
    """Reads of one open environment, from any thread.

    `unowned` is entered for each read, where nobody may own the log meanwhile.
    """

    def __init__(
        self,
        env: lmdb.Environment,
        tables: Tables,
        codec: Codec,
        *,
        unowned: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._env = env
        self._tables = tables
        self._codec = codec
        self._unowned = unowned
        self._path = env.path()
        self._made_in = Birthplace()
        self._what = f"the log in {self._path!r}"
        self._door = threading.RLock()
        self._gate = threading.Condition(self._door)
        self._inside = 0
        self._resizing = 0
        self._closed = False
        self.on_close: Callable[[], None] = lambda: None
        self._numbers: dict[StreamId, int] = {}
        self._names: dict[int, StreamId] = {}

    @property
    def in_fork(self) -> bool:
        """Whether this process was forked off the one that opened the log."""
        return self._made_in.left

    def check_process(self) -> None:
        """Raise LogClosed in a process that was forked off the one that opened the log."""
        self._made_in.check(self._what)

    def close(self) -> None:
        """Let those inside come out, then close the environment. Twice is once.

        One that waits for a write lock that a frozen process holds may stay inside. It is not
        waited for, and closes the environment when it comes out.
        """
        if self.in_fork:
            return  # The environment is the parent's.
        with self._gate:
            self._closed = True
            if self._gate.wait_for(lambda: not self._inside, _PATIENCE_S):
                self._env.close()
        self.on_close()

    def _enter(self) -> None:
        self.check_process()  # First: a lock that was held while forking stays held.
        with self._door:  # Not by way of the condition: each read comes through here.
            while self._resizing:
                self._gate.wait()
            if self._closed:
                raise LogClosed(f"the log in {self._path!r} is closed")
            self._inside += 1

    def _leave(self) -> None:
        with self._door:
            self._inside -= 1
            if not self._inside and (self._resizing or self._closed):
                self._gate.notify_all()
                if self._closed:
                    self._env.close()

    def within(self, work: Callable[[Txn], T], *, write: bool = False) -> T:
        """Return what `work` finds in a snapshot; with `write`, in a transaction that writes."""
        while True:
            self._enter()
            try:
                with self._unowned(), self._env.begin(write=write, buffers=True) as txn:
                    return work(txn)
            except lmdb.MapResizedError:
                pass
            except lmdb.Error as error:
                raise translated(error, self._path) from error
            finally:
                self._leave()
            self.resize(0)  # As large as the owner has made it.

    def resize(self, map_bytes: int) -> None:
        """Give the map another size, while nobody is inside. Not within a transaction.

        Raises:
            LogFailed: it has none now; the environment is of no use any more, and closed.
        """
        with self._gate:
            self._resizing += 1
            try:
                self._gate.wait_for(lambda: not self._inside)
                if not self._closed:
                    self._env.set_mapsize(map_bytes)
            except lmdb.Error as error:
                self._closed = True
                raise LogFailed(
                    f"the log in {self._path!r} lost its memory map: {error}"
                ) from error
            finally:
                self._resizing -= 1
                self._gate.notify_all()

    def last_commit(self) -> int:
        """Return a number that is another one after each commit of the owner.

        It is that of a snapshot. `env.info()` would be ahead of it: it tells of a commit while
        the commit is still being flushed, and those who read then do not see it yet.
        """
        return self.within(lambda txn: txn.id())

    def epoch(self) -> int:
        """Return the number of the last owner. Raises CorruptLog."""
        return self.within(lambda txn: epoch_of(txn, self._tables))

    def head(self) -> Position:
        """Return the position of the last record."""
        last = self.within(lambda txn: last_record(txn, self._tables))
        return Position(0) if last is None else last[0]

    def version(self, stream: StreamId) -> Version:
        """Return the version of the stream's last event."""
        return self.within(lambda txn: self._version(txn, self._number(txn, stream)))

    def _version(self, txn: Txn, number: int) -> Version:
        position = self._last_of(txn, number)
        if not position:
            return Version(0)
        raw, _ = self._raw(txn, position)
        return Version(raw.first_version + raw.count - 1)

    def snapshot(self, stream: StreamId) -> Snapshot | None:
        """Return the last state that was saved of a stream. See `LogReader.snapshot`."""

        def work(txn: Txn) -> tuple[Snapshot | None, Version] | None:
            number = self._number(txn, stream)
            row = txn.get(number_key(number), db=self._tables.snapshots)
            if row is None:
                return None
            return unpack_snapshot(number, bytes(row)), self._version(txn, number)

        found = self.within(work)
        return None if found is None else usable(found[0], stream, found[1])

    def recall(self, stream: StreamId, limit: int) -> Recalled:
        """Return what an entity is brought in from. See `LogReader.recall`."""
        check_limit(limit)

        def work(
            txn: Txn,
        ) -> tuple[bytes | None, Snapshot | None, list[tuple[RawRecord, bytes | None]]]:
            number = self._number(txn, stream)
            if not number:
                return None, None, []
            key = number_key(number)
            row = txn.get(key, db=self._tables.open)
            saved = txn.get(key, db=self._tables.snapshots)
            found = None
            if saved is not None:
                version = self._version(txn, number)
                found = usable(unpack_snapshot(number, bytes(saved)), stream, version)
            after = Version(0) if found is None else found.version
            records = self._onward(txn, stream, after, limit)
            return None if row is None else bytes(row), found, records

        row, found, records = self.within(work)
        entry = None if row is None else decode_entry(row, stream)
        after = Version(0) if found is None else found.version
        return Recalled(entry, found, self._events(records, stream, after, limit))

    def read(self, stream: StreamId, after: Version, limit: int) -> list[Recorded]:
        """Return events of one stream. See `LogReader.read`."""
        check_limit(limit)
        check_after(after, lambda: self.version(stream))
        records = self.within(lambda txn: self._onward(txn, stream, after, limit))
        return self._events(records, stream, after, limit)

    def _events(
        self,
        records: list[tuple[RawRecord, bytes | None]],
        stream: StreamId,
        after: Version,
        limit: int,
    ) -> list[Recorded]:
        found: list[Recorded] = []
        for raw, blob in records:
            found.extend(decode(raw, stream, self._codec, blob).recorded(after=after))
            if len(found) >= limit:
                break
        return found[:limit]

    def _onward(
        self, txn: Txn, stream: StreamId, after: int, limit: int
    ) -> list[tuple[RawRecord, bytes | None]]:
        """Return the records with the first `limit` events that there are beyond `after`.

        Each with its payload, if that is kept apart.
        """
        number = self._number(txn, stream)
        found: list[tuple[RawRecord, bytes | None]] = []
        while number:
            records, passed = self._back(txn, stream, number, after, limit)
            found.extend((raw, self._blob(txn, raw)) for raw in reversed(records))
            if not passed:
                return found
            # Fewer than there may be, for a gap has some of their versions.
            for raw in records:
                limit -= min(raw.first_version + raw.count - 1 - after, raw.count)
            if limit <= 0:
                return found
            after = max(passed, records[0].first_version + records[0].count - 1 if records else 0)
        return found  # There is no such stream yet.

    def _back(
        self, txn: Txn, stream: StreamId, number: int, after: int, limit: int
    ) -> tuple[list[RawRecord], int]:
        """Return the records with the versions beyond `after` to `after + limit`, last first.

        And where gaps have some of these versions, one from which to look for more; else 0.
        """
        position = self._entrance(txn, number, after + limit) or self._last_of(txn, number)
        found: list[RawRecord] = []
        first_version = passed = 0
        while position:
            here = record_or_gap(txn, self._tables, position)
            if isinstance(here, GapRow):
                covered = here.covered(number)
                if covered is None:
                    raise CorruptLog(f"record {position}", "its gap does not cover its stream")
                link, last_version = covered.link, covered.last_version
                next_version, raw = covered.first_version, None
            else:
                link, data = here
                raw = split(Position(position), data)
                if raw.stream_number != number:
                    raise CorruptLog(f"record {position}", f"it does not belong to {stream!r}")
                last_version, next_version = raw.first_version + raw.count - 1, raw.first_version
            if first_version and last_version + 1 != first_version:
                raise CorruptLog(f"record {position}", f"it does not belong to {stream!r} there")
            if last_version <= after:
                return found, passed
            first_version = next_version
            if first_version <= after + limit:
                if raw is None:
                    passed = max(passed, after + limit, last_version)
                else:
                    found.append(raw)
            if first_version <= after + 1:
                return found, passed
            position = link
        if first_version > 1:
            raise CorruptLog(f"stream {stream!r}", f"what precedes version {first_version} lacks")
        return found, passed

    def _entrance(self, txn: Txn, number: int, last: int) -> int:
        """Return a position of the stream behind which all is beyond version `last`, or 0."""
        with txn.cursor(self._tables.entrances) as cursor:
            if cursor.set_range(entrance_key(number, last + 1)):
                key, row = cursor.item()
                if bytes(key[:8]) == number_key(number):
                    return int.from_bytes(row, "big")
        return 0

    def _raw(self, txn: Txn, position: int) -> tuple[RawRecord, int]:
        link, data = record_at(txn, self._tables, position)
        return split(Position(position), data), link

    def blob(self, raw: RawRecord) -> bytes | None:
        """Return a record's payload, if that is kept apart and there."""
        return self.within(lambda txn: self._blob(txn, raw)) if raw.flags & BLOB else None

    def _blob(self, txn: Txn, raw: RawRecord) -> bytes | None:
        """Return the record's payload, if that is kept apart and there."""
        row = txn.get(raw.digest, db=self._tables.blobs) if raw.flags & BLOB else None
        return None if row is None else bytes(row[8:])

    def read_all(self, after: Position, limit: int) -> list[Record]:
        """Return records of the log. See `LogReader.read_all`."""
        return self.read_sized(after, limit)[0]

    def read_sized(self, after: Position, limit: int) -> tuple[list[Record], list[int]]:
        """Return the records that `read_all` does, and the bytes of the events of each."""
        check_limit(limit)
        check_after(after, self.head)

        def work(txn: Txn) -> list[tuple[RawRecord, StreamId, bytes | None]]:
            found: list[tuple[RawRecord, StreamId, bytes | None]] = []
            left = MAX_PAGE_BYTES
            for position, data in islice(records_after(txn, self._tables, after), limit):
                raw = split(position, data)
                left -= raw.size_bytes
                if left < 0 and found:
                    break
                name = self._name(txn, raw.stream_number)
                found.append((raw, name, self._blob(txn, raw)))
            return found

        found = self.within(work)
        records = [decode(raw, stream, self._codec, blob) for raw, stream, blob in found]
        return records, [raw.size_bytes for raw, _, _ in found]

    def open_entry(self, stream: StreamId) -> OpenEntry | None:
        """Return the stream's row of the open table."""

        def work(txn: Txn) -> bytes | None:
            number = self._number(txn, stream)
            found = txn.get(number_key(number), db=self._tables.open) if number else None
            return None if found is None else bytes(found)

        row = self.within(work)
        return None if row is None else decode_entry(row, stream)

    def open_entries(self) -> list[tuple[StreamId, OpenEntry]]:
        """Return the open table, in the order in which the streams began."""

        def work(txn: Txn) -> list[tuple[StreamId, bytes]]:
            with txn.cursor(self._tables.open) as cursor:
                rows = [(int.from_bytes(key, "big"), bytes(row)) for key, row in cursor.iternext()]
            return [(self._name(txn, number), row) for number, row in rows]

        return [(stream, decode_entry(row, stream)) for stream, row in self.within(work)]

    def _number(self, txn: Txn, stream: StreamId) -> int:
        """Return the stream's number; 0, which no stream has, for an unknown one."""
        number = self._numbers.get(stream)
        if number is None:
            if not isinstance(stream, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"a stream is named by text, not {type(stream).__name__}")
            try:
                row = txn.get(stream.encode() or b"\0", db=self._tables.ids)
            except (UnicodeEncodeError, lmdb.BadValsizeError):
                return 0
            if row is None:
                return 0
            number = int.from_bytes(row, "big")
            self._remember(number, stream)
        return number

    def _name(self, txn: Txn, number: int) -> StreamId:
        name = self._names.get(number)
        if name is None:
            row = txn.get(number_key(number), db=self._tables.streams)
            if row is None:
                raise CorruptLog(f"stream number {number}", "it lacks")
            try:
                name = StreamId(bytes(row[8:]).decode())
            except UnicodeDecodeError as error:
                raise CorruptLog(f"stream number {number}", f"its name: {error}") from None
            self._remember(number, name)
        return name

    def _remember(self, number: int, name: StreamId) -> None:
        if len(self._names) >= _MAX_CACHED:
            self._names.clear()
            self._numbers.clear()
        self._names[number] = name
        self._numbers[name] = number

    def _last_of(self, txn: Txn, number: int) -> int:
        row = txn.get(number_key(number), db=self._tables.streams) if number else None
        return 0 if row is None else int.from_bytes(row[:8], "big")
