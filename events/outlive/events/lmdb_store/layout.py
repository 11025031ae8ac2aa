"""The tables in the environment, store format 1. Numbers in keys and rows are big-endian.

    table    key                               row
    meta     `format`,                         4 bytes
             `log_id`, `epoch`,                *UTF-8; *8 bytes;
             `clean`, `submitted`              *1 byte; *commands ever put (8)
    log      position of the first one (8)     records with their links (rows.py), or a gap
                                               where compaction dropped some (gaps.py)
    streams  number (8)                        position of its last record (8), then its name
    ids      name                              number (8)
    entrances number (8), first version (8)    position (8)
    open     number (8)                        CRC-32 of name and entry (4), then
                                               the OpenEntry as msgpack
    blobs    digest of a payload (32)          how many records hold it (8), then the payload
    snapshots number (8)                       a saved state (outlive.events.snapshot)
    inbox    number in the order of arrival (8) *msgpack of a command from another process
    replies  the command's id                  *0, its number (8): it waits; or
                                               *1, answered at (8), then the reply
    expiries answered at (8), the command's id *nothing: replies by their age

* Before it comes the CRC-32 of key and content (sums.py).

A record's link is the position of the record before it in the same stream, 0 for the first.
Links and entrances may lead into a gap. The last record of a stream is never dropped.
A stream is read backwards from its last record, and `entrances` leads into the chain at
each record that holds a version divisible by 64. Against an index of every record, measured
with 50 streams at once, this writes a tenth of the bytes to disk where streams are long, and
takes 5 % less room where they are short.

The last commit id of a stream, and what its repeat is answered, are those of its last record.
Streams are numbered from 1, in the order in which they began.
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import lmdb

from outlive.events.errors import CorruptLog, LogError, LogFailed, LogInUse, LogNotWritable
from outlive.events.forks import inherited, kept_in_children
from outlive.events.lmdb_store.durability import Durability

STORE_FORMAT: Final = 1
STRIDE: Final = 64
FORMAT: Final = b"format"
LOG_ID: Final = b"log_id"
EPOCH: Final = b"epoch"
CLEAN: Final = b"clean"
SUBMITTED: Final = b"submitted"
DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock.mdb"

MAP_BYTES = 1 << 40
_LEAST_MAP_BYTES: Final = 1 << 20
MAX_READERS: Final = 1_024
_ENGINE: Final = 0  # LMDB 0.9; the binding holds another engine with another file format

if TYPE_CHECKING:
    Txn: TypeAlias = lmdb.Transaction[bytes] | lmdb.Transaction[memoryview]

_PAIR: Final = Struct(">QQ")


class Tables(NamedTuple):
    """Handles of the named databases."""

    meta: lmdb._Database
    log: lmdb._Database
    streams: lmdb._Database
    ids: lmdb._Database
    entrances: lmdb._Database
    open: lmdb._Database
    blobs: lmdb._Database
    snapshots: lmdb._Database
    inbox: lmdb._Database
    replies: lmdb._Database
    expiries: lmdb._Database


def number_key(number: int) -> bytes:
    """Return the key of a position or a stream's number."""
    return number.to_bytes(8, "big")


def entrance_key(number: int, version: int) -> bytes:
    """Return the key of a stream's version in `entrances`."""
    return _PAIR.pack(number, version)


def is_entrance(first_version: int, last_version: int) -> bool:
    """Whether a record of these versions has a row in `entrances`."""
    return (first_version - 1) // STRIDE != last_version // STRIDE


def open_environment(
    folder: Path, *, readonly: bool, lock: bool = True, durability: Durability = "sync"
) -> lmdb.Environment:
    """Open the environment in `folder`, with the largest map that the platform grants.

    Raises:
        CorruptLog: the data file is none of LMDB's.
        LogInUse: this process has it open already, or has inherited it by a fork.
        LogNotWritable: the files cannot be written.
        LogFailed: with `readonly`, the files cannot be read.
    """
    map_bytes = MAP_BYTES
    while True:
        try:
            env = lmdb.Environment(
                str(folder),
                map_size=map_bytes,
                readonly=readonly,
                create=not readonly,
                lock=lock,
                metasync=durability == "sync",
                mode=0o644,
                max_readers=MAX_READERS,
                max_dbs=len(Tables._fields),
                max_spare_txns=4,
                lib_version=_ENGINE,
            )
            return kept_in_children(env)
        except lmdb.MemoryError as error:
            if map_bytes <= _LEAST_MAP_BYTES:
                raise LogNotWritable(str(folder), f"no room for a memory map: {error}") from error
            map_bytes //= 2
        except lmdb.Error as error:
            if "already open" in str(error):
                owner = "the parent process" if inherited(folder) else "this process"
                raise LogInUse(str(folder.parent), owner) from None
            if isinstance(error, (lmdb.InvalidError, lmdb.VersionMismatchError)):
                raise CorruptLog(str(folder / DATA_FILE), str(error)) from error
            if readonly:
                raise LogFailed(f"the log in {str(folder)!r} cannot be opened: {error}") from error
            raise LogNotWritable(str(folder), str(error)) from error


def open_tables(env: lmdb.Environment, txn: Txn | None = None, *, create: bool = False) -> Tables:
    """Open, or create, the tables. Raises CorruptLog if one is missing.

    A handle that is opened in a read transaction ends with it: pass one that writes, or none.
    """
    try:
        return Tables(*(env.open_db(name.encode(), txn, create=create) for name in Tables._fields))
    except lmdb.NotFoundError:
        raise CorruptLog(env.path(), "a table is missing") from None


def translated(error: lmdb.Error, path: str) -> LogError:
    """Return what an error of LMDB means to those who read a log."""
    damaged = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.PanicError)
    if isinstance(error, damaged):
        return CorruptLog(path, str(error))
    if isinstance(error, lmdb.DiskError | lmdb.MapFullError):
        return LogNotWritable(path, str(error))
    return LogFailed(f"the log in {path!r} cannot be read: {error}")
