"""One batch, one durable transaction: judging its commits and writing their rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import lmdb
import msgspec
from msgspec import UnsetType

from outlive.events import failpoints
from outlive.events.commit import Commit, Committed
from outlive.events.errors import (
    CorruptLog,
    Fenced,
    LogError,
    LogFailed,
    NewerFormat,
    WrongExpectedVersion,
)
from outlive.events.ids import Position, StreamId, Version
from outlive.events.lmdb_store.inbox import answer
from outlive.events.lmdb_store.layout import (
    EPOCH,
    Tables,
    entrance_key,
    is_entrance,
    number_key,
)
from outlive.events.lmdb_store.meta import epoch_of, epoch_row, put_clean
from outlive.events.lmdb_store.rows import last_record, pack, record_at
from outlive.events.record import BLOB, GENESIS, blob_reference, link_hash, pack_header, split
from outlive.events.snapshot import pack_snapshot
from outlive.events.store import Admitted, next_commit_id

_MAX_ENDS: Final = 16_384
_NO_BLOB: Final = (0, b"")

_committed: Callable[..., Committed] = Committed
"""Without the calls that turn numbers into positions: they cost more than the struct."""

Answer: TypeAlias = Committed | LogError
Written: TypeAlias = tuple[Commit, Committed, bytes, bytes]
"""A commit that became a record: with its answer, its commit id and its hash."""


class _End(msgspec.Struct, gc=False):
    """The end of a stream, after what has been written so far."""

    number_key: bytes
    number: int
    version: int
    position_key: bytes  # of its last record
    commit_id: bytes
    answer: Committed | None  # to that commit
    saved: bool  # whether it may have a snapshot


class _Changes(msgspec.Struct, gc=False):
    """What a batch puts into the tables."""

    records: list[bytes]
    begun: list[tuple[bytes, bytes]]
    entrances: list[tuple[bytes, bytes]]
    moved: dict[bytes, StreamId]  # by number: streams with another last record
    open: dict[bytes, bytes | None]  # by number: rows to put, or to take out
    snapshots: dict[bytes, bytes | None]  # the same
    blobs: dict[bytes, tuple[int, bytes]]  # by digest: how many records more hold it
    answered: list[Commit]  # commits that carry out, or refuse, a command of the inbox


class BatchWriter:
    """Knows where the log and its streams end. After an error it has to `begin_again`.

    `on_flush` is called each time before it waits for the disk.
    """

    def __init__(
        self,
        env: lmdb.Environment,
        tables: Tables,
        *,
        epoch: int,
        schema: int,
        on_flush: Callable[[], None],
    ) -> None:
        self._env = env
        self._on_flush = on_flush
        self._tables = tables
        self._epoch = epoch
        self._epoch_row = epoch_row(epoch)
        self._schema = schema
        # In two generations: the older one is dropped when the younger one is full. Keeps
        # what is in use, for the price of a look-up.
        self._ends: dict[StreamId, _End] = {}
        self._older_ends: dict[StreamId, _End] = {}
        self.flushing = False
        self.waiting: int | None = None  # the number of the transaction that waits for its lock
        self._begun = 0
        with env.begin() as txn:
            self.head, self._hash, self._stream_count = self._end_of_log(txn)

    def _end_of_log(self, txn: lmdb.Transaction[bytes]) -> tuple[Position, bytes, int]:
        """Return the last position and hash, and the number of streams."""
        head, hash, stream_count = Position(0), GENESIS, 0
        last = last_record(txn, self._tables)
        if last is not None:
            head, hash = last[0], split(*last).hash
        with txn.cursor(self._tables.streams) as cursor:
            if cursor.last():
                stream_count = int.from_bytes(cursor.key(), "big")
        return head, hash, stream_count

    def write(self, batch: list[Admitted]) -> tuple[list[Answer], list[Written]]:
        """Write a batch durably; return an answer to each commit, and those that are records.

        Raises:
            Fenced: another owner took over. Nothing was written.
        CorruptLog: who the owner is cannot be told. Nothing was written.
            lmdb.Error: whether the batch is in is unknown. `begin_again` finds out.
        """
        if len(self._ends) > _MAX_ENDS:
            self._ends, self._older_ends = {}, self._ends
        try:
            self.waiting = self._begun = self._begun + 1
            with self._env.begin(write=True) as txn:
                self.waiting = None
                if failpoints.armed:
                    failpoints.hit("batch.begun")
                self._check_epoch(txn)
                answers, written, changes = self._judge(txn, batch)
                if failpoints.armed:
                    failpoints.hit("batch.judged")
                self._put(txn, changes)
                if failpoints.armed:
                    failpoints.hit("batch.put")
                self.flushing = True
                self._on_flush()
                if failpoints.armed:
                    failpoints.hit("batch.committing")
        finally:
            self.waiting = None
            self.flushing = False
        if written:
            self.head, self._hash = written[-1][1].position, written[-1][3]
        self._stream_count += len(changes.begun)
        return answers, written

    def begin_again(self) -> None:
        """See that nothing of a write that failed is in, and forget what it took for done.

        Raises:
            Fenced: another owner took over.
            LogFailed: the log has another end than before.
            lmdb.Error: the environment is of no use any more.
        """
        self._ends, self._older_ends = {}, {}
        with self._env.begin() as txn:
            self._check_epoch(txn)
            if self._end_of_log(txn) != (self.head, self._hash, self._stream_count):
                raise LogFailed("the log has another end than it had before a write that failed")

    def mark_clean(self) -> None:
        """Tell the next owner that this one came to its end in good order."""
        try:
            self.waiting = self._begun = self._begun + 1
            with self._env.begin(write=True) as txn:
                self.waiting = None
                self._check_epoch(txn)
                put_clean(txn, self._tables, clean=True)
        finally:
            self.waiting = None

    def _check_epoch(self, txn: lmdb.Transaction[bytes]) -> None:
        if txn.get(EPOCH, db=self._tables.meta) != self._epoch_row:
            raise Fenced(self._epoch, epoch_of(txn, self._tables))

    def _judge(
        self, txn: lmdb.Transaction[bytes], batch: list[Admitted]
    ) -> tuple[list[Answer], list[Written], _Changes]:
        """Answer each commit by what is there after those before it.

        The bottleneck of the log: plain loops, local names, no calls that can be spared.
        """
        ends, epoch, schema = self._ends, self._epoch, self._schema
        position, before, stream_count = int(self.head), self._hash, self._stream_count
        answers: list[Answer] = []
        written: list[Written] = []
        changes = _Changes([], [], [], {}, {}, {}, {}, [])
        records, moved = changes.records, changes.moved
        for commit, digest, flags, tail, row in batch:
            stream = commit.stream
            try:
                end = ends.get(stream) or self._look_up_end(txn, stream)
            except (CorruptLog, NewerFormat) as error:
                answers.append(error)  # This stream stands still, the others go on.
                continue
            commit_id, version = commit.commit_id, end.version
            if commit_id is not None and commit_id == end.commit_id:
                assert end.answer is not None
                answers.append(end.answer)
                continue
            if commit.expected_version != version:
                answers.append(WrongExpectedVersion(stream, commit.expected_version, version))
                continue
            count = len(commit.events)
            if not end.number and (count or isinstance(row, bytes)):
                stream_count += 1
                end.number, end.number_key = stream_count, number_key(stream_count)
                changes.begun.append((stream.encode(), end.number_key))
                moved[end.number_key] = stream
            if not isinstance(row, UnsetType) and end.number:
                changes.open[end.number_key] = row
                if row is None and end.saved and commit.snapshot is None:
                    changes.snapshots[end.number_key] = None
                    end.saved = False
            if commit.command_id is not None:
                changes.answered.append(commit)
            recorded_at_ns = commit.recorded_at_ns
            if not count:
                answers.append(
                    _committed(
                        position=position,
                        first_version=version + 1,
                        last_version=version,
                        recorded_at_ns=recorded_at_ns,
                    )
                )
                continue
            position += 1
            if commit_id is None:
                commit_id = next_commit_id(epoch, position)
            number, first_version, last_version = end.number, version + 1, version + count
            header = (
                pack_header(
                    flags, count, schema, epoch, number, first_version, recorded_at_ns, commit_id
                )
                + tail
            )
            before = link_hash(before, position, header, digest)
            payload = commit.payload
            if flags & BLOB:
                changes.blobs[digest] = (changes.blobs.get(digest, _NO_BLOB)[0] + 1, payload)
                payload = blob_reference(digest, len(payload))
            records.append(end.position_key + header + before + payload)
            given = _committed(
                position=position,
                first_version=first_version,
                last_version=last_version,
                recorded_at_ns=recorded_at_ns,
            )
            end.answer, end.version, end.commit_id = given, last_version, commit_id
            end.position_key = key = number_key(position)
            moved[end.number_key] = stream
            state = commit.snapshot
            if state is not None and not isinstance(state, UnsetType):
                snapshot = pack_snapshot(end.number, last_version, position, state)
                changes.snapshots[end.number_key] = snapshot
                end.saved = True
            if is_entrance(first_version, last_version):
                changes.entrances.append((entrance_key(number, first_version), key))
            answers.append(given)
            written.append((commit, given, commit_id, before))
        return answers, written, changes

    def _put(self, txn: lmdb.Transaction[bytes], changes: _Changes) -> None:
        tables, ends = self._tables, self._ends
        first = self.head + 1
        records = [(number_key(first + index), row) for index, row in pack(changes.records)]
        _put_new(txn, tables.log, records, append=True)
        _put_new(txn, tables.ids, changes.begun)
        _put_new(txn, tables.entrances, changes.entrances)
        for digest, (more, payload) in changes.blobs.items():
            holders = int.from_bytes(txn.get(digest, b"", db=tables.blobs)[:8], "big")
            txn.put(digest, number_key(holders + more) + payload, db=tables.blobs)
        if changes.moved:
            moved = [
                (key, ends[stream].position_key + stream.encode())
                for key, stream in changes.moved.items()
            ]
            with txn.cursor(tables.streams) as cursor:
                cursor.putmulti(moved)
        _put_or_delete(txn, tables.open, changes.open)
        _put_or_delete(txn, tables.snapshots, changes.snapshots)
        for commit in changes.answered:
            assert commit.command_id is not None
            answer(txn, tables, commit.command_id, commit.reply or b"", commit.recorded_at_ns)

    def _look_up_end(self, txn: lmdb.Transaction[bytes], stream: StreamId) -> _End:
        """Return a stream's end: that of a moment ago, or what its last record tells."""
        end = self._older_ends.get(stream)
        if end is None:
            tables = self._tables
            end = _End(b"", 0, 0, bytes(8), b"", None, False)
            key = txn.get(stream.encode(), db=tables.ids)
            if key is not None:
                end.number, end.number_key, end.saved = int.from_bytes(key, "big"), key, True
                end.position_key = txn.get(key, b"", db=tables.streams)[:8]
                position = int.from_bytes(end.position_key, "big")
                if position:
                    raw = split(Position(position), record_at(txn, tables, position)[1])
                    end.version = raw.first_version + raw.count - 1
                    end.commit_id = raw.commit_id
                    end.answer = Committed(
                        position=raw.position,
                        first_version=raw.first_version,
                        last_version=Version(end.version),
                        recorded_at_ns=raw.recorded_at_ns,
                    )
        self._ends[stream] = end
        return end


def _put_new(
    txn: lmdb.Transaction[bytes],
    table: lmdb._Database,
    rows: list[tuple[bytes, bytes]],
    *,
    append: bool = False,
) -> None:
    """Put rows that are not there yet."""
    if rows:
        with txn.cursor(table) as cursor:
            _, added = cursor.putmulti(rows, overwrite=False, append=append)
        if added != len(rows):
            raise CorruptLog(txn.env.path(), "a row is there already that is only now written")


def _put_or_delete(
    txn: lmdb.Transaction[bytes], table: lmdb._Database, rows: dict[bytes, bytes | None]
) -> None:
    for key, row in rows.items():
        if row is None:
            txn.delete(key, db=table)
        else:
            txn.put(key, row, db=table)
