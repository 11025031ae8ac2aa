"""`verify` answers ok, ok with gaps, or bad at a position, with the reason."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from outlive.events import (
    Fenced,
    LmdbLog,
    LogNotFound,
    NewerFormat,
    OpenEntry,
    Position,
    StreamId,
    Verification,
    Version,
    run_stream,
    verify,
)
from outlive.events.lmdb_store import walk as walk_module
from outlive.events.lmdb_store.meta import epoch_row
from outlive.events.lmdb_store.sums import summed
from outlive.events.lmdb_store.verify import verify_here
from outlive.events.record import GENESIS, link_hash, payload_digest, split
from outlive.testing.log_contract.filling import NONE, RUNNING, A, B, C, Filler, delta
from tests.events.lmdb_files import (
    DATA,
    appended_together,
    delete_row,
    rows,
    stored_records,
    write_row,
)

Rows: TypeAlias = list[tuple[bytes, bytes]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """100 records, A and B in turn, each with a row of its own; C has only a row when open."""
    path = tmp_path / "log"
    log = LmdbLog(path)
    fillers = {stream: Filler(log, stream) for stream in (A, B)}
    for number in range(50):
        for stream, filler in fillers.items():
            filler.append(f"{number} of {stream}").result(5)
    log.append(A, [], expected_version=Version(50), entry=RUNNING).result(5)
    log.append(C, [], expected_version=NONE, entry=RUNNING).result(5)
    log.close()
    return path


def key(position: int) -> bytes:
    return position.to_bytes(8, "big")


def damage_row(path: Path, position: int, change: Callable[[bytes], bytes]) -> None:
    """Change the row of a record: link, then record."""
    row_key, row = rows(path)["log"][position - 1]
    assert row_key == key(position)
    write_row(path, "log", row_key, change(row))


def rehashed(row: bytes, position: int, before: bytes) -> bytes:
    """The row of a record with the hash that its content has behind `before`."""
    raw = split(Position(position), row[8:])
    hash = link_hash(before, position, raw.header, payload_digest(raw.payload))
    return row[:8] + raw.header + hash + raw.payload


def hashes(path: Path) -> list[bytes]:
    """The hashes of all records, behind that of the beginning."""
    stored = enumerate(stored_records(path), 1)
    return [GENESIS, *(split(Position(position), data).hash for position, data in stored)]


def bad(path: Path) -> tuple[int | None, str]:
    found = verify_here(path)
    assert found.status == "bad"
    assert not found.ok
    return found.position, found.reason


def test_a_log_as_it_was_written_is_ok(path: Path) -> None:
    head = hashes(path)[-1].hex()
    assert verify(path) == Verification(
        status="ok",
        records=100,
        events=100,
        streams=3,
        head=Position(100),
        head_hash=head,
        structure_checked=True,
    )


def test_a_log_without_records_is_ok(tmp_path: Path) -> None:
    LmdbLog(tmp_path).close()
    found = verify(tmp_path)
    assert (found.status, found.head, found.records) == ("ok", 0, 0)


def test_records_that_share_a_row_and_commits_of_many_events_are_walked_over(
    tmp_path: Path,
) -> None:
    log = LmdbLog(tmp_path)
    one, other = Filler(log, A), Filler(log, B)
    appended_together(
        log,
        lambda: [
            (one if number % 3 else other).append(*["x" * number] * (number % 7 + 1))
            for number in range(300)
        ],
    )
    log.append(
        A,
        delta(*"x" * 200),
        expected_version=log.version(A),
        cause="m",
        correlation_id="c",
    ).result(5)
    log.close()
    found = verify_here(tmp_path)
    assert (found.status, found.records, found.streams) == ("ok", 301, 2)
    assert found.events == sum(number % 7 + 1 for number in range(300)) + 200


def test_a_log_is_verified_beside_its_owner_in_the_same_process(path: Path) -> None:
    log = LmdbLog(path)
    log.append(A, delta("more"), expected_version=Version(50)).result(5)
    found = verify(path)
    assert (found.status, found.head) == ("ok", 101)
    log.append(A, delta("more"), expected_version=Version(51)).result(5)
    log.close()


def test_a_walk_in_many_parts_sees_what_is_appended_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_module, "PART_RECORDS", 7)
    log = LmdbLog(path)
    filler, walk = Filler(log, A), walk_module.Walk(log._opened.tables)
    appended = 0
    while log._reading.within(walk.part):
        if appended < 10:
            filler.append("more", "and more").result(5)
            appended += 1
    log.close()
    assert (walk.position, walk.records, walk.events) == (110, 110, 120)


def test_there_must_be_a_log(tmp_path: Path) -> None:
    with pytest.raises(LogNotFound):
        verify(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_log_of_a_later_release_is_not_called_bad(path: Path) -> None:
    damage_row(path, 100, lambda row: row[:8] + b"\2" + row[9:])
    with pytest.raises(NewerFormat, match="record 100"):
        verify(path)


def test_a_marker_that_cannot_be_read_is_bad(path: Path) -> None:
    (path / "log.json").write_text("{")
    assert verify(path).status == "bad"


def test_a_file_that_is_gone_is_bad(path: Path) -> None:
    (path / DATA).unlink()
    assert "data.mdb" in verify(path).reason


# What somebody may have done to the rows, and where it is seen.


def test_a_removed_row_is_seen(path: Path) -> None:
    delete_row(path, "log", key(40))
    assert bad(path) == (40, "it lacks")


def test_a_removed_tail_is_seen(path: Path) -> None:
    delete_row(path, "log", key(100))
    assert bad(path)[0] == 98  # where the stream ends now
    assert "last record" in bad(path)[1]


def test_an_added_row_is_seen(path: Path) -> None:
    write_row(path, "log", key(102), rows(path)["log"][99][1])
    assert bad(path) == (101, "it lacks")


def test_swapped_rows_are_seen(path: Path) -> None:
    (one, first), (other, second) = rows(path)["log"][49:51]
    write_row(path, "log", one, second)
    write_row(path, "log", other, first)
    assert bad(path)[0] == 50


def test_a_record_that_was_given_to_another_stream_is_seen(path: Path) -> None:
    before = hashes(path)[39]
    other = key(2) if rows(path)["log"][39][1][18:26] == key(1) else key(1)
    damage_row(path, 40, lambda row: rehashed(row[:18] + other + row[26:], 40, before))
    assert bad(path)[0] == 40


def test_an_edited_payload_is_seen(path: Path) -> None:
    damage_row(path, 40, lambda row: row[:-1] + b"!")
    assert bad(path)[0] == 40
    assert "hash" in bad(path)[1]


def test_an_edited_payload_with_its_hash_computed_anew_is_seen_behind_it(path: Path) -> None:
    before = hashes(path)[39]
    damage_row(path, 40, lambda row: rehashed(row[:-1] + b"!", 40, before))
    assert bad(path)[0] == 41


def replace_tail(path: Path, start: int) -> None:
    """Edit a record, and compute the chain anew from there on."""
    before = hashes(path)[start - 1]
    for row_key, row in rows(path)["log"][start - 1 :]:
        position = int.from_bytes(row_key, "big")
        forged = rehashed(row[:-1] + b"!" if position == start else row, position, before)
        write_row(path, "log", row_key, forged)
        before = split(Position(position), forged[8:]).hash


def test_a_tail_that_was_replaced_whole_is_seen_only_against_a_head_kept_elsewhere(
    path: Path,
) -> None:
    kept = verify_here(path)
    replace_tail(path, 90)
    found = verify(path)
    assert found.status == "ok"
    assert found.head_hash != kept.head_hash
    found = verify(path, expected_head=(kept.head, kept.head_hash))
    assert (found.status, found.position) == ("bad", 100)
    assert "kept elsewhere" in found.reason


def test_a_head_that_was_kept_is_found_again_when_the_log_has_gone_on(path: Path) -> None:
    kept = verify_here(path)
    log = LmdbLog(path)
    log.append(A, delta("more"), expected_version=Version(50)).result(5)
    log.close()
    assert verify(path, expected_head=(kept.head, kept.head_hash)).ok
    for expected in (60, 101, 102):
        assert not verify(path, expected_head=(expected, kept.head_hash)).ok


def test_a_head_that_is_none_is_refused(path: Path) -> None:
    for position, hash in ((0, "00" * 32), (1, "00"), (1, "no hex")):
        with pytest.raises(ValueError, match="head"):
            verify(path, expected_head=(position, hash))


def test_a_link_that_leads_elsewhere_is_seen(path: Path) -> None:
    damage_row(path, 40, lambda row: key(36) + row[8:])
    assert bad(path)[0] == 40


def test_an_epoch_that_falls_is_seen(path: Path) -> None:
    before = hashes(path)[39]
    damage_row(path, 40, lambda row: rehashed(row[:14] + bytes(4) + row[18:], 40, before))
    assert "epoch" in bad(path)[1]


def number_of(path: Path, stream: StreamId) -> bytes:
    return dict(rows(path)["ids"])[stream.encode()]


TABLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a stream's last record is another one": (
        lambda path: write_row(path, "streams", number_of(path, A), key(97) + A.encode()),
        "last record",
    ),
    "a stream has no last record": (
        lambda path: write_row(path, "streams", number_of(path, A), key(0) + A.encode()),
        "last record",
    ),
    "a stream without records has one": (
        lambda path: write_row(path, "streams", number_of(path, C), key(5) + C.encode()),
        "last record",
    ),
    "a stream has another name": (
        lambda path: write_row(path, "streams", number_of(path, A), key(99) + b"run-x"),
        "ids",
    ),
    "a stream's name is no text": (
        lambda path: write_row(path, "streams", number_of(path, A), key(99) + b"\xff"),
        "name",
    ),
    "a stream has no name": (
        lambda path: write_row(path, "streams", number_of(path, A), key(99)),
        "ids",
    ),
    "a stream lacks": (
        lambda path: delete_row(path, "streams", number_of(path, A)),
        "lacks",
    ),
    "a name lacks": (lambda path: delete_row(path, "ids", B.encode()), "ids"),
    "a name has another number": (
        lambda path: write_row(path, "ids", B.encode(), key(9)),
        "ids",
    ),
    "a name of no stream": (lambda path: write_row(path, "ids", b"run-x", key(9)), "no stream"),
    "an open row of no stream": (
        lambda path: write_row(path, "open", key(9), b""),
        "of no stream",
    ),
    "an open row that is none": (
        lambda path: write_row(path, "open", number_of(path, A), b"\xc1"),
        "open row",
    ),
    "an epoch below that of a record": (
        lambda path: write_row(path, "meta", b"epoch", epoch_row(0)),
        "epoch",
    ),
    "a clean mark that is none": (lambda path: write_row(path, "meta", b"clean", b"x"), "clean"),
    "another log's id": (
        lambda path: write_row(path, "meta", b"log_id", summed(b"log_id", b"x")),
        "this log",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_says_something_else_than_the_records_is_seen(path: Path, name: str) -> None:
    damage, reason = TABLES[name]
    damage(path)
    assert reason in bad(path)[1]


@pytest.fixture
def with_entrances(tmp_path: Path) -> Path:
    log = LmdbLog(tmp_path / "long")
    for filler in (Filler(log, A), Filler(log, B)):
        for _ in range(70):
            filler.append("x", "x").result(5)
    log.close()
    return tmp_path / "long"


@pytest.mark.parametrize("change", ["lacks", "leads elsewhere", "one too many", "no row"])
def test_entrances_are_complete_and_right(with_entrances: Path, change: str) -> None:
    found: Rows = rows(with_entrances)["entrances"]
    assert len(found) == 4
    assert verify_here(with_entrances).ok
    row_key, row = found[1]
    match change:
        case "lacks":
            delete_row(with_entrances, "entrances", row_key)
        case "leads elsewhere":
            write_row(with_entrances, "entrances", row_key, found[0][1])
        case "one too many":
            write_row(with_entrances, "entrances", row_key[:8] + key(65), row)
        case _:
            write_row(with_entrances, "entrances", row_key + b"x", row)
    assert "entrance" in bad(with_entrances)[1]


def test_records_of_several_owners_and_a_fenced_one_are_ok(path: Path) -> None:
    for version in range(50, 53):
        log = LmdbLog(path)
        log.append(A, delta("x"), expected_version=Version(version)).result(5)
        log.close()
    log = LmdbLog(path)
    with log._opened.env.begin(write=True) as txn:
        txn.put(b"epoch", epoch_row(99), db=log._opened.tables.meta)
    with pytest.raises(Fenced):
        log.append(A, delta("x"), expected_version=Version(53)).result(5)
    log.close()
    assert verify_here(path).ok


def test_an_open_row_of_a_stream_without_records_is_ok(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    entry = OpenEntry(kind="run", status="queued")
    log.append(run_stream("x"), [], expected_version=NONE, entry=entry).result(5)
    log.close()
    found = verify_here(tmp_path)
    assert (found.status, found.streams, found.head) == ("ok", 1, 0)
