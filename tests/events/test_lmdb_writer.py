"""The writer thread: batches, failures, other owners, and the loop it shares the GIL with."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import lmdb
import pytest

from outlive.events import (
    Commit,
    Fenced,
    LogClosed,
    LogFailed,
    ModelDelta,
    Version,
    WrongExpectedVersion,
    failpoints,
    run_stream,
)
from outlive.events.commit import at_once
from outlive.events.lmdb_store import LmdbLog, LmdbReader, batch, writer
from outlive.testing.log_contract.filling import NONE, A, Filler, delta, run, texts, versions
from tests.events.chain import first_broken
from tests.events.lmdb_files import stored_records
from tests.events.programs import Program

RAISE_THE_EPOCH = """
    import lmdb, sys
    from outlive.events.lmdb_store.meta import epoch_row
    with lmdb.open(sys.argv[1], max_dbs=16, map_size=1 << 30) as env:
        meta = env.open_db(b"meta", create=False)
        with env.begin(write=True) as txn:
            txn.put(b"epoch", epoch_row(9), db=meta)
"""


def test_appends_from_many_threads_are_all_written_in_their_order(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)

    def work(number: int) -> None:
        filler = Filler(log, run_stream(str(number)))
        for _ in range(20):
            filler.numbered(25)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert versions(log.read(run_stream(str(number)))) == list(range(1, 501))
    log.close()
    assert first_broken(stored_records(tmp_path)) is None


def test_more_than_a_batch_is_written_in_order(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    filler = Filler(log)
    commits = [filler.append("x") for _ in range(3 * writer.MAX_BATCH_COMMITS + 7)]
    assert commits[-1].result(20).last_version == len(commits)
    large = "x" * (writer.MAX_BATCH_BYTES // 3)
    last = [filler.append(large) for _ in range(8)][-1]
    assert last.result(20).last_version == len(commits) + 8
    assert log.read(A, after=Version(len(commits) + 7))[0].event == ModelDelta(text=large)
    log.close()


def test_more_streams_than_are_kept_in_memory_keep_their_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_MAX_ENDS", 4)
    log = LmdbLog(tmp_path)
    fillers = [Filler(log, run_stream(str(number))) for number in range(30)]
    for _ in range(5):
        for filler in fillers:
            filler.append("x")
        for filler in fillers:
            filler.append("x", "y").result(5)
    assert [log.version(run_stream(str(number))) for number in range(30)] == [15] * 30
    log.close()
    assert first_broken(stored_records(tmp_path)) is None


FAILURES = {
    "Input/output": OSError(errno.EIO, "Input/output error"),
    "mdb_txn_commit": lmdb.Error("mdb_txn_commit"),
    "MemoryError": MemoryError(),
}


def raising(error: Exception) -> Callable[[], NoReturn]:
    def action() -> NoReturn:
        raise error

    return action


@pytest.mark.parametrize("message", FAILURES)
def test_a_commit_that_fails_ends_the_writer_and_everybody_hears_of_it(
    tmp_path: Path, message: str
) -> None:
    async def work() -> None:
        log = LmdbLog(tmp_path)
        log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
        await log.append(A, delta("1"), expected_version=NONE)
        follower = log.follow(A, after=Version(1))
        waiting = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        failpoints.arm("batch.committing", raising(FAILURES[message]))
        filler = Filler(log)
        commits = [filler.append("lost") for _ in range(10)]
        commits += [log.append(A, delta("wrong"), expected_version=NONE)]
        for commit in commits:
            with pytest.raises(LogFailed, match=message):
                await commit
        with pytest.raises(LogFailed, match=message):
            await waiting
        with pytest.raises(LogFailed, match=message):
            await filler.append("later")
        assert texts(log.read(A)) == ["1"]
        log.close()
        with pytest.raises(LogClosed):
            filler.append("after the end")

    run(work())
    log = LmdbLog(tmp_path)
    assert (log.clean, texts(log.read(A))) == (False, ["1"])
    log.close()


def test_an_owner_that_was_replaced_is_fenced(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    Filler(log).numbered(2)
    with Program(RAISE_THE_EPOCH, tmp_path / "log") as program:
        assert program.end() == 0
    for _ in range(2):
        commit = log.append(A, delta("no"), expected_version=Version(2))
        with pytest.raises(Fenced) as fenced:
            commit.result(5)
        assert (fenced.value.epoch, fenced.value.current) == (1, 9)
    assert texts(log.read(A)) == ["1", "2"]
    log.close()
    log = LmdbLog(tmp_path)
    assert (log.epoch, log.clean) == (10, False)  # It did not mark an end that is not its own.
    log.close()


def test_commits_are_settled_although_their_loop_is_gone(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)

    async def work() -> None:
        log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)

    run(work())
    assert log.append(A, delta("1"), expected_version=NONE).result(5).last_version == 1
    log.close()


def test_a_callback_that_raises_on_the_writers_thread_is_shown_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    log = LmdbLog(tmp_path)
    gate = threading.Event()

    def deliver_later(callback: Callable[[], None]) -> None:
        gate.wait(5)
        callback()

    log.deliver_on(deliver_later)
    log.append(A, delta("1"), expected_version=NONE)

    def fail(_: Commit) -> None:
        raise ZeroDivisionError

    bad = log.append(A, delta("2"), expected_version=Version(1))
    bad.then(fail)
    log.deliver_on(at_once)
    gate.set()
    assert log.append(A, delta("3"), expected_version=Version(2)).result(5).last_version == 3
    log.close()
    assert [hook.exc_type for hook in shown] == [ZeroDivisionError]


def test_a_busy_event_loop_does_not_keep_the_writer_from_its_turn(tmp_path: Path) -> None:
    async def work() -> None:
        log = LmdbLog(tmp_path)
        log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
        done = False

        async def compute() -> None:
            while not done:
                until = time.perf_counter() + 100e-6
                while time.perf_counter() < until:
                    pass
                await asyncio.sleep(0)

        busy = asyncio.ensure_future(compute())
        filler = Filler(log)
        started = time.perf_counter()
        for _ in range(20):
            await filler.append("x")
        took = time.perf_counter() - started
        done = True
        await busy
        log.close()
        # Without standing aside each of them takes a second or more.
        assert took < 5

    run(work())


def test_a_refused_append_and_a_repeat_leave_no_trace(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    one = b"commit-number-01"
    log.append(A, delta("1"), expected_version=NONE, commit_id=one).result(5)
    reading = log._reading  # pyright: ignore[reportPrivateUsage]  # LMDB's own count
    before = reading.last_commit()
    log.append(A, delta("1"), expected_version=NONE, commit_id=one).result(5)
    refused = log.append(A, delta("1"), expected_version=NONE)
    with pytest.raises(WrongExpectedVersion):
        refused.result(5)
    assert reading.last_commit() == before
    log.close()
    reader = LmdbReader(tmp_path)
    assert reader.head == 1
    reader.close()


def test_a_file_that_cannot_grow_ends_the_writer_and_loses_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    """The system's own refusal, in the middle of LMDB's commit."""
    fill = """
        import resource, sys
        from outlive.events import LogFailed
        from outlive.events.lmdb_store import LmdbLog
        from outlive.testing.log_contract.filling import A, Filler
        log = LmdbLog(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        filler, acknowledged = Filler(log), 0
        try:
            while True:
                acknowledged = filler.append("x" * 1_000).result(5).last_version
        except LogFailed as error:
            print(acknowledged, log.version(A), error.__cause__)
        log.close()
    """
    with Program(fill, tmp_path) as program:
        acknowledged, read, cause = program.line().split(maxsplit=2)
        assert program.end() == 0
    assert int(acknowledged) > 100
    assert read == acknowledged
    assert cause.startswith("mdb_txn_commit: ")
    log = LmdbLog(tmp_path)
    # The one that failed may be in: its answer said that this is unknown.
    assert log.version(A) - int(acknowledged) in (0, 1)
    Filler(log).numbered(1)
    log.close()
    assert first_broken(stored_records(tmp_path)) is None
