"""A process that does not own the log, and acts all the same: through the inbox."""

from __future__ import annotations

import os
from typing import Final, Self

import lmdb

from outlive.events import failpoints
from outlive.events.clock import Clock, SystemClock
from outlive.events.codec import CODEC, Codec
from outlive.events.errors import (
    EventTooLarge,
    LogError,
    LogParked,
    OutliveError,
    UnserialisableValue,
)
from outlive.events.ids import StreamId
from outlive.events.lmdb_store.durability import Durability, check_durability
from outlive.events.lmdb_store.inbox import put_command, reply_to, waits
from outlive.events.lmdb_store.log import LmdbLog, OnFailure
from outlive.events.lmdb_store.opened import Opened
from outlive.events.lmdb_store.owner_lock import OwnerState, look_at_owner
from outlive.events.lmdb_store.reader import LmdbFollower, open_folder
from outlive.events.lmdb_store.seal import mark_in_use
from outlive.events.lmdb_store.space import lack_of_space
from outlive.events.lmdb_store.taking import LEASE_S, check_lease, take_over
from outlive.events.lmdb_store.wake import Wakers
from outlive.events.lmdb_store.write_lock import write_within
from outlive.events.sizes import MAX_PAYLOAD_BYTES
from outlive.events.store import check_command_id, check_stream
from outlive.events.submitted import Submitted

_PATIENCE_S: Final = 2.0


class LmdbVisitor(LmdbFollower):
    """A `LogReader` that can put commands into the owner's inbox, and become the owner.

    Not for use in a process forked off after opening. `durability` is that of what it submits,
    and of what it appends once it is the owner. Raises what `LmdbReader` raises, and

        LogNotWritable: the folder cannot be written.
        WriterStuck: a process is frozen while it writes; after 5 seconds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        codec: Codec = CODEC,
        durability: Durability = "sync",
    ) -> None:
        check_durability(durability)
        super().__init__(open_folder(path, codec, readonly=False, durability=durability))
        self._start(clock or SystemClock())

    @classmethod
    def of(cls, opened: Opened, *, clock: Clock) -> Self:
        """Return the visitor that an owner has become. See `LmdbLog.step_down`."""
        visitor = cls.__new__(cls)
        LmdbFollower.__init__(visitor, opened)
        visitor._start(clock)  # noqa: SLF001  # of this very class
        visitor._go_on_following()  # noqa: SLF001
        return visitor

    def _start(self, clock: Clock) -> None:
        self._clock = clock
        self._wakers = Wakers(self._opened.folder.wake, owner=True)

    def owner(self) -> OwnerState:
        """Return whether the log has an owner now: `none`, `alive` or `frozen`."""
        return look_at_owner(self._opened.folder.owner_lock)[0]

    def submit(self, command_id: str, stream: StreamId, data: bytes) -> None:
        """Put a command into the inbox, durably. The same id again changes nothing. Blocks.

        Args:
            command_id: drawn by the caller, up to 200 bytes.
            stream: the entity that it is meant for.
            data: what the owner is to be told, up to 64 MiB.

        Raises:
            InvalidId, EventTooLarge: the owner could do nothing with it. Nothing was put.
            WriterStuck: a frozen process keeps all others from writing; nothing was put.
            LogParked: there is no space for it; nothing was put.
            LogFailed: it could not be written; whether it is in is unknown: put it again. Or
                the folder was moved, deleted or replaced; then it is not.
        """
        check_command_id(command_id)
        check_stream(stream)
        if type(data) is not bytes:
            raise UnserialisableValue(f"a command is bytes, not {type(data).__name__}")
        if len(data) > MAX_PAYLOAD_BYTES:
            raise EventTooLarge(len(data), MAX_PAYLOAD_BYTES)
        command = Submitted(
            command_id=command_id,
            stream=stream,
            data=data,
            submitted_at_ns=self._clock.now_ns(),
        )

        def put(txn: lmdb.Transaction[memoryview]) -> None:
            self._opened.check_in_place()
            mark_in_use(self._opened.folder.data_file)
            put_command(txn, self._opened.tables, command)
            if failpoints.armed:
                failpoints.hit("command.put")

        folder = self._opened.folder
        try:
            write_within(
                lambda work: self._reading.within(work, write=True),
                put,
                folder=folder,
                patience_s=_PATIENCE_S,
            )
        except LogError as error:
            reason = lack_of_space(error.__cause__ or error, folder.path)
            if reason:
                raise LogParked(str(folder.path), reason) from error
            raise
        if failpoints.armed:
            failpoints.hit("command.committed")
        self._wakers.ring()
        if failpoints.armed:
            failpoints.hit("command.rung")

    def reply(self, command_id: str) -> bytes | None:
        """Return the owner's reply; None while the command waits, and after 24 hours.

        Raises:
            CorruptLog: it is not what the owner stored.
        """
        return self._reading.within(lambda txn: reply_to(txn, self._opened.tables, command_id))

    def waits(self, command_id: str) -> bool:
        """Whether the command is still in the inbox. Raises CorruptLog."""
        return self._reading.within(lambda txn: waits(txn, self._opened.tables, command_id))

    def take_over(self, *, lease: float = LEASE_S, on_failure: OnFailure | None = None) -> LmdbLog:
        """Become the owner. Blocks. This visitor is done then; who follows it goes on.

        `lease` and `on_failure` are those of an `LmdbLog`.

        Raises:
            LogInUse: there is an owner, and it is alive; or another process was first.
            LogFailed: the folder was moved, deleted or replaced.
            WriterStuck: a process is frozen while it writes. Let it go on, or kill it.
        """
        check_lease(lease)
        taken = take_over(self._opened)
        try:
            self._stop_polling()
            self._wakers.close()
            return LmdbLog.of(taken, clock=self._clock, lease=lease, on_failure=on_failure)
        except BaseException:
            taken.lock.release()
            self._begin_polling_again()
            self._start(self._clock)
            self._go_on_following()
            raise

    def close(self) -> None:
        """End the followers and let go of the log. Twice is once."""
        if self._reading.in_fork:
            return  # All of it is the parent's.
        super().close()
        self._wakers.close()

    def _go_on_following(self) -> None:
        try:
            self._keep_polling()
        except OutliveError as error:
            self._opened.feed.end(error)
        self._opened.feed.read_again()
