"""A log without space waits, tells why, loses nothing, and goes on when there is some."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import lmdb
import pytest
import structlog
from structlog.testing import capture_logs

from outlive.events import (
    Commit,
    Fenced,
    LmdbVisitor,
    LogFailed,
    LogParked,
    failpoints,
    run_stream,
)
from outlive.events.lmdb_store import LmdbLog, layout, parking, space
from outlive.testing.log_contract.filling import NONE, A, B, Filler, delta, run, texts, versions
from tests.events.chain import first_broken
from tests.events.lmdb_files import stored_records
from tests.events.programs import Program
from tests.support.small_disk import ALONE, may_mount

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Space:
    """Makes each write fail for lack of space, until it is freed."""

    def __init__(self, error: Callable[[], Exception] = lambda: FULL) -> None:
        self._error = error
        self._free = threading.Event()
        self.tries = 0
        self.tried = threading.Semaphore(0)

    def end(self) -> None:
        failpoints.arm("batch.committing", self.fail)

    def free(self) -> None:
        self._free.set()

    def fail(self) -> None:
        if self._free.is_set():
            return
        failpoints.arm("batch.committing", self.fail)
        self.tries += 1
        self.tried.release()
        raise self._error()


@pytest.fixture(autouse=True)
def disarmed() -> Generator[None]:
    yield
    failpoints.disarm_all()


@pytest.fixture
def full() -> Space:
    return Space()


def lmdbs_error(message: str, code: int) -> lmdb.Error:
    error = lmdb.Error(message)
    object.__setattr__(error, "code", code)  # as the binding does
    return error


def wait_until_parked(log: LmdbLog, full: Space) -> LogParked:
    """After the second try the first one has been told."""
    for _ in range(2):
        assert full.tried.acquire(timeout=20)
    trouble = log.trouble
    assert isinstance(trouble, LogParked)
    return trouble


def parked_event(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when it is told that a log is parked."""
    told = threading.Event()
    error = parking._log.error  # pyright: ignore[reportPrivateUsage]

    def tell(*arguments: str, **facts: str) -> None:
        told.set()
        error(*arguments, **facts)

    monkeypatch.setattr(parking, "_log", SimpleNamespace(error=tell, info=tell))
    return told


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("lmdbs", [False, True])
def test_appends_wait_while_the_disk_is_full_and_are_written_in_order_when_it_is_not(
    tmp_path: Path, code: int, lmdbs: bool
) -> None:
    message = os.strerror(code)
    full = Space(lambda: lmdbs_error(message, code) if lmdbs else OSError(code, message))
    log = LmdbLog(tmp_path)
    a, b = Filler(log), Filler(log, B)
    a.numbered(3)
    assert log.trouble is None
    full.end()

    commits = [filler.append(str(filler.version + 1)) for _ in range(50) for filler in (a, b)]
    trouble = wait_until_parked(log, full)
    assert "full" in trouble.reason or "quota" in trouble.reason
    assert trouble.path == str(tmp_path)
    assert "goes on by itself" in str(trouble)
    commits += [filler.append(str(filler.version + 1)) for _ in range(50) for filler in (a, b)]
    assert not any(commit.settled for commit in commits)
    assert texts(log.read(A)) == ["1", "2", "3"]  # Reading goes on.

    full.free()
    positions = [commit.result(20).position for commit in commits]
    assert positions == list(range(4, 204))
    assert log.trouble is None
    assert texts(log.read(A)) == [str(number) for number in range(1, 104)]
    assert texts(log.read(B)) == [str(number) for number in range(1, 101)]
    log.close()
    log = LmdbLog(tmp_path)
    assert (log.clean, log.head) == (True, 203)
    log.close()
    assert first_broken(stored_records(tmp_path)) is None


def test_it_is_told_once_that_the_log_is_parked_and_once_that_it_goes_on(
    tmp_path: Path, full: Space
) -> None:
    log = LmdbLog(tmp_path)
    with capture_logs() as told:
        full.end()
        commit = Filler(log).append("1")
        for _ in range(4):
            assert full.tried.acquire(timeout=20)
        full.free()
        commit.result(20)
        log.close()
    names = [line["event"] for line in told if line["event"].startswith("log_")]
    assert names == ["log_parked", "log_resumed"]
    assert told[0]["path"] == told[1]["path"] == str(tmp_path)
    assert told[0]["reason"] == told[1]["reason"] == "the disk is full"
    assert told[1]["tries"] >= 4


