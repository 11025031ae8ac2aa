"""Payloads that are too long for their record: kept once, under their digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlive.events import CorruptLog, ModelDelta, Version
from outlive.events.lmdb_store import LmdbLog, LmdbReader
from outlive.events.record import payload_digest
from outlive.events.sizes import MAX_INLINE_BYTES
from outlive.testing.log_contract.filling import NONE, A, B, C, Filler, delta, run, texts
from tests.events.chain import first_broken
from tests.events.lmdb_files import (
    appended_together,
    blob_problems,
    delete_row,
    rows,
    stored_records,
    write_row,
)

LONG = "x" * 100_000


def test_a_long_payload_is_stored_once_however_many_records_hold_it(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    a, b = Filler(log), Filler(log, B)
    a.append("1").result(5)
    a.append(LONG).result(5)
    appended_together(log, lambda: [a.append(LONG), b.append(LONG), b.append(LONG, "2")])
    log.close()

    records = stored_records(tmp_path)
    assert all(len(record) < 300 for record in records)
    assert first_broken(records) is None
    blobs = rows(tmp_path)["blobs"]
    assert sorted(int.from_bytes(row[:8], "big") for _, row in blobs) == [1, 3]
    assert all(key == payload_digest(row[8:]) for key, row in blobs)
    assert blob_problems(tmp_path) == []


def test_what_just_fits_is_kept_in_its_record(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    filler, around = Filler(log), len(log._opened.codec.encode(delta("x" * 65_000))) - 65_000  # pyright: ignore[reportPrivateUsage]
    for more in (0, 1):
        filler.append("x" * (MAX_INLINE_BYTES - around + more)).result(5)
    log.close()
    assert [len(record) > MAX_INLINE_BYTES for record in stored_records(tmp_path)] == [True, False]
    assert len(rows(tmp_path)["blobs"]) == 1


def test_readers_do_not_see_the_difference(tmp_path: Path) -> None:
    async def work() -> None:
        log = LmdbLog(tmp_path)
        follower = log.follow_all()
        filler = Filler(log)
        await filler.append("1")
        live = [await anext(follower)]
        commits = [filler.append(LONG + str(number)) for number in range(3)]
        for commit in commits:
            await commit
        live += [await anext(follower) for _ in commits]
        expected = ["1", *(LONG + str(number) for number in range(3))]
        assert texts(log.read(A)) == expected
        assert texts(log.read(A, after=Version(2), limit=1)) == expected[2:3]
        assert log.read_all() == live
        log.close()
        reader = LmdbReader(tmp_path)
        assert reader.read_all() == live
        assert texts(reader.read(A)) == expected
        assert texts([await anext(reader.follow(A, after=Version(1)))]) == expected[1:2]
        reader.close()

    run(work())


@pytest.mark.parametrize("damage", ["lacks", "bytes, and had", "not what was written"])
def test_a_payload_that_is_not_what_was_written_is_never_given_out(
    tmp_path: Path, damage: str
) -> None:
    log = LmdbLog(tmp_path)
    log.append(A, delta("fine"), expected_version=NONE).result(5)
    log.append(B, delta(LONG), expected_version=NONE).result(5)
    log.close()
    ((key, row),) = rows(tmp_path)["blobs"]
    if damage == "lacks":
        delete_row(tmp_path, "blobs", key)
    else:
        write_row(tmp_path, "blobs", key, row[:-1] if "bytes" in damage else row[:-1] + b"y")

    log = LmdbLog(tmp_path)
    with pytest.raises(CorruptLog, match=f"payload of record 2.*{damage}"):
        log.read(B)
    with pytest.raises(CorruptLog, match=damage):
        log.read_all()
    assert texts(log.read(A)) == ["fine"]
    # Writing goes on, that stream's too: what it follows is known from the record.
    log.append(B, delta("more"), expected_version=Version(1)).result(5)
    assert log.read(B, after=Version(1))[0].event == ModelDelta(text="more")
    # Stored again, it is whole again.
    log.append(C, delta(LONG), expected_version=NONE).result(5)
    assert texts(log.read(B)) == [LONG, "more"]
    log.close()
