"""Becoming the owner: of a folder that is opened, or of one that is open.

Opening a folder, in this order, and what a crash between two steps leaves:

1. Read the marker. A log of a later release is refused here, before anything is touched.
2. Take the owner's lock. The kernel takes it back when the process dies.
3. Look at the data file from outside, unless it is known (`seal.py`). Open the environment, see
   that the data file has all its pages, read formats and the last record. Refusals up to here
   change nothing.
4. Note that the file is in use, for who finds it after a crash. Then one transaction: make the
   tables if this is a new log, raise the epoch, take the clean mark away. From here on an owner
   before, if it should still run, is fenced; and if this process dies, the next owner sees that
   it did.
5. Write the marker, if there was none. After a crash before that, a new log is begun anew or
   gets its marker now; it holds no events.

A visitor has done the first and third of these. It takes the lock, or makes one that takes the
place of a frozen owner's (`owner_lock.py`), and raises the epoch. Of an owner that was killed or
frozen within a transaction nothing is in.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from outlive.events import failpoints
from outlive.events.clock import Clock
from outlive.events.codec import Codec
from outlive.events.errors import InvalidDefinition, LogInUse
from outlive.events.lmdb_store import write_lock
from outlive.events.lmdb_store.durability import Durability
from outlive.events.lmdb_store.folder import Folder
from outlive.events.lmdb_store.layout import Tables, open_environment, open_tables
from outlive.events.lmdb_store.meta import (
    clean_of,
    epoch_of,
    log_id_of,
    make_meta,
    put_clean,
    put_epoch,
)
from outlive.events.lmdb_store.opened import Opened, checked
from outlive.events.lmdb_store.opening import check_formats
from outlive.events.lmdb_store.owner_lock import Lease, OwnerLock, check_namespace, look_at_owner
from outlive.events.lmdb_store.seal import look_at, mark_in_use
from outlive.events.lmdb_store.space import reserve_lock_file
from outlive.events.lmdb_store.write_lock import first_write, write_within
from outlive.events.values import digest

if TYPE_CHECKING:
    from outlive.events.lmdb_store.layout import Txn

LEASE_S: Final = 5.0
_LEAST_LEASE_S: Final = 0.2


class Taken(NamedTuple):
    """A log that this process owns from now on."""

    opened: Opened
    lock: OwnerLock
    epoch: int
    clean: bool


def check_lease(lease_s: float) -> None:
    """Raise InvalidDefinition unless an owner can renew such a lease in time."""
    number = type(lease_s) in (int, float)
    if not number or not _LEAST_LEASE_S <= lease_s <= 3_600:
        raise InvalidDefinition(f"a lease is {_LEAST_LEASE_S} to 3,600 seconds, not {lease_s!r}")


def take_folder(
    path: str | os.PathLike[str],
    *,
    clock: Clock,
    codec: Codec,
    log_id: str | None,
    durability: Durability,
) -> Taken:
    """Open the folder and own its log; make one if there is none. See `LmdbLog`."""
    folder = Folder(path)
    folder.marker()
    with ExitStack() as begun:
        folder.make()
        check_namespace(folder.owner_lock)
        lock = OwnerLock.take(folder.owner_lock)
        begun.callback(lock.release)
        if failpoints.armed:
            failpoints.hit("owner.locked")
        marker = folder.marker()  # Now that nobody else can make one.
        if marker is None:
            folder.clear_stillborn()
        look_at(folder, alone=True)
        reserve_lock_file(folder.environment)
        env = open_environment(folder.environment, readonly=False, durability=durability)
        with checked(env, folder) as unfinished:
            env.reader_check()
            new = marker is None and not env.stat()["entries"]

            def begin(txn: Txn) -> _Begun:
                if new:
                    id = log_id or _new_id(folder.path, clock)
                    mark_in_use(folder.data_file)
                    return _make(txn, open_tables(env, txn, create=True), id)
                tables = open_tables(env, txn)
                check_formats(txn, tables, folder, marker)
                mark_in_use(folder.data_file)
                return _Begun(tables, log_id_of(txn, tables), *_raise_epoch(txn, tables))

            found = first_write(env, begin, folder=folder, unfinished=unfinished)
            if marker is None:
                folder.write_marker(found.log_id)
        begun.pop_all()
    if failpoints.armed:
        failpoints.hit("owner.taken")
    opened = Opened(folder, env, found.tables, codec, found.log_id)
    return Taken(opened, lock, found.epoch, found.clean)


def take_over(opened: Opened) -> Taken:
    """Own a log that this process has open, after the death of its owner, or its freezing.

    Raises:
        LogInUse: it has an owner that is alive, or somebody else was first.
        WriterStuck: its owner, or another one, is frozen within a transaction.
        LogNotWritable: the owner's lock cannot be written.
        LogFailed: the folder was moved, deleted or replaced.
    """
    folder, tables = opened.folder, opened.tables
    state, lease = look_at_owner(folder.owner_lock)
    frozen: Lease | None = None
    if state == "frozen":
        assert lease is not None
        frozen, lock = lease, OwnerLock.instead_of(folder.owner_lock, lease)
    else:
        lock = OwnerLock.take(folder.owner_lock)
    if failpoints.armed:
        failpoints.hit("owner.locked")

    def begin(txn: Txn) -> tuple[int, bool]:
        opened.check_in_place()
        if frozen is not None:
            lock.put_in_place(frozen)
        elif not lock.in_place:
            raise LogInUse(str(folder.path), "another process was first")
        mark_in_use(folder.data_file)
        return _raise_epoch(txn, tables)

    try:
        epoch, clean = write_within(
            lambda work: opened.reading.within(work, write=True),
            begin,
            folder=folder,
            patience_s=write_lock.PATIENCE_S,
        )
    except BaseException:
        lock.release()
        raise
    if failpoints.armed:
        failpoints.hit("owner.taken")
    opened.env.reader_check()
    return Taken(opened, lock, epoch, clean)


class _Begun(NamedTuple):
    tables: Tables
    log_id: str
    epoch: int
    clean: bool


def _make(txn: Txn, tables: Tables, log_id: str) -> _Begun:
    make_meta(txn, tables, log_id)
    return _Begun(tables, log_id, *_raise_epoch(txn, tables))


def _raise_epoch(txn: Txn, tables: Tables) -> tuple[int, bool]:
    """Be the owner from here on; return its number, and whether the one before ended well."""
    if failpoints.armed:
        failpoints.hit("owner.raising")
    epoch, clean = epoch_of(txn, tables) + 1, clean_of(txn, tables)
    put_epoch(txn, tables, epoch)
    put_clean(txn, tables, clean=False)
    if failpoints.armed:
        failpoints.hit("owner.raised")
    return epoch, clean


def _new_id(path: Path, clock: Clock) -> str:
    return digest(str(path).encode(), b"%d" % os.getpid(), b"%d" % clock.now_ns())
