"""A view in a folder: rows and checkpoint in an LMDB environment of its own.

    <log>/views/<name>/<number>/data.mdb    the rows; `lock.mdb` is LMDB's
                                clean.json  checksum of the data file after a clean end
                                owner.lock  held by the process that writes it

    key 0          format, log id, name, version, checkpoint
    key 1, key     row; all rows end in a CRC-32 of their key and value (4 bytes)

A view is never repaired. One that is damaged, of another log or version, or locked by a process
that does not let go of it (a frozen one) stays as it is, and another one is begun under the
next number; readers in other processes go over to it when they see the number. Old ones are
removed. A process that wakes up too late finds its file gone, or another checkpoint in it than
the one that it has put there, and writes nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from zlib import crc32

import lmdb
import msgspec

from outlive.events import LogNotWritable, failpoints
from outlive.events.forks import Birthplace
from outlive.events.lmdb_store.long_readers import ReaderWatch
from outlive.events.lmdb_store.space import reserve_lock_file
from outlive.projections.views.guarded import (
    DATA_FILE,
    MAX_READERS,
    FileLock,
    is_held,
    look_at,
    note_clean,
    open_file,
)
from outlive.projections.views.store import Changes, Checkpoint, Damaged, Unusable

_FORMAT: Final = 1
_HEADER_KEY: Final = b"\0"
_ROW: Final = b"\1"
_AFTER_ROWS: Final = b"\2"
_SEAL_BYTES: Final = 4
_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)


class Identity(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whose view it is. Another one is no use."""

    log_id: str
    name: str
    version: int
    format: int = _FORMAT


class _Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    identity: Identity
    checkpoint: Checkpoint


_decode_header: Final = msgspec.msgpack.Decoder(_Header).decode


