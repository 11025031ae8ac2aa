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

A commit that fails for lack of space waits and is tried again (`space.py`, `parking.py`): LMDB
has given up its transaction, and doing it again writes every page of it again. Before that the
log's end is looked at: it must be the one we know.

Of a parked log, an input/output error on a disk with room is tried again too, once: LMDB calls
it that when the disk was full in the middle of a write, and space may have been freed before
anybody could look. The same holds for that try: every page of it is written again.

A commit that fails in any other way is not tried again. A flush that failed once may succeed
the second time without having written anything, as the kernel has forgotten the pages. What
LMDB holds is unknown to us then, also whether the batch is in. So that is the end of this
writer: the batch and all that follows fail with `LogFailed`, followers end. Opening the log
again finds what was acknowledged, and an append repeated with its commit id finds out whether
it had been in.

Another owner is found out by the epoch: it is read in each write transaction, and no other
process can write between that and our commit. So the batch of an owner that was thought dead
is not written at all, however late it wakes up.

The thread gives up the GIL at each of LMDB's calls. Beside a thread that computes, getting it
back takes milliseconds, so calls are counted here, not only microseconds: a stream's end is
written once a batch, and what a batch knows of its streams is in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

import lmdb

from outlive.events import failpoints
from outlive.events.commit import Commit, Committed, Deliver, at_once, deliver_all
from outlive.events.errors import Fenced, LogClosed, LogError, LogFailed
from outlive.events.lmdb_store.batch import Answer, BatchWriter, Written
from outlive.events.lmdb_store.long_readers import ReaderWatch
from outlive.events.lmdb_store.opened import Opened
from outlive.events.lmdb_store.parking import Parking
from outlive.events.lmdb_store.space import grow, lack_of_space, may_be_lack
from outlive.events.lmdb_store.wake import Wakers
from outlive.events.record import Record
from outlive.events.store import Admitted

MAX_BATCH_COMMITS: Final = 1_024
MAX_BATCH_BYTES: Final = 8 << 20


