"""The writer: one thread that makes everything durable that has queued up.

What is in, and what is known of it, at each instant at which the process may die:

1. Before LMDB's commit: nothing of the batch is in. The transaction is one, over the records,
   their links, the streams' ends and the open table, so none of them is ever ahead of another.
2. While it commits: LMDB flushes the pages first and writes the root that leads to them last.
   Either root is whole, so the batch is in altogether or not at all. Nobody was told of it.
3. After the commit, before the callbacks: the batch is in and nobody knows. An append that is
   repeated then, with its commit id, is answered from the stream's last record.
4. After that: who was told can rely on it.

So nothing is told before the commit returned. Not the version (a commit that follows in the
same batch is judged by it, but its answer waits too), not a refusal: `actual` may be a version
of this very batch.

A commit that fails is not tried again. A flush that failed once may succeed the second time
without having written anything, as the kernel has forgotten the pages. What LMDB holds is
unknown to us then, also whether the batch is in. So that is the end of this writer: the batch
and all that follows fail with `LogFailed`, followers end. Opening the log again finds what was
acknowledged, and an append repeated with its commit id finds out whether it had been in.

Another owner is found out by the epoch: it is read in each write transaction, and no other
process can write between that and our commit. So the batch of an owner that was thought dead
is not written at all, however late it wakes up.

The thread gives up the GIL at each of LMDB's calls. Beside a thread that computes, getting it
back takes milliseconds, so calls are counted here, not only microseconds: a stream's end is
written once a batch, and what a batch knows of its streams is in memory.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, TypeAlias

import lmdb
import msgspec
from msgspec import UnsetType

from outlive.events.commit import Commit, Committed, Deliver, at_once, deliver_all
from outlive.events.errors import (
    CorruptLog,
    Fenced,
    LogClosed,
    LogError,
    LogFailed,
    NewerFormat,
    WrongExpectedVersion,
)
from outlive.events.feed import Feed
from outlive.events.ids import Position, StreamId, Version
from outlive.events.lmdb_store.layout import (
    CLEAN,
    EPOCH,
    Tables,
    entrance_key,
    is_entrance,
    number_key,
)
from outlive.events.lmdb_store.rows import last_record, pack, record_at
from outlive.events.lmdb_store.wake import Wakers
from outlive.events.record import GENESIS, Record, link_hash, pack_header, split
from outlive.events.store import Admitted, next_commit_id

MAX_BATCH_COMMITS: Final = 1_024
MAX_BATCH_BYTES: Final = 8 << 20
_MAX_ENDS: Final = 16_384

_Written: TypeAlias = tuple[Commit, Committed, bytes, bytes]
"""A commit that became a record: with its answer, its commit id and its hash."""


class _End(msgspec.Struct, gc=False):
    """The end of a stream, after what has been written so far."""

    number_key: bytes
    number: int
    version: int
    position_key: bytes  # of its last record
    commit_id: bytes
    answer: Committed | None  # to that commit


class Writer:
    """Owns the write side of an open environment, from `start` to `stop`."""

    def __init__(
        self,
        env: lmdb.Environment,
        tables: Tables,
        *,
        epoch: int,
        schema: int,
        feed: Feed,
        wakers: Wakers,
    ) -> None:
        self._env = env
        self._tables = tables
        self._epoch = epoch
        self._schema = schema
        self._feed = feed
        self._wakers = wakers
        self._queue: SimpleQueue[Admitted | None] = SimpleQueue()
        self._door = threading.Lock()  # between `put` and the end
        self._failure: Callable[[], LogError] | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="outlive-writer", daemon=True)
        # The streams' ends, in two generations: the older one is dropped when the younger one
        # is full. Keeps what is in use, for the price of a look-up.
        self._ends: dict[StreamId, _End] = {}
        self._older_ends: dict[StreamId, _End] = {}
        self.deliver: Deliver = at_once
        self.head = Position(0)
        self.put_count = 0
        self.settled_count = 0
        self.flushing = False
        self.batch_done = threading.Event()
        self._hash = GENESIS
        self._stream_count = 0
        with env.begin() as txn:
            self._look_up_head(txn)

    def _look_up_head(self, txn: lmdb.Transaction[bytes]) -> None:
        last = last_record(txn, self._tables)
        if last is not None:
            self.head, self._hash = last[0], split(*last).hash
        with txn.cursor(self._tables.streams) as cursor:
            if cursor.last():
                self._stream_count = int.from_bytes(cursor.key(), "big")

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, admitted: Admitted) -> None:
        """Queue a commit. Raises LogClosed after `stop`."""
        with self._door:
            if self._closing:
                raise LogClosed("the log is closed")
            if self._failure is None:
                self.put_count += 1
                self._queue.put(admitted)
                return
            failure = self._failure()
        commit = admitted[0]
        commit.error = failure
        self._hand_out([commit])

    def stop(self) -> None:
        """Let what is queued become durable, mark a clean end, and end the thread."""
        assert threading.current_thread() is not self._thread, "the writer cannot wait for itself"
        with self._door:
            closing, self._closing = self._closing, True
        if not closing:
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        batch: list[Admitted] = []
        try:
            more = True
            while more:
                more = self._take(batch)
                if batch:
                    self._process(batch)
                    batch.clear()
            self._mark_clean()
        except BaseException as error:  # noqa: BLE001  # whatever it is, everybody must hear of it
            self._fail(batch, error)

    def _take(self, batch: list[Admitted]) -> bool:
        """Wait for something to do and take all that is there; False when it was the last."""
        queue = self._queue
        size_bytes = 0
        while True:
            admitted = queue.get()
            if admitted is None:
                return False
            batch.append(admitted)
            size_bytes += len(admitted[0].payload)
            if queue.empty() or len(batch) == MAX_BATCH_COMMITS or size_bytes > MAX_BATCH_BYTES:
                return True

    def _process(self, batch: list[Admitted]) -> None:
        answers, written = self._write(batch)
        commits: list[Commit] = []
        for (commit, _, _, _, _), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Committed):
                commit.outcome = answer
            else:
                commit.error = answer
            commits.append(commit)
        batch.clear()
        self._hand_out(commits)
        if written and self._feed.followed:
            self._publish(written)
        if written and self._wakers.ring():
            self._env.reader_check()  # The dead one may have been reading: free its snapshot.
        self.settled_count += len(commits)
        self.batch_done.set()

    def _write(self, batch: list[Admitted]) -> tuple[list[Committed | LogError], list[_Written]]:
        """Write a batch in one durable transaction."""
        if len(self._ends) > _MAX_ENDS:
            self._ends, self._older_ends = {}, self._ends
        ends, tables, epoch, schema = self._ends, self._tables, self._epoch, self._schema
        position, before, stream_count = int(self.head), self._hash, self._stream_count
        answers: list[Committed | LogError] = []
        written: list[_Written] = []
        records: list[bytes] = []
        entrances: list[tuple[bytes, bytes]] = []
        begun: list[tuple[bytes, bytes]] = []
        moved: dict[bytes, StreamId] = {}
        rows: dict[bytes, bytes | None] = {}
        with self._env.begin(write=True) as txn:
            self._check_epoch(txn)
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
                    end.number = stream_count
                    end.number_key = key = number_key(stream_count)
                    begun.append((stream.encode(), key))
                    moved[key] = stream
                if not isinstance(row, UnsetType) and end.number:
                    rows[end.number_key] = row
                recorded_at_ns = commit.recorded_at_ns
                if not count:
                    answers.append(
                        Committed(
                            position=Position(position),
                            first_version=Version(version + 1),
                            last_version=Version(version),
                            recorded_at_ns=recorded_at_ns,
                        )
                    )
                    continue
                position += 1
                if commit_id is None:
                    commit_id = next_commit_id(epoch, position)
                header = (
                    pack_header(
                        flags,
                        count,
                        schema,
                        epoch,
                        end.number,
                        version + 1,
                        recorded_at_ns,
                        commit_id,
                    )
                    + tail
                )
                before = link_hash(before, position, header, digest)
                key = position.to_bytes(8, "big")
                records.append(end.position_key + header + before + commit.payload)
                end.answer = answer = Committed(
                    position=Position(position),
                    first_version=Version(version + 1),
                    last_version=Version(version + count),
                    recorded_at_ns=recorded_at_ns,
                )
                end.version = version + count
                end.position_key = key
                end.commit_id = commit_id
                moved[end.number_key] = stream
                if is_entrance(version + 1, version + count):
                    entrances.append((entrance_key(end.number, version + 1), key))
                answers.append(answer)
                written.append((commit, answer, commit_id, before))
            first = position - len(records) + 1
            packed = [(number_key(first + index), row) for index, row in pack(records)]
            _put_new(txn, tables.log, packed, append=True)
            _put_new(txn, tables.ids, begun)
            _put_new(txn, tables.entrances, entrances)
            if moved:
                with txn.cursor(tables.streams) as cursor:
                    cursor.putmulti(
                        [
                            (key, ends[stream].position_key + stream.encode())
                            for key, stream in moved.items()
                        ]
                    )
            for key, row in rows.items():
                if row is None:
                    txn.delete(key, db=tables.open)
                else:
                    txn.put(key, row, db=tables.open)
            self.flushing = True
        self.flushing = False
        self.head, self._hash, self._stream_count = Position(position), before, stream_count
        return answers, written

    def _check_epoch(self, txn: lmdb.Transaction[bytes]) -> None:
        current = int.from_bytes(txn.get(EPOCH, b"", db=self._tables.meta), "big")
        if current != self._epoch:
            raise Fenced(self._epoch, current)

    def _look_up_end(self, txn: lmdb.Transaction[bytes], stream: StreamId) -> _End:
        """Return a stream's end: that of a moment ago, or what its last record tells."""
        end = self._older_ends.get(stream)
        if end is None:
            tables = self._tables
            end = _End(b"", 0, 0, bytes(8), b"", None)
            key = txn.get(stream.encode(), db=tables.ids)
            if key is not None:
                end.number, end.number_key = int.from_bytes(key, "big"), key
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

    def _hand_out(self, commits: list[Commit]) -> None:
        """Run the callbacks of settled commits."""
        deliver = self.deliver
        try:
            deliver_all(commits, deliver)
        except Exception as error:  # noqa: BLE001  # a callback's, or the loop is closed
            if deliver is at_once:
                _report(error)
            else:
                _hand_out_here(commits)

    def _publish(self, written: list[_Written]) -> None:
        wants = self._feed.wants
        records = [
            Record(
                position=answer.position,
                stream=commit.stream,
                first_version=answer.first_version,
                recorded_at_ns=commit.recorded_at_ns,
                epoch=self._epoch,
                commit_id=commit_id,
                events=tuple(commit.events),
                hash=hash,
                cause=commit.cause,
                correlation_id=commit.correlation_id,
            )
            for commit, answer, commit_id, hash in written
            if wants(commit.stream)
        ]
        if records:
            self._feed.publish(records)

    def _mark_clean(self) -> None:
        with self._env.begin(write=True) as txn:
            self._check_epoch(txn)
            txn.put(CLEAN, b"\1", db=self._tables.meta)

    def _fail(self, batch: list[Admitted], error: BaseException) -> None:
        """End it: settle the batch, all that is queued, and all that comes."""
        reason = _reason(error)

        def failure() -> LogError:
            if isinstance(error, Fenced):
                return Fenced(error.epoch, error.current)
            failed = LogFailed(f"the log takes no more appends: {reason}")
            failed.__cause__ = error
            return failed

        left = [admitted[0] for admitted in batch]
        with self._door:
            self._failure = failure
            while not self._queue.empty():
                admitted = self._queue.get()
                if admitted is not None:
                    left.append(admitted[0])
        for commit in left:
            commit.error = failure()
        self._hand_out(left)
        self._feed.end(failure())
        self.settled_count = self.put_count
        self.batch_done.set()


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


def _reason(error: BaseException) -> str:
    if isinstance(error, lmdb.MapFullError):
        return "its memory map is full, as large as this platform allows"
    code = getattr(error, "code", None) or getattr(error, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({error})"
    return f"it could not be written ({type(error).__name__}: {error})"


def _report(error: Exception) -> None:
    """Show an error that nobody can be told of otherwise."""
    thread = threading.current_thread()
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, thread))
    )


def _hand_out_here(commits: list[Commit]) -> None:
    """Settle what was not handed out: who waits in another thread must not wait for ever."""
    for commit in commits:
        try:
            commit.deliver()
        except Exception:  # noqa: BLE001  # its user's loop is closed
            continue
