"""Damage is found and named; nothing is guessed at, and no process dies of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import lmdb
import pytest

from outlive.events import CorruptLog, OpenEntry, Position, Version
from outlive.events.lmdb_store import LmdbLog, LmdbReader
from outlive.testing.log_contract.filling import A, B, Filler, delta, texts
from tests.events.chain import first_broken
from tests.events.lmdb_files import (
    DATA,
    appended_together,
    delete_row,
    rows,
    stored_records,
    write_row,
)
from tests.events.programs import Program

READ_EVERYTHING = """
    import sys
    from outlive.events import CorruptLog
    from outlive.events.lmdb_store import LmdbLog, LmdbReader
    for opened in (LmdbReader, LmdbLog):
        try:
            log = opened(sys.argv[1])
            print(len(log.read_all(limit=10_000)), log.head)
            log.close()
        except CorruptLog as error:
            print("corrupt", sys.argv[1] in str(error))
"""
"""In a process of its own: what is asked is also that reading does not kill it."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    log = LmdbLog(path)
    for stream in (A, B):
        filler = Filler(log, stream)
        for number in range(300):
            filler.append(str(number + 1)).result(5)  # one by one: each has a row of its own
    log.close()
    return path


@pytest.mark.parametrize("pages", [0, 0.5, 1, 2, 2.5, 3, 5, 10, -5, -2, -1, -0.001])
def test_a_file_that_was_cut_off_is_found_out_before_it_is_read(path: Path, pages: float) -> None:
    file = path / DATA
    size_bytes = file.stat().st_size
    os.truncate(file, int(pages * 4096) + (size_bytes if pages < 0 else 0))
    with Program(READ_EVERYTHING, path) as program:
        found = program.lines()
        assert program.end() == 0
    if pages < 0:
        # Unless the pages that lack hold nothing: then nothing may be missing.
        assert found in (["corrupt True"] * 2, ["600 600"] * 2)
    else:
        assert found == ["corrupt True"] * 2


def test_a_file_that_is_gone_is_not_taken_for_a_new_log(path: Path) -> None:
    (path / DATA).unlink()
    for opened in (LmdbLog, LmdbReader):
        with pytest.raises(CorruptLog, match=r"data\.mdb"):
            opened(path)


def test_a_file_of_something_else_is_found_out(path: Path) -> None:
    (path / DATA).write_bytes(b"something else. " * 10_000)
    for opened in (LmdbLog, LmdbReader):
        with pytest.raises(CorruptLog, match=r"data\.mdb"):
            opened(path)


def test_a_file_without_the_tables_is_found_out(path: Path, tmp_path: Path) -> None:
    with Program("import lmdb, sys; lmdb.open(sys.argv[1]).close()", tmp_path / "other") as program:
        assert program.end() == 0
    (path / DATA).write_bytes((tmp_path / "other" / "data.mdb").read_bytes())
    for opened in (LmdbLog, LmdbReader):
        with pytest.raises(CorruptLog, match="table"):
            opened(path)


def test_a_file_that_ends_before_a_free_page_is_whole(path: Path) -> None:
    """LMDB does not write a page that is set free in the transaction that took it."""
    with lmdb.Environment(str(path / "log"), map_size=1 << 30, max_dbs=16) as env:
        table = env.open_db(b"open", create=False)
        with env.begin(write=True) as txn:
            txn.put(b"large", bytes(1 << 20), db=table)
            txn.delete(b"large", db=table)
        assert (path / DATA).stat().st_size < env.info()["last_pgno"] * 4096
    with Program(READ_EVERYTHING, path) as program:
        assert program.lines() == ["600 600"] * 2


OPEN = OpenEntry(kind="run", status="running")


def test_a_flipped_bit_in_a_payload_breaks_the_chain_where_it_is(path: Path) -> None:
    file = path / DATA
    assert first_broken(stored_records(path)) is None
    data = bytearray(file.read_bytes())
    at = data.index(b"\xa4text\xa3123")  # the event with version 123
    data[at + 8] ^= 1
    file.write_bytes(data)
    broken = first_broken(stored_records(path))
    assert broken is not None
    reader = LmdbReader(path)
    (record,) = reader.read_all(after=Position(broken - 1), limit=1)
    assert texts(record.recorded()) == ["122"]
    reader.close()


