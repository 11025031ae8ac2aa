"""The log of an owner.

How a crash leaves it is told in `writer.py`, its folder in `folder.py`, how it is taken in
`taking.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Final, Self, TypeAlias

from msgspec import UNSET, UnsetType

from outlive.events import failpoints
from outlive.events.clock import Clock, SystemClock
from outlive.events.codec import CODEC, Codec
from outlive.events.commit import Commit, Deliver, OpenEntry
from outlive.events.compaction import Compacted, Superseded
from outlive.events.errors import Fenced, LogClosed, LogError, LogFailed, OutliveError
from outlive.events.event import Event
from outlive.events.ids import Position, StreamId, Version
from outlive.events.lmdb_store.compactor import Compactor
from outlive.events.lmdb_store.durability import Durability, check_durability
from outlive.events.lmdb_store.inbox import commands
from outlive.events.lmdb_store.keeper import Keeper
from outlive.events.lmdb_store.listener import Listener
from outlive.events.lmdb_store.opened import LmdbReads, Opened
from outlive.events.lmdb_store.owner_lock import clear_drafts
from outlive.events.lmdb_store.seal import mark_at_rest
from outlive.events.lmdb_store.taking import LEASE_S, Taken, check_lease, take_folder
from outlive.events.lmdb_store.turn import Turn
from outlive.events.lmdb_store.wake import Bell, Wakers, clear_dead
from outlive.events.lmdb_store.write_lock import writer_stuck
from outlive.events.lmdb_store.writer import Writer
from outlive.events.store import admit
from outlive.events.submitted import Submitted

_PATIENCE_S: Final = 10.0


OnFailure: TypeAlias = Callable[[LogError], object]


class LmdbLog(LmdbReads):
    """An `EventLog` in a folder. Acknowledged = survives SIGKILL and, by default, power loss.

    Opening takes the folder for this process; a folder without a log gets one. Not for use in
    a process forked off after that.

    Args:
        path: the folder; made if it is not there.
        clock: tells when commits were recorded.
        codec: knows the event types.
        log_id: the id of a log that is made here; a digest of path, process and time if left
            out.
        durability: `sync`: what is acknowledged survives SIGKILL and power loss. `relaxed`: it
            survives SIGKILL; power loss may take the last commits, never what is before them
            or their wholeness. `close` flushes all of it.
        lease: seconds without a sign of life after which this owner may be taken for frozen,
            and another process may take over. At least 0.2.
        on_failure: see the method of that name; from the first instant.

    Raises:
        InvalidDefinition: a durability or lease that there is not.
        LogInUse: another process owns it, or this one has it open already.
        LogNotWritable: the folder cannot be made or written.
        CorruptLog: what is there is not what was written.
        NewerFormat: a later release wrote it. Nothing was touched.
        WriterStuck: another process is frozen while it writes; after 5 seconds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        codec: Codec = CODEC,
        log_id: str | None = None,
        durability: Durability = "sync",
        lease: float = LEASE_S,
        on_failure: OnFailure | None = None,
    ) -> None:
        check_lease(lease)
        check_durability(durability)
        clock = clock or SystemClock()
        self._begin(
            take_folder(path, clock=clock, codec=codec, log_id=log_id, durability=durability),
            clock,
            lease,
            on_failure,
        )

    @classmethod
    def of(
        cls, taken: Taken, *, clock: Clock, lease: float, on_failure: OnFailure | None = None
    ) -> Self:
        """Return the log of one that has taken over. For `LmdbVisitor.take_over`."""
        log = cls.__new__(cls)
        log._begin(taken, clock, lease, on_failure)  # noqa: SLF001  # of this very class
        return log

    def _begin(
        self, taken: Taken, clock: Clock, lease_s: float, on_failure: OnFailure | None
    ) -> None:
        opened = taken.opened
        super().__init__(opened)
        self._clock = clock
        self._lock = taken.lock
        self._epoch = taken.epoch
        self._clean = taken.clean
        self._failing = Lock()
        self._failure: LogError | None = None
        self._on_failure = on_failure
        self._wanted: Callable[[], bool] = lambda: True
        self._wakers = Wakers(opened.folder.wake)
        self._writer = Writer(
            opened,
            epoch=taken.epoch,
            wakers=self._wakers,
            ended=self._failed,
        )
        self._turn = Turn(self._writer)
        self._compacting = Lock()
        self._keeper = Keeper(
            taken.lock,
            opened.folder,
            taken.epoch,
            lease_s,
            lost=self._lost,
            waiting=lambda: self._writer.waiting,
            wanted=self._is_wanted,
        )
        self._listener: Listener | None = None
        self._keeper.start()
        clear_drafts(opened.folder.owner_lock)
        opened.offsets.clear_drafts()
        clear_dead(opened.folder.wake)
        opened.feed.read_again()  # What another owner wrote was pushed by whoever followed it.
        self._writer.start()

    @property
    def path(self) -> Path:
        """The log's folder."""
        return self._opened.folder.path

    @property
    def epoch(self) -> int:
        """This owner's number."""
        return self._epoch

    @property
    def clean(self) -> bool:
        """Whether the owner before closed in good order."""
        return self._clean

    @property
    def trouble(self) -> OutliveError | None:
        """Why nothing can be written for the time being. See `EventLog.trouble`."""
        return self._keeper.stuck or self._writer.parking.trouble

    def deliver_on(self, deliver: Deliver) -> None:
        """Run the callbacks of commits through `deliver` from now on."""
        self._writer.deliver = deliver

    def on_failure(self, callback: OnFailure) -> None:
        """Call `callback`, on another thread, when this owner cannot write any more.

        If that is so already, it is called at once. Followers are not ended as long as there is
        somebody to call: who is called may `step_down`, or close.
        """
        with self._failing:
            self._on_failure, failure = callback, self._failure
        if failure is not None:
            callback(failure)

    def keep_while(self, wanted: Callable[[], bool]) -> None:
        """Own the log for as long as `wanted` returns True; then fail, for others to take over.

        It is asked with each renewal of the lease, on another thread.
        """
        self._wanted = wanted

    def append(
        self,
        stream: StreamId,
        events: Sequence[Event],
        *,
        expected_version: Version,
        commit_id: bytes | None = None,
        cause: Position | str | None = None,
        correlation_id: str | None = None,
        command_id: str | None = None,
        reply: bytes | None = None,
        snapshot: bytes | UnsetType | None = None,
        entry: OpenEntry | UnsetType | None = UNSET,
    ) -> Commit:
        """Append events as one record, from any thread. See `EventLog.append`."""
        self._reading.check_process()
        if failpoints.armed:
            failpoints.hit("append.begun")
        commit = Commit(
            stream=stream,
            events=tuple(events),
            expected_version=expected_version,
            recorded_at_ns=self._clock.now_ns(),
            cause=cause,
            snapshot=snapshot,
            entry=entry,
        )
        if command_id is not None or reply is not None:
            commit.command_id, commit.reply = command_id, reply
        if commit_id is not None or correlation_id is not None:
            commit.commit_id, commit.correlation_id = commit_id, correlation_id
        admitted = admit(self._opened.codec, commit)
        if failpoints.armed:
            failpoints.hit("append.encoded")
        self._writer.put(admitted)
        if failpoints.armed:
            failpoints.hit("append.queued")
        self._turn.appended()
        return commit

    def on_submitted(self, callback: Callable[[list[Submitted]], None]) -> None:
        """Call `callback`, on another thread, with the commands in the inbox, each once.

        The first ones are those that were there before.
        """
        assert self._listener is None, "the inbox has one listener"

        def hand_over(found: list[Submitted]) -> None:
            self._wakers.look_again()  # Who has put them in waits for the replies.
            callback(found)

        self._listener = Listener(
            Bell(self._opened.folder.wake, owner=True),
            lambda after: self._reading.within(
                lambda txn: commands(txn, self._opened.tables, after=after)
            ),
            hand_over,
        )
        self._listener.start()

    def end_following(self, error: OutliveError) -> None:
        """Tell all followers that no more will come. For who was called by `on_failure`."""
        self._opened.feed.end(error)

    def _is_wanted(self) -> bool:
        return self._wanted()

    def _lost(self, error: OutliveError | None) -> None:
        """The keeper has found out that this process is no longer the owner."""
        current = self._epoch if error is not None else self._reading.epoch()
        self._writer.abandon(error or Fenced(self._epoch, current))

    def _failed(self, error: LogError) -> None:
        with self._failing:
            self._failure, callback = error, self._on_failure
        if callback is not None:
            callback(error)
        else:
            self._opened.feed.end(error)

    def step_down(self) -> Opened:
        """Let go of a log that this owner cannot write any more; what is open stays open.

        For one that was fenced, and goes on as a visitor. Not on the writer's own thread.
        """
        self._let_go()
        return self._opened

    def compact(self, *, before: datetime | None = None) -> Compacted:
        """Drop what is recorded twice. See `EventLog.compact`.

        Each transaction takes a few milliseconds, between which commits go on.
        """
        superseded = Superseded(before)
        with self._compacting:
            return Compactor(self._opened, self._epoch, superseded).run()

    def close(self) -> None:
        """Wait for what was appended, mark a clean end, end the followers. Twice is once.

        A log that is parked (`trouble`) does not wait: what it could not write fails with
        `LogFailed`, and is not in. Not from a callback that runs on the writer's own thread.

        Raises:
            WriterStuck: a frozen process keeps what was appended from being written; after
                10 seconds. The log stays open then.
        """
        if self._reading.in_fork:
            return  # All of it is the parent's.
        self._let_go()
        self._opened.feed.end(LogClosed("the log is closed"))
        self._reading.close()

    def _let_go(self) -> None:
        if self._listener is not None:
            self._listener.stop()
        if not self._writer.stop(_PATIENCE_S):
            raise writer_stuck(self._opened.folder)
        self._keeper.stop()
        self._wakers.close()
        if self._writer.ended_well:
            with suppress(LogFailed):
                self._opened.check_in_place()
                mark_at_rest(self._opened.folder.data_file)
        self._lock.release()
