"""What is checked before a log is read or taken over.

First, before a page is touched: is the data file as long as its pages? LMDB maps the file, and
reading a page beyond its end kills the process with SIGBUS. The length alone does not tell:
LMDB does not write a page that was taken and set free within one transaction, and if such a
page is the last one, the file is shorter than its last page number says, in good order. Then
every missing page is in the list of free pages, which is read here from the file itself, as
LMDB 0.9 lays it out.

Then the formats, of the store and of the last record, and whether the tables are this log's.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Final

import lmdb

from outlive.events.errors import CorruptLog, NewerFormat
from outlive.events.lmdb_store.folder import Folder, Marker
from outlive.events.lmdb_store.layout import STORE_FORMAT, Tables
from outlive.events.lmdb_store.meta import clean_of, epoch_of, format_of, log_id_of, submitted_of
from outlive.events.lmdb_store.rows import last_record
from outlive.events.record import split

if TYPE_CHECKING:
    from outlive.events.lmdb_store.layout import Txn

_MAGIC: Final = 0xBEEFC0DE
_NO_PAGE: Final = (1 << 64) - 1
_BRANCH, _LEAF, _BIG = 1, 2, 1
_HEADER_BYTES: Final = 16
_PAGE: Final = Struct("=10xHH")  # flags, end of the node pointers
_NODE: Final = Struct("=HHHH")  # low, high, flags, bytes of the key
_META: Final = Struct("=16xI20x48x48xQQ")  # magic, then last page and transaction
_FREE_ROOT_AT: Final = 16 + 24 + 40
_U16: Final = Struct("=H")
_U64: Final = Struct("=Q")


def check_whole(env: lmdb.Environment, data_file: Path) -> None:
    """Return if all pages in use are in the file.

    Raises:
        CorruptLog: some are not.
    """
    page_bytes = env.stat()["psize"]
    while True:
        known = env.info()
        there = data_file.stat().st_size // page_bytes
        missing = range(there, known["last_pgno"] + 1)
        if not missing or _all_free(data_file, page_bytes, missing):
            return
        if env.info()["last_txnid"] == known["last_txnid"]:
            raise CorruptLog(str(data_file), f"it is cut off: the last {len(missing)} pages lack")


def _all_free(data_file: Path, page_bytes: int, missing: range) -> bool:
    descriptor = os.open(data_file, os.O_RDONLY)
    try:
        free = _free_pages(descriptor, page_bytes)
    except (StructError, IndexError):
        return False  # The list of free pages is cut off itself.
    finally:
        os.close(descriptor)
    return all(page in free for page in missing)


def _free_pages(descriptor: int, page_bytes: int) -> set[int]:
    newest, root = -1, _NO_PAGE
    for number in (0, 1):
        page = os.pread(descriptor, page_bytes, number * page_bytes)
        magic, _, transaction = _META.unpack_from(page)
        if magic == _MAGIC and transaction > newest:
            newest, (root,) = transaction, _U64.unpack_from(page, _FREE_ROOT_AT)
    free: set[int] = set()
    seen = {_NO_PAGE}
    todo = [root]
    while todo:
        number = todo.pop()
        if number in seen:  # Pages that are damaged may lead in a circle.
            continue
        seen.add(number)
        page = os.pread(descriptor, page_bytes, number * page_bytes)
        flags, lower = _PAGE.unpack_from(page)
        for pointer in range(_HEADER_BYTES, lower, 2):
            (at,) = _U16.unpack_from(page, pointer)
            low, high, node_flags, key_bytes = _NODE.unpack_from(page, at)
            if flags & _BRANCH:
                todo.append(low | high << 16 | node_flags << 32)
            elif flags & _LEAF:
                data = page[at + 8 + key_bytes :]
                if node_flags & _BIG:
                    (first,) = _U64.unpack_from(data)
                    start = first * page_bytes + _HEADER_BYTES
                    data = os.pread(descriptor, low | high << 16, start)
                (count,) = _U64.unpack_from(data)
                free.update(_U64.unpack_from(data, 8 * i)[0] for i in range(1, count + 1))
    return free


def check_formats(txn: Txn, tables: Tables, folder: Folder, marker: Marker | None) -> None:
    """Return if this release can read what is in the tables.

    Raises:
        CorruptLog: they are not those that the marker means.
        NewerFormat: of the store, or of the last record.
    """
    found = format_of(txn, tables)
    if found > STORE_FORMAT:
        raise NewerFormat(f"the log in {str(folder.path)!r}", found, STORE_FORMAT)
    if not found or (marker is not None and marker.log_id != log_id_of(txn, tables)):
        raise CorruptLog(str(folder.data_file), "it does not belong to this log")
    epoch_of(txn, tables)
    clean_of(txn, tables)
    submitted_of(txn, tables)
    last = last_record(txn, tables)
    if last is not None:
        split(*last)
