"""What lies in the files of a log, and ways to leave them that a crash would."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from struct import unpack_from

import lmdb

from outlive.events import Commit, Position, Version, run_stream
from outlive.events.commit import at_once
from outlive.events.lmdb_store import LmdbLog
from outlive.events.lmdb_store.layout import CLEAN, Tables
from outlive.events.lmdb_store.sums import summed
from outlive.events.record import BLOB, payload_digest, split

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
    return records_of(rows(path)["log"])


def records_of(table: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The records in the rows of `log`, without their links."""
    found: list[bytes] = []
    for key, row in table:
        assert int.from_bytes(key, "big") == len(found) + 1
        if row[0] == 0:
            found.append(row[8:])
            continue
        assert row[0] == 1
        (count,) = unpack_from(">H", row, 1)
        ends = (0, *unpack_from(f">{count}I", row, 3))
        parts = row[3 + 4 * count :]
        assert ends[-1] == len(parts)
        found += [parts[start + 8 : end] for start, end in pairwise(ends)]
    return found


def blob_problems(path: Path) -> list[str]:
    """What is wrong with the payloads that are kept apart, in a log that nobody has open."""
    holders: Counter[bytes] = Counter()
    for number, data in enumerate(stored_records(path), 1):
        raw = split(Position(number), data)
        if raw.flags & BLOB:
            holders[raw.digest] += 1
    blobs = dict(rows(path)["blobs"])
    problems = [f"{digest.hex()} lacks" for digest in holders if digest not in blobs]
    for digest, row in blobs.items():
        count = int.from_bytes(row[:8], "big")
        if count != holders[digest]:
            problems.append(f"{digest.hex()} says {count} holders, there are {holders[digest]}")
        if payload_digest(row[8:]) != digest:
            problems.append(f"{digest.hex()} is not its payload's digest")
    return problems


def appended_together(log: LmdbLog, append: Callable[[], list[Commit]]) -> list[Commit]:
    """Have the writer find all that `append` queues at once, and wait for it."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(deliver: Callable[[], None]) -> None:
        entered.set()
        go_on.wait(20)
        deliver()

    log.deliver_on(hold)
    log.append(run_stream("hold"), [], expected_version=Version(0))
    entered.wait(20)
    log.deliver_on(at_once)
    commits = append()
    go_on.set()
    for commit in commits:
        commit.result(20)
    return commits


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
    write_row(path, "meta", CLEAN, summed(CLEAN, b"\0"))
