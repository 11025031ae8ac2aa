"""The stored format, byte for byte, and what releases have written. A file here stays for ever.

To add one for a new format: `python -m tests.events.test_golden` prints it, with `gaps` that of
a log that was compacted, with `blob` that of one with a payload that is kept apart. To add one
for a new release, `python -m tests.events.golden_runs 0.2.0`, and the same with `golden_tasks` and
`golden_threads` and `golden_heartbeats`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import lmdb
import pytest

from outlive.events import (
    CODEC,
    Commit,
    Event,
    EventLog,
    MemoryLog,
    ModelCallCompleted,
    ModelCallStarted,
    ModelDelta,
    OpenEntry,
    Position,
    Record,
    RunCompleted,
    RunStarted,
    StreamId,
    ToolCallCompleted,
    Version,
    run_stream,
    verify,
)
from outlive.events.ids import CallId
from outlive.events.lmdb_store import LmdbLog
from outlive.events.record import decode, split
from outlive.testing.golden import check_golden
from outlive.testing.log_contract.filling import Ticks, delta
from tests.events import golden_heartbeats, golden_runs, golden_tasks, golden_threads
from tests.events.lmdb_files import appended_together, records_of, rows, stored_records

FOLDER = Path(__file__).parents[1] / "data" / "golden"
GOLDEN = FOLDER / "format-1.json"
GOLDEN_GAPS = FOLDER / "format-1-gaps.json"
GOLDEN_BLOB = FOLDER / "format-1-blob.json"
KINDS = [golden_runs, golden_tasks, golden_threads, golden_heartbeats]
NAMES = ["runs", "tasks", "threads", "heartbeats"]
RELEASES = sorted(file for name in NAMES for file in FOLDER.glob(f"{name}-*.json"))
START_NS = 1_700_000_000_000_000_000
LONG = delta("x" * 66_000, "y")
ONE, TWO = run_stream("one"), run_stream("zwei-ü")


def commits(log: EventLog) -> list[Callable[[], Commit]]:
    """Commits with each flag of the header, two streams, rows that stay and go."""
    return [
        lambda: log.append(
            ONE,
            [
                RunStarted(agent_id="agent", input="go", metadata={"a": [1, 2.5, None, b"\0"]}),
                ModelCallStarted(model="m", messages=1),
            ],
            expected_version=Version(0),
            entry=OpenEntry(kind="run", status="running", owes=True),
        ),
        lambda: log.append(
            TWO,
            [ModelDelta(text="ü")],
            expected_version=Version(0),
            commit_id=bytes(range(16)),
            cause=Position(1),
            entry=OpenEntry(kind="run", status="waiting", wake_at_ns=5, summary={"k": "v"}),
        ),
        lambda: log.append(
            ONE,
            [ToolCallCompleted(call_id=CallId("0.0"), result={"k": True}, elapsed_ms=3)],
            expected_version=Version(2),
            cause="run-zwei/7",
            correlation_id="täg",
        ),
        lambda: log.append(TWO, [], expected_version=Version(1)),
        lambda: log.append(
            ONE,
            [ModelDelta(text=str(number)) for number in range(70)],
            expected_version=Version(3),
            correlation_id="c",
            cause=Position(3),
        ),
        lambda: log.append(ONE, [RunCompleted()], expected_version=Version(73), entry=None),
    ]


def in_hex(path: Path) -> dict[str, list[list[str]]]:
    return {
        name: [[key.hex(), row.hex()] for key, row in found] for name, found in rows(path).items()
    }


def written_by_lmdb(path: Path) -> tuple[dict[str, list[list[str]]], list[Record]]:
    """The first two one by one, the others in one batch."""
    log = LmdbLog(path, clock=Ticks(START_NS), log_id="golden")
    alone, together = commits(log)[:2], commits(log)[2:]
    for append in alone:
        append().result(5)
    appended_together(log, lambda: [append() for append in together])
    records = log.read_all()
    log.close()
    return in_hex(path), records


def written_by_memory() -> tuple[list[bytes], list[Record]]:
    log = MemoryLog(clock=Ticks(START_NS), log_id="golden")
    alone, together = commits(log)[:2], commits(log)[2:]
    for append in alone:
        append()
    log.append(run_stream("hold"), [], expected_version=Version(0))  # a tick of the clock
    for append in together:
        append()
    return log.store.records, log.read_all()


def compacted_by_lmdb(path: Path) -> tuple[dict[str, list[list[str]]], list[Record]]:
    """Pieces of two streams in turn, some of them together, an entrance among them."""
    log = LmdbLog(path, clock=Ticks(START_NS), log_id="golden")

    def append(stream: StreamId, events: list[Event]) -> Commit:
        return log.append(stream, events, expected_version=log.version(stream))

    for stream in (ONE, TWO):
        append(stream, [ModelCallStarted(model="m")]).result(5)
    for number in range(3):
        append(ONE, [ModelDelta(text=f"{number}")] * 40).result(5)
        append(TWO, [ModelDelta(text=f"{number}")]).result(5)
    append(ONE, [ModelCallCompleted(text="012")]).result(5)
    append(TWO, [ModelDelta(text="2"), ModelDelta(step=1, text="not yet")]).result(5)
    appended_together(
        log,
        lambda: [
            append(stream, [event])
            for stream, event in (
                (TWO, ModelCallCompleted(text="012")),
                (ONE, ModelDelta(step=1, text="not yet")),
            )
        ],
    )
    log.compact()
    records = log.read_all()
    log.close()
    return in_hex(path), records


def golden(file: Path = GOLDEN) -> dict[str, list[list[str]]]:
    tables: dict[str, list[list[str]]] = json.loads(file.read_text())
    return tables


def golden_records() -> list[bytes]:
    return records_of([(bytes.fromhex(key), bytes.fromhex(row)) for key, row in golden()["log"]])


def test_lmdb_writes_the_bytes_of_format_1(tmp_path: Path) -> None:
    assert written_by_lmdb(tmp_path)[0] == golden()


def test_a_log_in_memory_has_the_same_records() -> None:
    assert written_by_memory()[0] == golden_records()


def test_records_of_format_1_are_decoded(tmp_path: Path) -> None:
    names = {
        int(number, 16): bytes.fromhex(row)[8:].decode() for number, row in golden()["streams"]
    }
    found: list[Record] = []
    for number, data in enumerate(golden_records(), 1):
        raw = split(Position(number), data)
        stream = run_stream(names[raw.stream_number].removeprefix("run-"))
        found.append(decode(raw, stream, CODEC))
    assert found == written_by_memory()[1] == written_by_lmdb(tmp_path)[1]


def make_log(path: Path, file: Path) -> None:
    """Make a log from golden rows: the file around them is LMDB's own."""

    (path / "log").mkdir(parents=True)
    with lmdb.Environment(str(path / "log"), map_size=1 << 30, max_dbs=16) as env:
        for name, table in golden(file).items():
            handle = env.open_db(name.encode())
            with env.begin(write=True) as txn:
                for key, row in table:
                    txn.put(bytes.fromhex(key), bytes.fromhex(row), db=handle)
    (path / "log.json").write_text('{"log_id":"golden","store_format":1}')


