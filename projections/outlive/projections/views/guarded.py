"""Opening an LMDB file that may be damaged, without handing a damaged one to LMDB.

LMDB trusts its file: a flipped bit in a page's header or in a pointer lets it read past the
map, and the process dies of SIGSEGV. For a file that can be made anew nobody should die, so it
is looked at before LMDB maps it:

1. After a clean end a checksum of the whole file stands beside it. That it still fits costs
   reading the file once (70 MB, the runs view of 100,000 runs: 55 ms).
2. Without one that fits, which is so after a crash, `lmdb.verify` walks the pages in pure
   Python: each page reachable once or free, its pointers within it, its keys in order (70 MB:
   1.6 s). Then rows cannot kill anybody, and each has a checksum over its key and value.

Who has passed this holds a lock until it closes the file, so another process that finds the
lock taken may open the file without looking. The lock is a record lock: no child inherits it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

import lmdb
import msgspec

from outlive.events.forks import kept_in_children
from outlive.projections.views.store import Damaged

DATA_FILE: Final = "data.mdb"
_CLEAN_FILE: Final = "clean.json"
_LOCK_FILE: Final = "owner.lock"
_MAP_BYTES: Final = 1 << 38
_LEAST_MAP_BYTES: Final = 1 << 22
MAX_READERS: Final = 512
_ENGINE: Final = 0  # LMDB 0.9, as the log
_CHUNK_BYTES: Final = 1 << 20
_TRIES: Final = 250
_PAUSE_S: Final = 0.002


class _Sum(msgspec.Struct, frozen=True):
    """The data file as a clean end left it."""

    size_bytes: int
    crc32: int


def look_at(folder: Path) -> bool:
    """Return whether the data file is as a clean end left it; else it was walked and is whole.

    Nobody may be writing it meanwhile.

    Raises:
        Damaged: LMDB must not open it.
    """
    data_file = folder / DATA_FILE
    with suppress(OSError, msgspec.DecodeError):
        left = msgspec.json.decode((folder / _CLEAN_FILE).read_bytes(), type=_Sum)
        if _sum(data_file) == left:
            return True
    try:
        problems = _walk(data_file)
    except Exception as error:  # noqa: BLE001  # whatever a walk over garbage stumbles upon
        raise Damaged(f"{str(data_file)!r} cannot be read: {error}") from None
    if problems:
        raise Damaged(f"{str(data_file)!r} is damaged: {problems[0]}")
    return False


def _walk(data_file: Path) -> list[str]:
    from lmdb.verify import (  # noqa: PLC0415  # after an unclean end only
        verify,  # pyright: ignore[reportUnknownVariableType]  # it has no types
    )

    problems: list[str] = verify(str(data_file), subdir=False)  # type: ignore[no-untyped-call]  # nor here
    return problems


def _sum(data_file: Path) -> _Sum:
    size_bytes = checksum = 0
    with data_file.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            size_bytes += len(chunk)
            checksum = crc32(chunk, checksum)
    return _Sum(size_bytes, checksum)


def note_clean(folder: Path) -> None:
    """Note the checksum of a data file that nobody has open for writing any more."""
    draft = folder / f"{_CLEAN_FILE}.new"
    draft.write_bytes(msgspec.json.encode(_sum(folder / DATA_FILE)))
    draft.replace(folder / _CLEAN_FILE)


def open_file(folder: Path, *, readonly: bool) -> lmdb.Environment:
    """Open an environment that was looked at, or a new one. Raises lmdb.Error."""
    map_bytes = _MAP_BYTES
    while True:
        try:
            env = lmdb.Environment(
                str(folder),
                map_size=map_bytes,
                readonly=readonly,
                create=not readonly,
                metasync=False,
                mode=0o644,
                max_readers=MAX_READERS,
                max_spare_txns=2,
                lib_version=_ENGINE,
            )
            return kept_in_children(env)
        except lmdb.MemoryError:
            if map_bytes <= _LEAST_MAP_BYTES:
                raise
            map_bytes //= 2


class FileLock:
    """Held by the one process that writes a file; set free by its death."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)

    def take(self) -> bool:
        """Take it; False if another process keeps it."""
        for _ in range(_TRIES):
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                threading.Event().wait(_PAUSE_S)  # It may only have been looked at.
            else:
                return True
        return False

    def release(self) -> None:
        """Let go. Twice is once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether another process holds the lock. Raises OSError."""
    descriptor = os.open(folder / _LOCK_FILE, os.O_RDONLY)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
