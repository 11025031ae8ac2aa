"""Compaction in LMDB: valid after each of its transactions, checked before it forgets."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlive.events import (
    Commit,
    CorruptLog,
    Event,
    Fenced,
    LmdbLog,
    LmdbReader,
    LogError,
    LogFailed,
    LogNotWritable,
    ModelDelta,
    Recorded,
    StreamId,
    Version,
    run_stream,
)
from outlive.events.lmdb_store import compactor, space, walk
from outlive.events.lmdb_store.gaps import Covered, decode_gap, encode_gap
from outlive.events.lmdb_store.meta import epoch_row
from outlive.events.lmdb_store.pieces import Changes
from outlive.events.lmdb_store.verify import verify_here
from outlive.testing.log_contract.compacting import LONG, answer, append, completed, piece, started
from outlive.testing.log_contract.filling import A, B, versions
from tests.events.lmdb_files import appended_together, delete_row, rows, write_row


def key(position: int) -> bytes:
    return position.to_bytes(8, "big")


def fill(path: Path, *, steps: int = 5) -> None:
    """Answers of two streams that take turns, in rows of one record and of several."""
    log = LmdbLog(path)
    for step in range(steps):
        for stream in (A, B):
            append(log, stream, started(step))
        for number in range(15):
            append(log, A, piece(step))
            if number % 3:
                append(log, B, piece(step) * 2)
        appended_together(log, partial(_ends, log, step))
    log.close()


def _ends(log: LmdbLog, step: int) -> list[Commit]:
    commits: list[Commit] = []
    at = {stream: log.version(stream) for stream in (A, B)}
    for events in (piece(step), piece(step), completed(step)):
        for stream, version in at.items():
            commits.append(log.append(stream, events, expected_version=version))
            at[stream] = Version(version + 1)
    return commits


def in_parts_of(records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compactor, "_PART_RECORDS", records)


def compacted(path: Path) -> None:
    log = LmdbLog(path)
    log.compact()
    log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fill(tmp_path / "log")
    return tmp_path / "log"


def everything(path: Path) -> object:
    """All that is left to be read."""
    reader = LmdbReader(path)
    found = [reader.read_all(limit=10_000), *(reader.read(one, limit=10_000) for one in (A, B))]
    reader.close()
    return found


def test_a_compacted_log_is_ok_with_gaps_and_has_the_same_head(path: Path) -> None:
    before = verify_here(path)
    compacted(path)
    after = verify_here(path)
    assert (after.status, after.gaps) == ("ok with gaps", 5)
    assert (after.head, after.head_hash) == (before.head, before.head_hash)
    assert after.events + after.dropped_events == before.events
    assert after.streams == before.streams
    assert verify_here(path, (after.head, bytes.fromhex(before.head_hash))).ok


@pytest.mark.parametrize("records", [1, 2, 3, 7, 30])
def test_the_parts_in_which_it_is_done_do_not_show(
    path: Path, records: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "other")
    compacted(tmp_path / "other")
    in_parts_of(records, monkeypatch)
    compacted(path)
    log, other = rows(path)["log"], rows(tmp_path / "other")["log"]
    assert [key for key, row in log if row[0] == 2] == [key for key, row in other if row[0] == 2]
    assert verify_here(path).status == "ok with gaps"
    assert versions_left(path) == versions_left(tmp_path / "other")


def versions_left(path: Path) -> list[list[int]]:
    reader = LmdbReader(path)
    found = [versions(reader.read(stream, limit=10_000)) for stream in (A, B)]
    reader.close()
    return found


class Died(Exception):
    """The process, at this point."""


def test_each_of_its_transactions_leaves_a_valid_log(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "other")
    compacted(tmp_path / "other")
    whole = versions_left(tmp_path / "other")
    in_parts_of(7, monkeypatch)
    write = compactor.Compactor._write
    cut_off = 0
    while True:
        log = LmdbLog(path)

        def write_once(self: compactor.Compactor, changes: Changes) -> None:
            write(self, changes)
            raise Died

        monkeypatch.setattr(compactor.Compactor, "_write", write_once)
        try:
            log.compact()
            break
        except Died:
            cut_off += 1
        finally:
            log.close()
        assert verify_here(path).status == "ok with gaps"
        left = versions_left(path)
        assert all(set(less) <= set(more) for less, more in zip(whole, left, strict=True))
    assert cut_off > 10
    assert versions_left(path) == whole


def test_commits_and_reads_go_on_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts_of(5, monkeypatch)
    log = LmdbLog(path)
    stop = threading.Event()
    failed: list[BaseException] = []

    def beside(work: Callable[[], None]) -> threading.Thread:
        def loop() -> None:
            try:
                while not stop.is_set():
                    work()
            except BaseException as error:  # noqa: BLE001  # shown by the test
                failed.append(error)

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    stream = run_stream("beside")

    def read() -> None:
        found = versions(log.read(A, limit=10_000))
        assert found == sorted(set(found))
        assert found[-1] == log.version(A)
        positions = [record.position for record in log.read_all(limit=10_000)]
        assert positions == sorted(set(positions))

    def verify() -> None:
        check = walk.Walk(log._opened.tables)
        while log._reading.within(check.part):
            pass

    monkeypatch.setattr(walk, "PART_RECORDS", 11)
    threads = [beside(lambda: append(log, stream, *answer())), beside(read), beside(verify)]
    for _ in range(10):
        log.compact()
    stop.set()
    for thread in threads:
        thread.join()
    log.close()
    assert not failed, failed
    assert verify_here(path).status == "ok with gaps"


def test_an_owner_that_was_replaced_compacts_nothing(path: Path) -> None:
    log = LmdbLog(path)
    with log._opened.env.begin(write=True) as txn:
        txn.put(b"epoch", epoch_row(99), db=log._opened.tables.meta)
    with pytest.raises(Fenced):
        log.compact()
    log.close()
    assert verify_here(path).status == "ok"


def short_write() -> lmdb.Error:
    """What LMDB says when the disk was full in the middle of a write, or is broken."""
    error = lmdb.Error("mdb_txn_commit: Input/output error")
    object.__setattr__(error, "code", errno.EIO)  # as the binding does
    return error


@pytest.mark.parametrize(
    ("error", "said", "told"),
    [
        (lmdb.MapFullError("full"), 0, LogNotWritable),
        (short_write(), errno.ENOSPC, LogNotWritable),
        (short_write(), 0, LogFailed),
    ],
)
def test_a_store_that_fails_is_told(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: lmdb.Error,
    said: int,
    told: type[LogError],
) -> None:
    log = LmdbLog(path)

    env = log._reading._env

    class Full:
        def begin(self, *, write: bool, buffers: bool) -> object:
            if write:
                raise error
            assert buffers
            return env.begin(buffers=True)

    def look(_: Path) -> int:
        return said

    with monkeypatch.context() as patched:
        patched.setattr(log._reading, "_env", Full())
        patched.setattr(space, "_errno_of_writing", look)
        with pytest.raises(told):
            log.compact()
    log.compact()
    log.close()
    assert verify_here(path).status == "ok with gaps"


def test_what_was_changed_is_not_forgotten(path: Path) -> None:
    """A record that is not what was written must not vanish in a gap that looks right."""
    found = rows(path)["log"]
    row_key, row = next((one, row) for one, row in found if row[0] == 0 and row.endswith(b"\xa1x"))
    write_row(path, "log", row_key, row[:-1] + b"y")
    position = int.from_bytes(row_key, "big")
    log = LmdbLog(path)
    with pytest.raises(CorruptLog, match=f"record {position}"):
        log.compact()
    log.close()
    assert verify_here(path).position == position


def test_a_record_that_lacks_and_that_no_gap_covers_is_missed(path: Path) -> None:
    compacted(path)
    row_key = next(one for one, row in rows(path)["log"] if row[0] == 1)
    delete_row(path, "log", row_key)
    log = LmdbLog(path)
    with pytest.raises(CorruptLog):
        log.read_all()
    log.close()
    assert verify_here(path).position == int.from_bytes(row_key, "big")


GAPS: dict[str, Callable[[bytes], bytes]] = {
    "reaches further": lambda row: row[:1] + key(int.from_bytes(row[1:9], "big") + 1) + row[9:],
    "reaches less far": lambda row: row[:1] + key(int.from_bytes(row[1:9], "big") - 1) + row[9:],
    "ends before it begins": lambda row: row[:1] + key(1) + row[9:],
    "closes with another hash": lambda row: row[:9] + bytes(32) + row[41:],
    "has another digest": lambda row: row[:41] + bytes(32) + row[73:],
    "covers one stream less": lambda row: row[:-40],
    "covers no stream": lambda row: row[:73],
    "covers a version more": lambda row: row[:-17] + bytes([row[-17] + 1]) + row[-16:],
    "covers a stream twice": lambda row: row + row[-40:],
    "is cut off": lambda row: row[:-1],
    "has only its first byte": lambda row: row[:1],
}


@pytest.mark.parametrize("name", GAPS)
def test_a_gap_that_is_not_what_was_written_is_found_out(path: Path, name: str) -> None:
    compacted(path)
    row_key, row = next((one, row) for one, row in rows(path)["log"] if row[0] == 2)
    write_row(path, "log", row_key, GAPS[name](row))
    assert verify_here(path).status == "bad"


def test_a_gap_that_covers_too_much_is_found_out(path: Path) -> None:
    """Also with a digest that fits: what it covers is there, or does not fit its streams."""
    compacted(path)
    row_key, row = next((one, row) for one, row in rows(path)["log"] if row[0] == 2)
    first = int.from_bytes(row_key, "big")
    gap = decode_gap(first, row)
    before = _hash_before(path, first)

    def forged(last: int, *covered: Covered) -> bytes:
        return encode_gap(before, first, last, gap.closing_hash, covered)

    one, other = gap.covered.values()
    forgeries = [
        forged(gap.last + 1, one, other),
        forged(gap.last, one, other._replace(last_version=other.last_version + 1)),
        forged(gap.last, one._replace(first_version=1, link=0), other),
        forged(gap.last, one),
        forged(gap.last, one, other, Covered(3, 1, 1, first + 1, 0)),
    ]
    for row in forgeries:
        write_row(path, "log", row_key, row)
        assert verify_here(path).status == "bad"


def _hash_before(path: Path, position: int) -> bytes:
    log = LmdbReader(path)
    (record,) = [one for one in log.read_all(limit=10_000) if one.position == position - 1]
    log.close()
    return record.hash


def test_a_gap_at_the_end_of_a_stream_is_found_out(path: Path) -> None:
    """Its last record is never dropped: what the stream is at would be lost with it."""
    log = LmdbLog(path)
    append(log, A, piece(9))
    append(log, B, started(9))
    log.close()
    found = rows(path)["log"]
    row_key, row = found[-2]
    position, link = int.from_bytes(row_key, "big"), int.from_bytes(row[:8], "big")
    version = int.from_bytes(row[26:34], "big")
    covered = Covered(1, version, version, position, link)
    row = encode_gap(_hash_before(path, position), position, position, row[58:90], [covered])
    write_row(path, "log", row_key, row)
    assert "last record" in verify_here(path).reason


def test_a_head_that_was_kept_of_a_record_that_went_is_no_proof(path: Path) -> None:
    log = LmdbLog(path)
    kept = log.read_all()[4]
    assert isinstance(kept.events[0], ModelDelta)
    log.compact()
    log.close()
    found = verify_here(path, (kept.position, kept.hash))
    assert (found.status, found.position) == ("bad", kept.position)
    assert "gap" in found.reason


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_log_is_valid_after_any_number_of_parts(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log")
    streams = st.sampled_from([A, B])
    kinds = st.sampled_from([piece(0), piece(1), piece(0) * 2, completed(0), completed(1)])
    kinds |= st.sampled_from([piece(0, LONG), piece(1, LONG), completed(1, LONG)])
    with pytest.MonkeyPatch.context() as patched:
        for _ in range(data.draw(st.integers(1, 3))):
            log = LmdbLog(path)
            for batch in data.draw(st.lists(st.lists(st.tuples(streams, kinds), max_size=8))):
                appended_together(log, partial(_appended, log, batch))
            in_parts_of(data.draw(st.integers(1, 9)), patched)
            before = {one: _not_pieces(log, one) for one in (A, B)}
            log.compact()
            assert {one: _not_pieces(log, one) for one in (A, B)} == before
            log.close()
            assert verify_here(path).ok


def test_a_payload_goes_with_the_last_record_that_holds_it(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    append(log, A, piece(text=LONG), piece(text=LONG), piece(text=LONG + "y"), completed())
    append(log, B, piece(text=LONG))
    assert log.compact().bytes > len(LONG)
    append(log, B, piece(text=LONG + "y"))
    log.close()
    assert verify_here(tmp_path).status == "ok with gaps"
    held = sorted(int.from_bytes(row[:8], "big") for _, row in rows(tmp_path)["blobs"])
    assert held == [1, 1]
    log = LmdbLog(tmp_path)
    append(log, B, completed())
    log.compact()
    log.close()
    assert rows(tmp_path)["blobs"] == []
    assert verify_here(tmp_path).ok


def test_a_payload_that_goes_while_the_log_is_verified_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LmdbLog(tmp_path)
    append(log, A, *[piece(text=LONG)] * 5, completed(), piece(1, text=LONG))
    append(log, B, piece(text=LONG + "y"))
    monkeypatch.setattr(walk, "PART_RECORDS", 6)
    check = walk.Walk(log._opened.tables)
    assert log._reading.within(check.part)
    assert log.compact().records == 5
    while log._reading.within(check.part):
        pass
    assert check.position == log.head
    log.close()


def test_a_piece_whose_payload_lacks_is_not_forgotten(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    append(log, A, piece(text=LONG), completed())
    log.close()
    (blob,) = rows(tmp_path)["blobs"]
    delete_row(tmp_path, "blobs", blob[0])
    log = LmdbLog(tmp_path)
    with pytest.raises(CorruptLog, match="payload of record 1"):
        log.compact()
    log.close()


def _appended(log: LmdbLog, batch: list[tuple[StreamId, list[Event]]]) -> list[Commit]:
    at = {stream: log.version(stream) for stream in (A, B)}
    commits: list[Commit] = []
    for stream, events in batch:
        commits.append(log.append(stream, events, expected_version=at[stream]))
        at[stream] = Version(at[stream] + len(events))
    return commits


def _not_pieces(log: LmdbLog, stream: StreamId) -> list[Recorded]:
    found = log.read(stream, limit=10_000)
    return [one for one in found if not isinstance(one.event, ModelDelta)]
