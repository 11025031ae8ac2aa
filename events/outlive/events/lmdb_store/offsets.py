"""Saved offsets in an LMDB environment of their own, `offsets/` in the log's folder.

Saving takes that environment's write lock, never the log's: a reader that saves does not hold
up the writer, and may be in another process. It is made with the first offset that is saved,
under another name first: where `offsets/` stands, it is whole.

    key   BLAKE2b-256 of the name
    row   CRC-32 of key and content (4), then msgpack of its SavedOffset

It is small, so its pages are looked at each time it is opened, before LMDB reads them.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from hashlib import blake2b
from typing import Final, TypeVar

import lmdb
import msgspec

from outlive.events import failpoints
from outlive.events.errors import CorruptLog, LogClosed, LogNotWritable
from outlive.events.lmdb_store.folder import Folder
from outlive.events.lmdb_store.layout import DATA_FILE, open_environment, translated
from outlive.events.lmdb_store.opening import check_whole
from outlive.events.lmdb_store.space import reserve_lock_file
from outlive.events.lmdb_store.structure import named, structure_faults
from outlive.events.lmdb_store.sums import content_of, summed
from outlive.events.lmdb_store.write_lock import write_within
from outlive.events.offsets import SavedOffset, check_successor

T = TypeVar("T")

FOLDER: Final = "offsets"
_PATIENCE_S = 5.0
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(SavedOffset).decode


class LmdbOffsets:
    """An `OffsetStore` in a log's folder, for any thread of this process.

    `check_process` raises in a process that was forked off the one that opened the log.
    """

    def __init__(self, folder: Folder, check_process: Callable[[], None]) -> None:
        self._folder = folder
        self._path = folder.path / FOLDER
        self._check_process = check_process
        self._gate = threading.Condition()
        self._inside = 0
        self._env: lmdb.Environment | None = None
        self._failed = False
        self._closed = False

    def get(self, name: str) -> SavedOffset | None:
        """Return what was saved under a name. Raises LogError."""
        return self._within(lambda txn: _row(txn, name), write=False)

    def put(self, saved: SavedOffset, *, backwards: bool) -> None:
        """Save, durably. See `OffsetStore.put`. Raises LogError."""

        def work(txn: lmdb.Transaction[bytes]) -> None:
            before = _row(txn, saved.name)
            check_successor(before, saved, backwards=backwards)
            if before != saved:
                key = _key(saved.name)
                txn.put(key, summed(key, _encode(saved)))
            if failpoints.armed:
                failpoints.hit("offset.put")

        self._within(work, write=True, make=True)
        if failpoints.armed:
            failpoints.hit("offset.saved")

    def delete(self, name: str) -> bool:
        """Forget a name, durably; return whether it was known. Raises LogError."""
        return bool(self._within(lambda txn: txn.delete(_key(name)), write=True))

    def all(self) -> list[SavedOffset]:
        """Return all that was saved, by name. Raises LogError."""

        def work(txn: lmdb.Transaction[bytes]) -> list[SavedOffset]:
            with txn.cursor() as cursor:
                return [_decoded(key, row) for key, row in cursor.iternext()]

        return sorted(self._within(work, write=False) or [], key=lambda saved: saved.name)

    def clear_drafts(self) -> None:
        """Remove what processes left that died while they made the environment."""
        with self._gate:  # This process may be making one at this moment.
            for draft in self._path.parent.glob(f"{FOLDER}.*.new"):
                pid = draft.name.split(".")[1]
                if pid.isdecimal() and (int(pid) == os.getpid() or not _is_alive(int(pid))):
                    shutil.rmtree(draft, ignore_errors=True)

    def close(self) -> None:
        """Wait for who is in it, and let go of it. Twice is once.

        One that waits for a frozen process may stay in it: it lets go when it comes out.
        """
        with self._gate:
            self._closed = True
            if self._gate.wait_for(lambda: not self._inside, _PATIENCE_S):
                self._let_go()

    def _let_go(self) -> None:
        env, self._env = self._env, None
        self._failed = False
        if env is not None:
            env.close()

    def _within(
        self, work: Callable[[lmdb.Transaction[bytes]], T], *, write: bool, make: bool = False
    ) -> T | None:
        """Return what `work` finds; None where nothing was ever saved. Raises LogError."""
        self._check_process()  # First: a lock that was held while forking stays held.
        if not write:
            return self._transaction(work)

        def transaction(guarded: Callable[[lmdb.Transaction[bytes]], T | None]) -> T | None:
            return self._transaction(guarded, write=True, make=make)

        return write_within(
            transaction,
            work,
            folder=self._folder,
            environment=self._path,
            patience_s=_PATIENCE_S,
        )

    def _transaction(
        self,
        work: Callable[[lmdb.Transaction[bytes]], T],
        *,
        write: bool = False,
        make: bool = False,
    ) -> T | None:
        """Do it on this thread. Who reads does not wait for one that writes."""
        env = self._enter(make=make)
        if env is None:
            return None
        try:
            with env.begin(write=write) as txn:
                return work(txn)
        except lmdb.Error as error:
            # What is in the file is unknown after a failed commit: read it anew next time.
            self._failed = True
            raise translated(error, str(self._path)) from error
        finally:
            self._leave()

    def _enter(self, *, make: bool) -> lmdb.Environment | None:
        with self._gate:
            if self._closed:
                raise LogClosed("the log is closed")
            if self._env is None:
                if not (make or self._path.exists()):
                    return None
                self._env = self._open()
            self._inside += 1
            return self._env

    def _leave(self) -> None:
        with self._gate:
            self._inside -= 1
            if not self._inside:
                if self._closed or self._failed:
                    self._let_go()
                self._gate.notify_all()

    def _open(self) -> lmdb.Environment:
        if not self._path.exists():
            self._make()
        data_file = self._path / DATA_FILE
        faults = structure_faults(data_file, roots=False) if data_file.exists() else None
        if faults:
            raise CorruptLog(str(data_file), named(faults))
        env = open_environment(self._path, readonly=False)
        try:
            check_whole(env, data_file)
            env.reader_check()
        except BaseException:
            env.close()
            raise
        return env

    def _make(self) -> None:
        """Make the environment, whole or not at all; another process may be faster."""
        draft = self._path.with_name(f"{FOLDER}.{os.getpid()}.new")
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            reserve_lock_file(draft)
            open_environment(draft, readonly=False).close()
            try:
                draft.rename(self._path)
            except OSError:
                if not self._path.is_dir():
                    raise
            descriptor = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise LogNotWritable(str(self._path), error.strerror or str(error)) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    """Whether there is such a process: all that use the folder share one PID namespace."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _key(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def _row(txn: lmdb.Transaction[bytes], name: str) -> SavedOffset | None:
    key = _key(name)
    row = txn.get(key)
    return None if row is None else _decoded(key, row)


def _decoded(key: bytes, row: bytes) -> SavedOffset:
    content = content_of(key, row)
    if content is None:
        raise CorruptLog("a saved offset", "it is not what was saved")
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptLog("a saved offset", str(error)) from None
