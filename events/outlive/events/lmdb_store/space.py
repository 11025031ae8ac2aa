"""Room for what is to be written: on the disk, and in the memory map.

A write that fails because something is full can be done again later, and that is the only kind
that can. LMDB writes a transaction's pages first and the root that leads to them last, so what
was written before it failed belongs to nothing, and doing it again writes every page again.

LMDB tells a full disk in two ways. It passes the system's error on, or, when the system wrote
a part of what it was given, calls that an input/output error. What that one means is found out
by trying to write a little.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import lmdb

from outlive.events.errors import LogNotWritable
from outlive.events.lmdb_store import layout
from outlive.events.lmdb_store.reading import Reading

_PROBE_BYTES: Final = 1 << 20
_FULL: Final = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
_READER_BYTES: Final = 64
_LOCK_HEAD_BYTES: Final = 128


def lack_of_space(error: BaseException, folder: Path) -> str:
    """Return what is full, if a write in `folder` failed because of that; empty if not."""
    match error:
        case lmdb.MapFullError():
            return "its memory map is full, as large as this platform allows"
        case lmdb.Error(code=int(code)) | OSError(errno=int(code)):
            reason = _errno_of_writing(folder) if code == errno.EIO else code
        case _:
            return ""
    return _FULL.get(reason, "")


def may_be_lack(error: BaseException) -> bool:
    """Whether LMDB calls a disk that is full in the middle of a write so, too."""
    match error:
        case lmdb.Error(code=errno.EIO):
            return True
        case _:
            return False


def _errno_of_writing(folder: Path) -> int:
    """Return what the system says to another megabyte; 0 if it takes it."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            left = _PROBE_BYTES
            while left:  # A part may be written: then the next one fails.
                left -= file.write(bytes(left))
    except OSError as error:
        return error.errno or 0
    return 0


def grow(env: lmdb.Environment, reading: Reading) -> bool:
    """Double the memory map, if the platform grants it. Not within a transaction."""
    map_bytes = env.info()["map_size"]
    wanted = min(2 * map_bytes, layout.MAP_BYTES)
    if wanted <= map_bytes or not _granted(wanted):
        return False
    reading.resize(wanted)
    return True


def _granted(map_bytes: int) -> bool:
    """Whether the platform grants a map of that size.

    LMDB gives its map up before it asks for another one, and cannot do without.
    """
    with suppress(OSError, ValueError, OverflowError, MemoryError):
        mmap.mmap(-1, map_bytes, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ).close()
        return True
    return False


def reserve_lock_file(environment: Path, *, readers: int = layout.MAX_READERS) -> None:
    """Make LMDB's table of so many readers, with all its room on the disk.

    LMDB maps the file and leaves it full of holes. A reader that fills one when the disk is
    full would be killed by the system, with its process. Only where there is no file yet:
    opening and closing it would take LMDB's own locks away.

    Raises:
        LogNotWritable: it cannot be written.
    """
    path = environment / layout.LOCK_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return
    except OSError as error:
        raise LogNotWritable(str(environment), error.strerror or str(error)) from error
    try:
        # No more than LMDB gives it: a larger file would have room for more of them.
        left = _READER_BYTES * readers + _LOCK_HEAD_BYTES
        while left:
            left -= os.write(descriptor, bytes(left))
    except OSError as error:
        path.unlink()
        raise LogNotWritable(str(environment), error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