class Writer:
    """Owns the write side of an open environment, from `start` to `stop`.

    `ended` is told, on the writer's thread, when it cannot go on.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        epoch: int,
        wakers: Wakers,
        ended: Callable[[LogError], None],
    ) -> None:
        self._env = opened.env
        self._reading = opened.reading
        self._folder = opened.folder.environment
        self._batches = BatchWriter(
            opened.env,
            opened.tables,
            epoch=epoch,
            schema=opened.codec.schema,
            on_flush=opened.feed.lull,
        )
        self._epoch = epoch
        self._feed = opened.feed
        self._wakers = wakers
        self._watch = ReaderWatch(opened.env)
        self._ended = ended
        self._queue: SimpleQueue[Admitted | Exception | None] = SimpleQueue()
        self._door = threading.Lock()  # between `put` and the end
        self._failure: Callable[[], LogError] | None = None
        self._closing = False
        self._abandoned: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="outlive-writer", daemon=True)
        self.parking = Parking(opened.folder.path)
        self.deliver: Deliver = at_once
        self.put_count = 0
        self.settled_count = 0
        self.batch_done = threading.Event()

    @property
    def flushing(self) -> bool:
        """Whether a batch is on its way to the disk, for which the writer needs no GIL."""
        return self._batches.flushing

    @property
    def ended_well(self) -> bool:
        """Whether everything was written. For after `stop`."""
        return self._failure is None

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
                if self.parking.reason:
                    self.parking.hurry()
                return
            failure = self._failure()
        commit = admitted[0]
        commit.error = failure
        self._hand_out([commit])

    @property
    def waiting(self) -> int | None:
        """The number of the transaction that waits for the write lock, if one does."""
        return self._batches.waiting

    def abandon(self, error: Exception) -> None:
        """End it with this error, as if a commit had failed with it. From any thread."""
        self._abandoned = error
        self._queue.put(error)
        self.parking.hurry()

    def stop(self, patience_s: float) -> bool:
        """Let what is queued become durable, mark a clean end, and end the thread.

        Where there is no space for it, it fails. Returns False if it has waited for the write
        lock for so many seconds; then the thread goes on waiting.
        """
        assert threading.current_thread() is not self._thread, "the writer cannot wait for itself"
        with self._door:
            closing, self._closing = self._closing, True
        if not closing:
            self._queue.put(None)
            self.parking.end()
        while True:
            waiting = self.waiting
            self._thread.join(patience_s)
            if not self._thread.is_alive():
                return True
            if waiting is not None and waiting == self.waiting:
                return False

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
            if not self._env.flags()["metasync"]:
                self._env.sync(True)  # The last root may be with the system alone.
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
            if isinstance(admitted, Exception):
                raise admitted
            batch.append(admitted)
            size_bytes += len(admitted[0].payload)
            if queue.empty() or len(batch) == MAX_BATCH_COMMITS or size_bytes > MAX_BATCH_BYTES:
                return True

    def _process(self, batch: list[Admitted]) -> None:
        answers, written = self._write(batch)
        if failpoints.armed:
            failpoints.hit("batch.committed")
        commits = [admitted[0] for admitted in batch]
        for commit, answer in zip(commits, answers, strict=True):
            if isinstance(answer, Committed):
                commit.outcome = answer
            else:
                commit.error = answer
        batch.clear()
        self._hand_out(commits)
        if failpoints.armed:
            failpoints.hit("batch.answered")
        if written and self._feed.followed:
            self._publish(written)
        if failpoints.armed:
            failpoints.hit("batch.published")
        if written and self._wakers.ring():
            self._env.reader_check()  # The dead one may have been reading: free its snapshot.
        if failpoints.armed:
            failpoints.hit("batch.rung")
        self._watch.after_commit()
        self.settled_count += len(commits)
        self.batch_done.set()

    def _write(self, batch: list[Admitted]) -> tuple[list[Answer], list[Written]]:
        """Write a batch; keep it for as long as there is no space."""
        doubted = False
        while True:
            try:
                found = self._batches.write(batch)
            except (lmdb.Error, OSError) as error:
                reason = lack_of_space(error, self._folder)
                if reason:
                    doubted = False
                elif may_be_lack(error) and not doubted:
                    doubted, reason = True, self.parking.reason
                    self.parking.hurry()
                if not reason:
                    raise
                self._batches.begin_again()
                if isinstance(error, lmdb.MapFullError) and grow(self._env, self._reading):
                    continue
                if self._abandoned is not None:
                    raise self._abandoned from error
                if self._closing:
                    raise LogFailed(
                        f"the log was closed while {reason}: what it has not acknowledged is not in"
                    ) from error
                self.parking.wait(reason)
            else:
                self.parking.over()
                return found

    def _mark_clean(self) -> None:
        try:
            self._batches.mark_clean()
        except (lmdb.Error, OSError) as error:
            # Without the mark the next owner looks after runs as after a crash: nothing is lost.
            if not lack_of_space(error, self._folder):
                raise

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

    def _publish(self, written: list[Written]) -> None:
        wants = self._feed.wants
        records: list[Record] = []
        sizes: list[int] = []
        for commit, answer, commit_id, hash in written:
            if wants(commit.stream):
                records.append(
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
                )
                sizes.append(len(commit.payload))
        if records:
            self._feed.publish(records, sizes)

    def _fail(self, batch: list[Admitted], error: BaseException) -> None:
        """End it: settle the batch, all that is queued, and all that comes."""
        reason = _reason(error)

        def failure() -> LogError:
            if isinstance(error, Fenced):
                return Fenced(error.epoch, error.current)
            failed = LogFailed(reason)
            failed.__cause__ = error.__cause__ if isinstance(error, LogFailed) else error
            return failed

        left = [admitted[0] for admitted in batch]
        with self._door:
            self._failure = failure
            while not self._queue.empty():
                admitted = self._queue.get()
                if isinstance(admitted, tuple):
                    left.append(admitted[0])
        for commit in left:
            commit.error = failure()
        self._hand_out(left)
        self._ended(failure())
        self.settled_count = self.put_count
        self.batch_done.set()


def _reason(error: BaseException) -> str:
    if isinstance(error, LogFailed):
        return str(error)
    return (
        f"the log takes no more appends: it could not be written ({type(error).__name__}: {error})"
    )


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