class ViewFile:
    """One environment, open: a `Store`. Made by `open_view` and `visit_view`."""

    def __init__(
        self, folder: Path, identity: Identity, *, readonly: bool, lock: FileLock | None = None
    ) -> None:
        self.folder: Final = folder
        self._made_in = Birthplace()
        self._identity = identity
        self._lock = lock
        with _translated(folder):
            self._env = open_file(folder, readonly=readonly)
            stat = os.stat(folder / DATA_FILE)
            self._inode, self._size_bytes = stat.st_ino, stat.st_size
            if not readonly:
                self._env.reader_check()
        # A visitor that is killed within a query keeps its snapshot, and the file grows.
        self._watch = ReaderWatch(self._env)
        self._written = False
        self._closed = False
        self._checkpoint = Checkpoint()
        self._still: lmdb.Transaction[bytes] | None = None  # what is read, while that stands still

    @property
    def checkpoint(self) -> Checkpoint:
        """How far it has got, as far as this process has seen."""
        return self._checkpoint

    @property
    def gone(self) -> bool:
        """Whether somebody has taken the file away, or put another one there.

        Raises:
            Damaged: it was cut off. Who reads it now is killed by SIGBUS.
        """
        try:
            stat = os.stat(self.folder / DATA_FILE)
        except OSError:
            return True
        if stat.st_ino == self._inode and stat.st_size < self._size_bytes:
            raise Damaged(f"{str(self.folder)!r} was cut off")
        return stat.st_ino != self._inode

    def begin(self) -> None:
        """Write the first header. Raises Unusable."""
        with _translated(self.folder), self._env.begin(write=True) as txn:
            txn.put(_HEADER_KEY, self._header(self._checkpoint))

    def load(self, *, all_rows: bool) -> None:
        """Read the header, and with `all_rows` see that no row is damaged. Raises Damaged."""
        with self._reading() as txn:
            data = txn.get(_HEADER_KEY)
            try:
                header = _decode_header(_opened(_HEADER_KEY, data))
            except msgspec.DecodeError as error:
                raise Damaged(f"{str(self.folder)!r} has no header: {error}") from None
            if header.identity != self._identity:
                raise Damaged(f"{str(self.folder)!r} is of another log or version")
            if all_rows:
                with txn.cursor() as cursor:
                    for key, row in cursor.iternext():
                        _opened(key, row)
            self._checkpoint = header.checkpoint

    @contextmanager
    def standing_still(self) -> Generator[None]:
        """In this `with`, read what is committed now, whatever its owner commits meanwhile.

        Raises:
            Damaged, Unusable: it is of no use any more.
        """
        with _translated(self.folder):
            self._still = self._env.begin()
        try:
            self.load(all_rows=False)
            yield
        finally:
            still, self._still = self._still, None
            still.abort()

    @contextmanager
    def _reading(self) -> Generator[lmdb.Transaction[bytes]]:
        with _translated(self.folder):
            if self._still is not None:
                yield self._still
            else:
                with self._env.begin() as txn:
                    yield txn

    def get(self, key: bytes) -> bytes | None:
        """Return a row. Raises Damaged."""
        key = _ROW + key
        with self._reading() as txn:
            row = txn.get(key)
            return None if row is None else _opened(key, row)

    def page(
        self, start: bytes, end: bytes | None, *, reverse: bool, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Return rows in the order of their keys. See `Base`. Raises Damaged."""
        first, last = _ROW + start, _AFTER_ROWS if end is None else _ROW + end
        found: list[tuple[bytes, bytes]] = []
        with self._reading() as txn, txn.cursor() as cursor:
            if reverse:
                there = cursor.prev() if cursor.set_range(last) else cursor.last()
                items = cursor.iterprev() if there else iter(())
            else:
                items = cursor.iternext() if cursor.set_range(first) else iter(())
            for key, row in items:
                if not first <= key < last or len(found) == limit:
                    break
                found.append((key[1:], _opened(key, row)))
        return found

    def commit(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Put and take out rows, and move the checkpoint. See `Store.commit`."""
        if self.gone:
            raise Damaged(f"{str(self.folder)!r} was taken away")
        puts = [(_ROW + key, _sealed(_ROW + key, row)) for key, row in changes if row is not None]
        with _translated(self.folder), self._env.begin(write=True) as txn:
            if txn.get(_HEADER_KEY) != self._header(self._checkpoint):
                raise Damaged(f"{str(self.folder)!r} was written by another process")
            if failpoints.armed:
                failpoints.hit("view.begun")
            if puts:
                with txn.cursor() as cursor:
                    cursor.putmulti(puts)
            for key, row in changes:
                if row is None:
                    txn.delete(_ROW + key)
            txn.put(_HEADER_KEY, self._header(checkpoint))
            if failpoints.armed:
                failpoints.hit("view.put")
        if failpoints.armed:
            failpoints.hit("view.committed")
        self._checkpoint = checkpoint
        self._written = True
        self._watch.after_commit()

    def _header(self, checkpoint: Checkpoint) -> bytes:
        return _sealed(_HEADER_KEY, msgspec.msgpack.encode(_Header(self._identity, checkpoint)))

    def close(self, *, clean: bool = True) -> None:
        """Let go of it; what was written is noted as whole if `clean`. Twice is once."""
        if self._closed or self._made_in.left:
            return  # Of a parent process: it is its own to close.
        self._closed = True
        self._env.close()
        try:
            if clean and self._written and not self.gone:
                note_clean(self.folder)
        except (OSError, Damaged):
            pass  # The next one to open it walks it.
        finally:
            if self._lock is not None:
                self._lock.release()


def open_view(folder: Path, identity: Identity, *, fresh: bool = False) -> tuple[ViewFile, str]:
    """Open the newest view in `folder` to go on with it, or begin one; with `fresh` begin one.

    Returns it, and why what was there was of no use; empty if it was, or if nothing was there.

    Raises:
        Unusable: the folder cannot be written.
    """
    try:
        _make_folder(folder.parent)
        _make_folder(folder)
        newest, why = _newest(folder), ""
        if newest is not None and not fresh:
            try:
                view = _go_on(newest, identity)
            except Damaged as error:
                why = str(error)
            else:
                _remove_others(folder, newest)
                return view, ""
        following = folder / str(1 if newest is None else int(newest.name) + 1)
        following.mkdir()
        try:
            view = _begin(following, identity)
        except BaseException:
            shutil.rmtree(following, ignore_errors=True)  # It will be tried again, and again.
            raise
        _remove_others(folder, following)
    except OSError as error:
        raise Unusable(f"{str(folder)!r}: {error.strerror or error}") from error
    return view, why


def _go_on(folder: Path, identity: Identity) -> ViewFile:
    with ExitStack() as undo:
        clean = look_at(folder)
        lock = FileLock(folder)
        undo.callback(lock.release)
        if not lock.take():
            raise Damaged(f"{str(folder)!r} is kept by another process")
        view = ViewFile(folder, identity, readonly=False, lock=lock)
        undo.callback(view.close, clean=False)
        view.load(all_rows=not clean)
        undo.pop_all()
    return view


def _begin(folder: Path, identity: Identity) -> ViewFile:
    with ExitStack() as undo:
        lock = FileLock(folder)
        undo.callback(lock.release)
        lock.take()
        try:
            reserve_lock_file(folder, readers=MAX_READERS)
        except LogNotWritable as error:
            raise Unusable(str(error)) from error
        view = ViewFile(folder, identity, readonly=False, lock=lock)
        undo.callback(view.close, clean=False)
        view.begin()
        undo.pop_all()
    return view


def seen(folder: Path) -> tuple[Path, tuple[int, int, int]] | None:
    """Return the newest view in `folder`, and what tells a change of its file."""
    newest = _newest(folder)
    if newest is None:
        return None
    try:
        stat = os.stat(newest / DATA_FILE)
    except OSError:
        return None
    return newest, (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def visit_view(newest: Path, identity: Identity) -> ViewFile:
    """Open a view to read it beside its owner. Changes nothing.

    Raises:
        Damaged, Unusable: it is of no use to this process, as it is now.
    """
    try:
        clean = is_held(newest) or look_at(newest)
    except OSError as error:
        raise Unusable(f"{str(newest)!r}: {error.strerror or error}") from error
    view = ViewFile(newest, identity, readonly=True)
    try:
        view.load(all_rows=not clean)
    except BaseException:
        view.close(clean=False)
        raise
    return view


def _newest(folder: Path) -> Path | None:
    try:
        numbers = [int(name) for name in os.listdir(folder) if name.isascii() and name.isdigit()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    return folder / str(max(numbers)) if numbers else None


def _make_folder(folder: Path) -> None:
    """Make a folder, also where something else is in its place."""
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        folder.unlink()
        folder.mkdir(exist_ok=True)


def _remove_others(folder: Path, kept: Path) -> None:
    for path in folder.iterdir():
        if path != kept:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _sealed(key: bytes, row: bytes) -> bytes:
    return row + crc32(row, crc32(key)).to_bytes(_SEAL_BYTES, "big")


def _opened(key: bytes, sealed: bytes | None) -> bytes:
    """Return a row without its checksum. Raises Damaged."""
    if sealed is None or len(sealed) < _SEAL_BYTES:
        raise Damaged("a row lacks")
    row = sealed[:-_SEAL_BYTES]
    if crc32(row, crc32(key)).to_bytes(_SEAL_BYTES, "big") != sealed[-_SEAL_BYTES:]:
        raise Damaged(f"the row {key!r} is not what was written")
    return row


@contextmanager
def _translated(folder: Path) -> Generator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise Damaged(f"{str(folder)!r}: {error}") from error
    except (lmdb.Error, OSError) as error:
        raise Unusable(f"{str(folder)!r}: {error}") from error
