"""Saved states in the files of a log: whatever becomes of them, they are a cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from outlive.events import LmdbLog, Position, Snapshot, Version
from outlive.events.snapshot import pack_snapshot, unpack_snapshot
from outlive.testing.log_contract.filling import A, delta
from tests.events.lmdb_files import rows, write_row

ROW = pack_snapshot(1, 3, 2, b"state")


def test_a_packed_snapshot_is_unpacked_again() -> None:
    assert unpack_snapshot(1, ROW) == Snapshot(Version(3), Position(2), b"state")


@pytest.mark.parametrize("at", range(len(ROW)))
def test_a_snapshot_with_a_changed_byte_is_none(at: int) -> None:
    changed = bytearray(ROW)
    changed[at] ^= 1
    assert unpack_snapshot(1, bytes(changed)) is None
    assert unpack_snapshot(1, ROW[:at]) is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"", "damaged"),
        (ROW[:-1], "damaged"),
        (pack_snapshot(2, 3, 1, b"another stream's"), "damaged"),
        (pack_snapshot(1, 4, 1, b"later"), "ahead of its stream"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_ignored_and_logged(
    tmp_path: Path, row: bytes, reason: str
) -> None:
    log = LmdbLog(tmp_path)
    log.append(A, delta("1", "2", "3"), expected_version=Version(0), snapshot=b"state").result(5)
    log.close()
    ((key, _),) = rows(tmp_path)["snapshots"]
    write_row(tmp_path, "snapshots", key, row)

    log = LmdbLog(tmp_path)
    with capture_logs() as entries:
        assert log.snapshot(A) is None
    assert [(entry["event"], entry["reason"]) for entry in entries] == [
        ("snapshot_ignored", reason)
    ]
    log.append(A, delta("4"), expected_version=Version(3), snapshot=b"new").result(5)
    found = log.snapshot(A)
    assert found is not None
    assert found.data == b"new"
    log.close()