def test_compaction_leaves_the_bytes_of_format_1(tmp_path: Path) -> None:
    assert compacted_by_lmdb(tmp_path)[0] == golden(GOLDEN_GAPS)


def test_a_log_of_format_1_with_gaps_is_read_verified_and_compacted_again(tmp_path: Path) -> None:
    records = compacted_by_lmdb(tmp_path / "made")[1]
    make_log(tmp_path / "log", GOLDEN_GAPS)
    found = verify(tmp_path / "log")
    assert (found.status, found.gaps, found.dropped_events) == ("ok with gaps", 1, 123)
    log = LmdbLog(tmp_path / "log")
    assert log.read_all() == records
    assert [one.version for one in log.read(ONE)] == [1, 122, 123]
    log.append(
        ONE, [ModelCallCompleted(step=1, text="not yet")], expected_version=Version(123)
    ).result(5)
    assert (log.compact().records, log.compact().gaps) == (1, 2)
    log.close()
    assert verify(tmp_path / "log").ok


def test_a_log_of_format_1_is_opened_and_goes_on(tmp_path: Path) -> None:
    records = written_by_memory()[1]
    make_log(tmp_path, GOLDEN)
    assert verify(tmp_path).status == "ok"
    log = LmdbLog(tmp_path)
    assert (log.log_id, log.epoch, log.clean) == ("golden", 2, True)
    assert log.read_all() == records
    assert log.version(ONE) == 74
    assert [stream for stream, _ in log.open_entries()] == [TWO]
    log.append(TWO, [ModelDelta(text="more")], expected_version=Version(1)).result(5)
    log.close()


def written_with_blob(path: Path) -> tuple[dict[str, list[list[str]]], list[Record]]:
    """Two records with the same long payload."""
    log = LmdbLog(path, clock=Ticks(START_NS), log_id="golden")
    for stream, commit_id in ((ONE, b"1" * 16), (TWO, b"2" * 16)):
        log.append(stream, LONG, expected_version=Version(0), commit_id=commit_id).result(5)
    records = log.read_all()
    log.close()
    return in_hex(path), records


def test_lmdb_writes_the_bytes_of_format_1_for_a_long_payload(tmp_path: Path) -> None:
    assert written_with_blob(tmp_path)[0] == golden(GOLDEN_BLOB)


def test_a_long_payload_of_format_1_is_read(tmp_path: Path) -> None:
    make_log(tmp_path, GOLDEN_BLOB)
    assert verify(tmp_path).status == "ok"
    log = LmdbLog(tmp_path)
    assert [list(record.events) for record in log.read_all()] == [LONG, LONG]
    log.close()
    memory = MemoryLog(clock=Ticks(START_NS), log_id="golden")
    for stream, commit_id in ((ONE, b"1" * 16), (TWO, b"2" * 16)):
        memory.append(stream, LONG, expected_version=Version(0), commit_id=commit_id).result(5)
    assert memory.store.records == stored_records(tmp_path)


@pytest.mark.parametrize("file", RELEASES, ids=[file.stem for file in RELEASES])
def test_what_each_release_has_written_comes_to_the_same_states(file: Path) -> None:
    check_golden(file)


def events_in(text: str) -> set[str]:
    return {event for record in json.loads(text)["records"] for event in record["events"]}


def test_every_event_is_in_a_golden_file() -> None:
    kept = set[str]().union(*(events_in(file.read_text("utf-8")) for file in RELEASES))
    assert CODEC.types.keys() - kept == set(), "write one: see the top of this file"
    now = set[str]().union(*(events_in(kind.text_of_now()) for kind in KINDS))
    assert CODEC.types.keys() - now == set()


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_the_same_histories_give_the_same_golden_file(kind: ModuleType) -> None:
    assert kind.text_of_now() == kind.text_of_now()


WRITERS = {"gaps": compacted_by_lmdb, "blob": written_with_blob, "": written_by_lmdb}


def print_golden(show: Callable[[str], object], which: str) -> None:
    with TemporaryDirectory() as name:
        tables, _ = WRITERS[which](Path(name))
    show(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    print_golden(sys.stdout.write, "".join(sys.argv[1:]))
