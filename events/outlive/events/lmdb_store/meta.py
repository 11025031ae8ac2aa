"""The rows of `meta`: what a log says of itself.

All have a checksum (sums.py) but `format`, which every release must be able to read. None of
them may lack: one that does is damage, and no reason to begin with a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from outlive.events.errors import CorruptLog
from outlive.events.lmdb_store.layout import (
    CLEAN,
    EPOCH,
    FORMAT,
    LOG_ID,
    STORE_FORMAT,
    SUBMITTED,
    Tables,
    number_key,
)
from outlive.events.lmdb_store.sums import content_of, summed

if TYPE_CHECKING:
    from outlive.events.lmdb_store.layout import Txn

_FORMAT_BYTES: Final = 4
_NUMBER_BYTES: Final = 8
_YES: Final = b"\1"
_NO: Final = b"\0"
KEYS: Final = frozenset((FORMAT, LOG_ID, EPOCH, CLEAN, SUBMITTED))


def make_meta(txn: Txn, tables: Tables, log_id: str) -> None:
    """Put the rows of a log that nobody has owned yet."""
    txn.put(FORMAT, STORE_FORMAT.to_bytes(_FORMAT_BYTES, "big"), db=tables.meta)
    _put(txn, tables, LOG_ID, log_id.encode())
    put_epoch(txn, tables, 0)
    put_clean(txn, tables, clean=True)
    put_submitted(txn, tables, 0)


def format_of(txn: Txn, tables: Tables) -> int:
    """Return the store format; 0 if there is none."""
    return int.from_bytes(txn.get(FORMAT, b"", db=tables.meta), "big")


def log_id_of(txn: Txn, tables: Tables) -> str:
    """Return the log's name for itself. Raises CorruptLog."""
    try:
        return _get(txn, tables, LOG_ID).decode()
    except UnicodeDecodeError as error:
        raise CorruptLog("the log's id", str(error)) from None


def epoch_row(epoch: int) -> bytes:
    """Return the row that says that this is the owner's number."""
    return summed(EPOCH, number_key(epoch))


def epoch_of(txn: Txn, tables: Tables) -> int:
    """Return the number of the last owner. Raises CorruptLog."""
    return _number(txn, tables, EPOCH)


def put_epoch(txn: Txn, tables: Tables, epoch: int) -> None:
    """Make this the owner's number."""
    txn.put(EPOCH, epoch_row(epoch), db=tables.meta)


def clean_of(txn: Txn, tables: Tables) -> bool:
    """Return whether the last owner ended well. Raises CorruptLog."""
    found = _get(txn, tables, CLEAN)
    if found not in (_YES, _NO):
        raise _damaged(CLEAN)
    return found == _YES


def put_clean(txn: Txn, tables: Tables, *, clean: bool) -> None:
    """Say whether the owner has ended well."""
    _put(txn, tables, CLEAN, _YES if clean else _NO)


def submitted_of(txn: Txn, tables: Tables) -> int:
    """Return how many commands were ever put into the inbox. Raises CorruptLog."""
    return _number(txn, tables, SUBMITTED)


def put_submitted(txn: Txn, tables: Tables, number: int) -> None:
    """Say how many commands were ever put into the inbox."""
    _put(txn, tables, SUBMITTED, number_key(number))


def _put(txn: Txn, tables: Tables, key: bytes, content: bytes) -> None:
    txn.put(key, summed(key, content), db=tables.meta)


def _get(txn: Txn, tables: Tables, key: bytes) -> bytes:
    found = content_of(key, txn.get(key, db=tables.meta))
    if found is None:
        raise _damaged(key)
    return found


def _number(txn: Txn, tables: Tables, key: bytes) -> int:
    found = _get(txn, tables, key)
    if len(found) != _NUMBER_BYTES:
        raise _damaged(key)
    return int.from_bytes(found, "big")


def _damaged(key: bytes) -> CorruptLog:
    return CorruptLog(f"the row {key.decode()!r} of the table meta", "it is not what was written")
