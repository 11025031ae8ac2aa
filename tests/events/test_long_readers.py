"""Readers that are many, that are killed, and that stay: what they do to the data file."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import lmdb
import pytest
from structlog.testing import capture_logs

from outlive.events import LmdbLog, LogFailed, Version
from outlive.events.lmdb_store.long_readers import (
    LONG_COMMITS,
    LONG_S,
    LOOK_AFTER_S,
    ReaderWatch,
    readers,
)
from outlive.testing.log_contract.filling import A, Filler, delta
from tests.events.lmdb_files import DATA
from tests.events.programs import Program

READ = """
    import sys
    from outlive.events import LmdbReader

    def stay(txn):
        print("reading", flush=True)
        sys.stdin.readline()

    LmdbReader(sys.argv[1])._reading.within(stay)
"""
"""A process in the middle of a read, until it is told to go on."""


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now_ns(self) -> int:
        return self.monotonic_ns()

    def monotonic_ns(self) -> int:
        return int(self.seconds * 1e9)


@pytest.fixture
def log(tmp_path: Path) -> Generator[LmdbLog]:
    log = LmdbLog(tmp_path)
    yield log
    log.close()


def env_of(log: LmdbLog) -> lmdb.Environment:
    return log._opened.env  # pyright: ignore[reportPrivateUsage]


def looked(watch: ReaderWatch) -> list[tuple[int, int, int]]:
    with capture_logs() as entries:
        watch.look()
    assert {entry["event"] for entry in entries} <= {"long_reader"}
    return [(entry["pid"], entry["commits"], entry["held_ms"]) for entry in entries]


def test_a_snapshot_that_is_held_for_a_minute_is_reported_once(
    log: LmdbLog, tmp_path: Path
) -> None:
    clock = Hand()
    watch, filler = ReaderWatch(env_of(log), clock), Filler(log)
    with Program(READ, tmp_path) as program:
        assert program.line() == "reading"
        assert looked(watch) == []
        clock.seconds += 2 * LONG_S
        assert looked(watch) == [], "nobody has committed: it is of the last commit"

        filler.numbered(1)
        assert looked(watch) == []
        clock.seconds += LONG_S
        filler.numbered(1)
        assert looked(watch) == [(program.pid, 2, LONG_S * 1000)]
        clock.seconds += LONG_S
        assert looked(watch) == []
        program.say("go on")
        assert program.end() == 0
    assert readers(env_of(log)) == []


def test_a_snapshot_that_many_commits_have_left_behind_is_reported_at_once(
    log: LmdbLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("outlive.events.lmdb_store.long_readers.LONG_COMMITS", 5)
    assert LONG_COMMITS > 5
    watch, filler = ReaderWatch(env_of(log), Hand()), Filler(log)
    with Program(READ, tmp_path) as program:
        assert program.line() == "reading"
        for _ in range(5):
            assert looked(watch) == []
            filler.numbered(1)
        assert looked(watch) == [(program.pid, 5, 0)]


def test_the_writer_looks_every_few_seconds_while_it_commits(log: LmdbLog) -> None:
    clock, looks = Hand(), list[float]()
    watch = ReaderWatch(env_of(log), clock)
    watch.look = lambda: looks.append(clock.seconds)  # type: ignore[method-assign]
    for _ in range(10):
        watch.after_commit()
        clock.seconds += LOOK_AFTER_S / 2
    assert looks == [1_000 + LOOK_AFTER_S * number for number in range(5)]


def test_a_look_that_fails_does_not_end_the_writer(
    log: LmdbLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[ReaderWatch] = []

    def fail(watch: ReaderWatch) -> None:
        looks.append(watch)
        raise lmdb.Error("no")

    monkeypatch.setattr(ReaderWatch, "look", fail)
    Filler(log).numbered(1)
    Filler(log).numbered(1)
    assert len(looks) == 1


def test_a_reader_killed_in_the_middle_of_a_read_leaves_no_slot_and_no_growth(
    log: LmdbLog, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills = int(str(pytestconfig.getoption("--kills"))) // 25
    watch, filler = ReaderWatch(env_of(log)), Filler(log)
    sizes: list[int] = []
    for _ in range(kills):
        with Program(READ, tmp_path) as program:
            assert program.line() == "reading"
            program.kill()
        assert len(readers(env_of(log))) == 1, "its slot is there until somebody looks"
        watch.look()
        assert readers(env_of(log)) == []
        before = (tmp_path / DATA).stat().st_size
        for _ in range(30):
            filler.numbered(1)
        sizes.append((tmp_path / DATA).stat().st_size - before)
    # then: what is written needs room, but pages are used again
    assert sum(sizes) < kills * 30 * 4096


def test_many_read_at_the_same_instant_while_the_owner_writes(log: LmdbLog) -> None:
    count = 500
    filler = Filler(log)
    filler.numbered(10)
    reading = log._reading  # pyright: ignore[reportPrivateUsage]
    everybody = threading.Barrier(count + 1, timeout=30)
    done = threading.Barrier(count + 1, timeout=30)
    found: list[int] = []

    def read() -> None:
        def work(txn: object) -> None:
            everybody.wait()
            done.wait()

        reading.within(work)
        found.append(len(log.read_all()))

    threads = [threading.Thread(target=read) for _ in range(count)]
    for thread in threads:
        thread.start()
    everybody.wait()
    assert len(readers(env_of(log))) == count
    filler.numbered(10)
    done.wait()
    for thread in threads:
        thread.join(30)
    assert found == [20] * count


def test_a_reader_too_many_is_told_so_and_the_writer_goes_on(log: LmdbLog) -> None:
    env = env_of(log)
    with ExitStack() as snapshots:
        for _ in range(1_024 - len(readers(env))):
            try:
                snapshots.enter_context(env.begin())
            except lmdb.ReadersFullError:
                break
        with pytest.raises(LogFailed, match="READERS_FULL"):
            log.read_all()
        assert log.append(A, delta("1"), expected_version=Version(0)).result(5).position == 1
    assert len(log.read_all()) == 1
