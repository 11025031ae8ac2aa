"""What lies in the files of a log, and ways to leave them that a crash would."""

from __future__ import annotations

from pathlib import Path

import lmdb

from outlive.events.lmdb_store import LmdbLog
from outlive.events.lmdb_store.layout import CLEAN, Tables

DATA = Path("log", "data.mdb")


def rows(path: Path) -> dict[str, list[tuple[bytes, bytes]]]:
    """All rows of a log that nobody has open, by table."""
    with lmdb.Environment(str(path / "log"), readonly=True, max_dbs=16) as env:
        found: dict[str, list[tuple[bytes, bytes]]] = {}
        for name in Tables._fields:
            table = env.open_db(name.encode(), create=False)
            with env.begin() as txn, txn.cursor(table) as cursor:
                found[name] = list(cursor.iternext())
        return found


def stored_records(path: Path) -> list[bytes]:
    """The records, without their links, in the order of their positions."""
    return [row[8:] for _, row in rows(path)["log"]]


def write_row(path: Path, table: str, key: bytes, row: bytes) -> None:
    """Put a row into a log that nobody has open."""
    with lmdb.Environment(str(path / "log"), map_size=1 << 30, max_dbs=16) as env:
        handle = env.open_db(table.encode(), create=False)
        with env.begin(write=True) as txn:
            txn.put(key, row, db=handle)


def delete_row(path: Path, table: str, key: bytes) -> None:
    """Take a row out of a log that nobody has open."""
    with lmdb.Environment(str(path / "log"), map_size=1 << 30, max_dbs=16) as env:
        handle = env.open_db(table.encode(), create=False)
        with env.begin(write=True) as txn:
            assert txn.delete(key, db=handle)


def abandon(log: LmdbLog) -> None:
    """Close a log as the death of its process would leave it: without the clean mark."""
    path = log.path
    log.close()
    write_row(path, "meta", CLEAN, b"\0")