def test_telling_it_cannot_harm_the_writer(tmp_path: Path, full: Space) -> None:
    """The file that the process logs to may lie on the same disk."""

    def fail(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    structlog.configure(processors=[fail])
    try:
        log = LmdbLog(tmp_path)
        full.end()
        commit = Filler(log).append("1")
        wait_until_parked(log, full)
        full.free()
        commit.result(20)
        log.close()
    finally:
        structlog.reset_defaults()


def test_an_append_makes_it_try_again_at_once(
    tmp_path: Path, full: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "_FIRST_S", 3_600.0)
    parked = parked_event(monkeypatch)
    log = LmdbLog(tmp_path)
    full.end()
    filler = Filler(log)
    first = filler.append("1")
    assert parked.wait(20)
    assert full.tried.acquire(timeout=20)
    for number in range(3):
        filler.append(str(number))
        assert full.tried.acquire(timeout=20)
    full.free()
    filler.append("last").result(20)
    assert first.settled
    log.close()


def test_followers_go_on_across_a_parked_time(tmp_path: Path, full: Space) -> None:
    async def work() -> None:
        log = LmdbLog(tmp_path)
        log.deliver_on(asyncio.get_running_loop().call_soon_threadsafe)
        filler = Filler(log)
        await filler.append("1")
        follower = log.follow(A)
        assert (await anext(follower)).version == 1
        full.end()
        commits = [filler.append(str(number)) for number in (2, 3)]
        await asyncio.to_thread(wait_until_parked, log, full)
        assert texts([await anext(log.follow(A))]) == ["1"]  # A new one, meanwhile.
        full.free()
        assert [(await anext(follower)).version for _ in range(2)] == [2, 3]
        for commit in commits:
            await commit
        await asyncio.to_thread(log.close)

    run(work())


def test_what_was_refused_before_is_judged_anew(tmp_path: Path, full: Space) -> None:
    """Nothing that a failed try took for done may be left in memory."""
    log = LmdbLog(tmp_path)
    one = b"commit-number-01"
    full.end()
    first = log.append(A, delta("1"), expected_version=NONE, commit_id=one)
    again = log.append(A, delta("1"), expected_version=NONE, commit_id=one)
    second = log.append(B, delta("1", "2"), expected_version=NONE)
    wait_until_parked(log, full)
    full.free()
    assert first.result(20) == again.result(20)
    assert second.result(20).last_version == 2
    assert log.head == 2
    log.close()
    assert first_broken(stored_records(tmp_path)) is None


def test_closing_a_parked_log_does_not_wait_for_space(tmp_path: Path, full: Space) -> None:
    log = LmdbLog(tmp_path)
    filler = Filler(log)
    filler.numbered(2)
    full.end()
    commits = [filler.append("lost") for _ in range(5)]
    wait_until_parked(log, full)
    log.close()
    for commit in commits:
        with pytest.raises(LogFailed, match=r"closed while the disk is full.*not in") as failed:
            commit.result(0)
        assert failed.value.__cause__ is FULL
    failpoints.disarm_all()
    log = LmdbLog(tmp_path)
    assert (log.clean, log.version(A)) == (False, 2)
    log.close()


def test_a_parked_owner_that_is_replaced_is_fenced(
    tmp_path: Path, full: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_the_epoch = """
        import lmdb, sys
        from outlive.events.lmdb_store.meta import epoch_row
        with lmdb.open(sys.argv[1], max_dbs=16, map_size=1 << 30) as env:
            meta = env.open_db(b"meta", create=False)
            with env.begin(write=True) as txn:
                txn.put(b"epoch", epoch_row(9), db=meta)
    """
    monkeypatch.setattr(parking, "_FIRST_S", 3_600.0)
    parked = parked_event(monkeypatch)
    log = LmdbLog(tmp_path)
    full.end()
    commit = Filler(log).append("1")
    assert parked.wait(20)
    with Program(raise_the_epoch, tmp_path / "log") as program:
        assert program.end() == 0
    later = Filler(log, B).append("1")
    for one in (commit, later):
        with pytest.raises(Fenced):
            one.result(20)
    log.close()


def test_a_log_that_has_another_end_after_a_failed_write_is_not_written_any_more(
    tmp_path: Path,
) -> None:
    """Somebody wrote, or the write that failed is in after all."""
    log = LmdbLog(tmp_path)
    filler = Filler(log)
    filler.numbered(2)

    def fail() -> NoReturn:
        batches = log._writer._batches  # pyright: ignore[reportPrivateUsage]  # what it knows
        batches.head = type(batches.head)(1)
        raise FULL

    failpoints.arm("batch.committing", fail)
    with pytest.raises(LogFailed, match="another end"):
        filler.append("3").result(20)
    assert log.trouble is None
    log.close()


def test_an_input_output_error_on_a_disk_with_room_is_no_lack_of_space(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    failpoints.arm("batch.committing", Space(lambda: lmdbs_error("mdb_txn_commit", errno.EIO)).fail)
    with pytest.raises(LogFailed, match="mdb_txn_commit"):
        Filler(log).append("1").result(20)
    log.close()


@pytest.mark.parametrize("broken", [False, True])
def test_space_that_is_freed_before_the_disk_was_looked_at_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """A write that came to the disk's end is an input/output error, and then there is room."""
    log = LmdbLog(tmp_path)
    full = Space(lambda: lmdbs_error("mdb_txn_commit", errno.EIO))

    def look(_: Path) -> int:
        if full.tries == 1:
            return errno.ENOSPC
        if not broken:
            full.free()  # By somebody else, a moment ago.
        return 0

    monkeypatch.setattr(space, "_errno_of_writing", look)
    full.end()
    commit = Filler(log).append("1")
    if broken:  # It is the disk itself, which is not tried for ever.
        with pytest.raises(LogFailed, match="mdb_txn_commit"):
            commit.result(20)
        assert full.tries == 3
    else:
        assert commit.result(20).position == 1
    log.close()


def test_a_full_map_grows_as_far_as_the_platform_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MAP_BYTES", 1 << 20)
    log = LmdbLog(tmp_path)
    monkeypatch.setattr(layout, "MAP_BYTES", 64 << 20)
    stop = threading.Event()
    wrong: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.wait(0.001):
                found = versions(log.read(A, limit=10))
                assert found == list(range(1, len(found) + 1))
        except BaseException as error:  # noqa: BLE001  # the thread's own end would go unseen
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    filler = Filler(log)
    commits = [filler.append("x" * 20_000) for _ in range(500)]
    assert commits[-1].result(60).last_version == 500
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert log.trouble is None
    assert log._opened.env.info()["map_size"] >= 16 << 20  # pyright: ignore[reportPrivateUsage]
    log.close()
    assert first_broken(stored_records(tmp_path)) is None


def test_a_map_that_cannot_grow_parks_the_log_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MAP_BYTES", 1 << 20)
    log = LmdbLog(tmp_path)
    filler, commits = Filler(log), list[Commit]()
    parked = parked_event(monkeypatch)
    while not parked.wait(0.001):
        commits.append(filler.append("x" * 20_000))
    assert "map is full" in str(log.trouble)
    assert log.version(A) > 10
    monkeypatch.setattr(layout, "MAP_BYTES", 1 << 30)
    for commit in commits:
        commit.result(20)
    assert log.trouble is None
    assert log.version(A) == len(commits)
    log.close()
    assert first_broken(stored_records(tmp_path)) is None


class Fullest:
    """An environment whose map is as large as is said."""

    def __init__(self, map_bytes: int) -> None:
        self._map_bytes = map_bytes

    def info(self) -> dict[str, int]:
        return {"map_size": self._map_bytes}


def test_a_map_is_not_given_up_for_one_that_the_platform_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MAP_BYTES", 1 << 20)
    log = LmdbLog(tmp_path)
    opened = log._opened  # pyright: ignore[reportPrivateUsage]
    for map_bytes in (1 << 62, 1 << 80):
        monkeypatch.setattr(opened, "env", Fullest(map_bytes // 2))
        monkeypatch.setattr(layout, "MAP_BYTES", map_bytes)
        assert not space.grow(opened.env, opened.reading)
    monkeypatch.undo()
    assert opened.env.info()["map_size"] == 1 << 20
    Filler(log).numbered(1)
    log.close()


def test_a_command_without_space_is_not_put_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LmdbLog(tmp_path).close()
    visitor = LmdbVisitor(tmp_path)

    def submit() -> None:
        visitor.submit("c", run_stream("r"), b"start")

    def fail(error: Exception) -> None:
        raise error

    def full_disk(folder: Path) -> int:
        assert folder == tmp_path
        return errno.ENOSPC

    failpoints.arm("command.put", lambda: fail(lmdbs_error("No space left", errno.ENOSPC)))
    with pytest.raises(LogParked, match="the disk is full"):
        submit()
    # A full disk and a broken one: LMDB tells both in the same way.
    monkeypatch.setattr(space, "_errno_of_writing", full_disk)
    failpoints.arm("command.put", lambda: fail(lmdbs_error("Input/output error", errno.EIO)))
    with pytest.raises(LogParked, match="the disk is full"):
        submit()
    monkeypatch.undo()
    failpoints.arm("command.put", lambda: fail(lmdbs_error("Input/output error", errno.EIO)))
    with pytest.raises(LogFailed):
        submit()
    assert visitor.submitted() == []
    submit()
    assert [command.command_id for command in visitor.submitted()] == ["c"]
    visitor.close()


ON_A_SMALL_DISK = """
    import sys, threading
    from pathlib import Path
    import structlog
    from outlive.events import LogNotWritable, Position, run_stream
    from outlive.events.lmdb_store import LmdbLog
    from outlive.testing.log_contract.filling import Filler
    from tests.support.small_disk import fill, mount

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    place, size = Path(sys.argv[1]), int(sys.argv[2])
    mount(place, mib=8)  # At most 3.3 MB of it are used in the end, however small the commits are.
    ballast = place / "ballast"
    ballast.write_bytes(bytes(3_000_000 + (4 << 20)))
    log = LmdbLog(place / "log")
    fillers = [Filler(log, run_stream(str(number))) for number in range(20)]

    def write(filler):
        for number in range(1_600_000 // 20 // size):
            # Without a limit: how long the disk stays full depends on the machine.
            filler.append(str(number).ljust(size)).result()

    threads = [threading.Thread(target=write, args=(filler,), daemon=True) for filler in fillers]
    for thread in threads:
        thread.start()
    while log.trouble is None:
        threading.Event().wait(0.01)
        assert any(thread.is_alive() for thread in threads)
    print(log.trouble.reason, flush=True)

    # All go on reading: more threads than have a place in the table of readers yet.
    head = log.head
    tail = Position(head - 10)
    found, gate = [], threading.Barrier(300)

    def read():
        with log._opened.env.begin() as txn:
            gate.wait()
        found.append(len(log.read_all(after=tail)))

    readers = [threading.Thread(target=read) for _ in range(300)]
    for thread in readers:
        thread.start()
    for thread in readers:
        thread.join()
    print(found == [10] * 300 or (head, set(found)), flush=True)
    assert len(log.read_all(limit=10_000)) == head

    ballast.unlink()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), log.trouble
    print(log.trouble, flush=True)
    assert (place / "log" / "log" / "data.mdb").stat().st_size < 4_000_000
    wrong = [
        filler for filler in fillers
        if [int(one.event.text) for one in log.read(filler._stream, limit=10_000)]
        != list(range(filler.version))
    ]
    print(len(wrong), sum(filler.version for filler in fillers) == log.head, flush=True)
    log.close()
    log = LmdbLog(place / "log")
    print(log.clean, flush=True)
    log.close()

    # And with no space at all from the beginning.
    ballast = fill(place)
    try:
        LmdbLog(place / "new")
    except LogNotWritable as error:
        print("No space left" in str(error), flush=True)
    ballast.unlink()
    log = LmdbLog(place / "new")
    Filler(log).numbered(3)
    log.close()
    print("good", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [200, 3_000, 20_000])
def test_a_disk_that_is_really_full_parks_the_log_until_space_is_freed(
    tmp_path: Path, size: int
) -> None:
    """Commits of a page and of many: LMDB tells a full disk in two ways."""
    if not may_mount():
        pytest.skip("this process may not mount a small disk (unshare -rm mount -t tmpfs)")
    with Program(ON_A_SMALL_DISK, tmp_path, size, before=ALONE) as program:
        assert program.lines() == [
            "the disk is full",
            "True",
            "None",
            "0 True",
            "True",
            "True",
            "good",
        ]
        assert program.end() == 0