Damage: TypeAlias = Callable[[bytes], bytes]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "cut in its header": (lambda row: row[:60], "cut off"),
    "cut in its link": (lambda row: row[:4], "link"),
    "linked to itself": (lambda row: (10).to_bytes(8, "big") + row[8:], "link"),
    "unknown flags": (lambda row: row[:9] + b"\x80" + row[10:], "flags"),
    "another count": (lambda row: row[:10] + b"\0\2" + row[12:], "does not belong"),
    "another payload": (lambda row: row[:-3] + b"\xc1" + row[-2:], "record 10"),
    "a link that leaves one out": (lambda row: (8).to_bytes(8, "big") + row[8:], "not belong"),
    "a link to nothing": (lambda row: bytes(8) + row[8:], "precedes"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_row_is_named_and_not_passed_over(path: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    key, row = rows(path)["log"][9]
    write_row(path, "log", key, damage(row))
    log = LmdbLog(path)
    with pytest.raises(CorruptLog, match=message):
        log.read(A)
    assert texts(log.read(B, limit=2)) == ["1", "2"]
    assert texts(log.read(A, after=Version(200), limit=2)) == ["201", "202"]
    log.close()


SHARED_DAMAGES: dict[str, tuple[Damage, str]] = {
    "cut at its end": (lambda row: row[:-1], "another length"),
    "cut in its table": (lambda row: row[:20], "cut off"),
    "cut in its head": (lambda row: row[:2], "cut off"),
    "fewer than there are": (lambda row: row[:1] + b"\0\1" + row[3:], "another length"),
    "more than there are": (lambda row: row[:1] + b"\xff\xff" + row[3:], "cut off|length"),
    "an end before its start": (lambda row: row[:3] + b"\xff" + row[4:], "link"),
    "another form": (lambda row: b"\3" + row[1:], "link|lacks"),
    "the form of a gap": (lambda row: b"\2" + row[1:], "gap"),
}


@pytest.mark.parametrize("name", SHARED_DAMAGES)
def test_a_damaged_row_of_several_records_is_named(tmp_path: Path, name: str) -> None:
    damage, message = SHARED_DAMAGES[name]
    log = LmdbLog(tmp_path)
    filler = Filler(log)
    appended_together(log, lambda: [filler.append("x") for _ in range(10)])
    filler.append("last").result(5)
    log.close()
    (key, row), _ = rows(tmp_path)["log"]
    write_row(tmp_path, "log", key, damage(row))
    log = LmdbLog(tmp_path)
    for read in (lambda: log.read(A, limit=5), log.read_all):
        with pytest.raises(CorruptLog, match=message):
            read()
    assert texts(log.read(A, after=Version(10))) == ["last"]
    log.close()


def test_a_record_that_lacks_is_named(path: Path) -> None:
    delete_row(path, "log", (10).to_bytes(8, "big"))
    log = LmdbLog(path)
    for read in (lambda: log.read(A), lambda: log.read_all(limit=20)):
        with pytest.raises(CorruptLog, match="record 10"):
            read()
    assert len(log.read_all(limit=9)) == 9
    log.close()


def test_a_stream_with_a_damaged_last_record_stands_still_and_the_others_go_on(path: Path) -> None:
    key, row = rows(path)["log"][299]
    write_row(path, "log", key, row[:30])
    log = LmdbLog(path)
    damaged = log.append(A, delta("x"), expected_version=Version(300), entry=OPEN)
    sound = log.append(B, delta("x"), expected_version=Version(300))
    with pytest.raises(CorruptLog, match="record 300"):
        damaged.result(5)
    assert sound.result(5).last_version == 301
    assert log.open_entries() == []
    log.close()


def test_an_open_row_that_cannot_be_decoded_is_named(path: Path) -> None:
    log = LmdbLog(path)
    log.append(A, [], expected_version=Version(300), entry=OPEN).result(5)
    log.close()
    write_row(path, "open", (1).to_bytes(8, "big"), b"\xc1")
    log = LmdbLog(path)
    for read in (log.open_entries, lambda: log.open_entry(A)):
        with pytest.raises(CorruptLog, match=A):
            read()
    log.close()
