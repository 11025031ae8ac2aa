"""Whether LMDB may be given a data file as it is, or the file has to be looked at before.

LMDB trusts its file: one with a flipped bit can stop the process that reads it. Walking over
all pages from outside (structure.py) finds that out, and is too slow for each opening of a
large log. So those who write leave a note beside the file, `seal.json`, that tells what the
file was: which one, on which start of the machine, at which transaction, and either

- at rest: its size and times, as a clean end left them, or
- in use: from before the first write on.

What is not looked at is a file that is

- just as it was left at rest;
- in use by an owner that is alive: that one has looked;
- in use, without an owner, and large: the processes that had it were killed. What a process has
  written stays what it was when it is killed, so nothing but a fault of the machine or somebody
  who writes into the file can have damaged it. A small one is looked at all the same.

Everything else is looked at, whatever its size: what was copied or restored (another file, or an
earlier transaction), written from outside (other times; the time of the last change cannot be
set), and what was there before the machine was started: it may have lost power.

The note decides about looking only. It is not flushed, and one that lacks or is wrong costs a
walk. A write in the same tick of the file system's clock as the last one of ours would leave
the times as they were, so the file at rest is given a time of modification of its own.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from outlive.events.errors import CorruptLog, LogFailed
from outlive.events.lmdb_store.folder import META_PAGES_BYTES, Folder
from outlive.events.lmdb_store.owner_lock import boot_id, look_at_owner
from outlive.events.lmdb_store.structure import last_transaction, named, structure_faults
from outlive.events.logger import get_logger

_log = get_logger()

SMALL_BYTES: Final = 4 << 20
"""Up to this size a file is looked at unless it is at rest. Takes 20 ms at the most."""

_NAME: Final = "seal.json"


class _Rest(msgspec.Struct, frozen=True, kw_only=True):
    """A file that nobody has written since."""

    size_bytes: int
    modified_at_ns: int
    changed_at_ns: int


class _Seal(msgspec.Struct, frozen=True, kw_only=True):
    """What is noted of a data file."""

    boot_id: str
    device: int
    inode: int
    transaction: int
    rest: _Rest | None = None


def look_at(folder: Folder, *, alone: bool = False) -> bool:
    """See that LMDB may be given the data file. Return whether it had to be looked at.

    `alone`: this process holds the owner's lock.

    Raises:
        CorruptLog: it must not.
        LogFailed: it cannot be read.
    """
    data_file = folder.data_file
    try:
        found = data_file.stat()
        if found.st_size < META_PAGES_BYTES:
            return False  # There is no log yet, or the marker has told.
        if _is_known(folder, found, alone=alone):
            return False
        if found.st_size > SMALL_BYTES:
            _log.info("log_looked_at", path=str(data_file), size_bytes=found.st_size)
        faults = structure_faults(data_file)
    except FileNotFoundError:
        return False  # So is this.
    except OSError as error:
        raise LogFailed(f"the log in {str(folder.path)!r} cannot be read: {error}") from error
    if faults:
        raise CorruptLog(str(data_file), named(faults))
    return True


def mark_in_use(data_file: Path) -> None:
    """Note that the file is one of ours from here on, whatever it looks like. Before writing."""
    with suppress(OSError):
        found = data_file.stat()
        seal = _read(data_file)
        if seal is None or seal.rest is not None or not _is_of(seal, found, data_file):
            _write(data_file, found, None)


def mark_at_rest(data_file: Path) -> None:
    """Note what a clean end has left."""
    with suppress(OSError):
        found = data_file.stat()
        os.utime(data_file, ns=(found.st_atime_ns, found.st_mtime_ns - 1))
        found = data_file.stat()
        _write(data_file, found, _rest(found))


def _is_known(folder: Folder, found: os.stat_result, *, alone: bool) -> bool:
    """Whether the file can be nothing but what our processes have written."""
    seal = _read(folder.data_file)
    if seal is None or not _is_of(seal, found, folder.data_file):
        return False
    if seal.rest is not None:
        return seal.rest == _rest(found)
    owned = not alone and look_at_owner(folder.owner_lock)[0] != "none"
    return owned or found.st_size > SMALL_BYTES


def _is_of(seal: _Seal, found: os.stat_result, data_file: Path) -> bool:
    """Whether a note is of this file, on this start of the machine."""
    return (
        (seal.boot_id, seal.device, seal.inode) == (boot_id(), found.st_dev, found.st_ino)
        and seal.boot_id != ""
        and last_transaction(data_file) >= seal.transaction
    )


def _rest(found: os.stat_result) -> _Rest:
    return _Rest(
        size_bytes=found.st_size,
        modified_at_ns=found.st_mtime_ns,
        changed_at_ns=found.st_ctime_ns,
    )


def _read(data_file: Path) -> _Seal | None:
    try:
        return msgspec.json.decode(data_file.with_name(_NAME).read_bytes(), type=_Seal)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _write(data_file: Path, found: os.stat_result, rest: _Rest | None) -> None:
    seal = _Seal(
        boot_id=boot_id(),
        device=found.st_dev,
        inode=found.st_ino,
        transaction=last_transaction(data_file),
        rest=rest,
    )
    draft = data_file.with_name(f"{_NAME}.new")
    draft.write_bytes(msgspec.json.encode(seal))
    draft.replace(data_file.with_name(_NAME))
