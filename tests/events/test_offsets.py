"""Saved offsets in a log's folder: durable, beside the log, whole or not there."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections import Counter
from pathlib import Path

import lmdb
import pytest

from outlive.events import (
    CorruptLog,
    InvalidOffset,
    LmdbLog,
    LmdbReader,
    LogClosed,
    LogNotWritable,
    OffsetMovedOn,
    SavedOffset,
    WriterStuck,
)
from outlive.events.lmdb_store import offsets, write_lock
from outlive.testing.log_contract.filling import Filler, run
from tests.events.programs import Program
from tests.support.small_disk import ALONE, may_mount

READ = """
    import asyncio, os, sys
    from outlive.events import LmdbReader
    path, account = sys.argv[1], os.open(sys.argv[2], os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    async def work():
        reader = LmdbReader(path)
        async with reader.subscription("books") as records:
            print("from", records.offset, flush=True)
            while records.offset < reader.head:
                record = await anext(records)
                os.write(account, b"read %d\\n" % record.position)
                if record.position % 3 == 0:
                    await records.save()
                    os.write(account, b"saved %d\\n" % records.offset)
            await records.save()
            print("done", flush=True)

    asyncio.run(work())
"""
"""Reads all there is, saves after every third record, and writes down what it did."""

STOP = """
    import asyncio, sys
    from outlive.events import LmdbReader
    from outlive.events.lmdb_store.offsets import LmdbOffsets
    path, where = sys.argv[1:]

    def stop(at):
        if at == where:
            print(at, flush=True)
            sys.stdin.readline()

    put, row = LmdbOffsets.put, LmdbOffsets._within

    def within(self, work, **how):
        def stopping(txn):
            found = work(txn)
            stop("before its commit")
            return found
        return row(self, stopping, **how)

    def stopping(self, saved, *, backwards):
        stop("before it saves")
        put(self, saved, backwards=backwards)
        stop("before it returns")

    LmdbOffsets.put, LmdbOffsets._within = stopping, within

    async def work():
        records = LmdbReader(path).subscription("books")
        for _ in range(2):
            await anext(records)
        stop("after it read")
        await records.save()
        stop("after it saved")

    asyncio.run(work())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    log = LmdbLog(path)
    Filler(log).numbered(400)
    log.close()
    return path


@pytest.mark.parametrize(
    ("where", "offset"),
    [
        ("after it read", 0),
        ("before it saves", 0),
        ("before its commit", 0),
        ("before it returns", 2),
        ("after it saved", 2),
    ],
)
def test_a_kill_around_a_save_loses_nothing_and_repeats_what_was_not_saved(
    path: Path, where: str, offset: int
) -> None:
    with Program(STOP, path, where) as program:
        assert program.line() == where
        program.kill()
    reader = LmdbReader(path)
    assert reader.subscription("books").offset == offset
    reader.close()


def test_readers_killed_at_random_miss_nothing_and_repeat_only_what_was_not_saved(
    path: Path, tmp_path: Path
) -> None:
    chance, account = random.Random(3), tmp_path / "account"
    for _ in range(12):
        with Program(READ, path, account) as program:
            assert program.line().startswith("from")
            threading.Event().wait(chance.random() * 0.01)  # How far it comes is no matter.
            program.kill()
    with Program(READ, path, account) as program:
        assert program.line().startswith("from")
        assert program.line() == "done"

    last = saved = 0
    for line in account.read_text().splitlines():
        what, number = line.split()
        if what == "saved":
            saved = int(number)
        elif int(number) != last + 1:
            # Killed: from the last save that returned, or from one that was about to return.
            assert saved < int(number) <= last + 1
            assert (int(number) - 1) % 3 == 0
        last = int(number)
    assert last == 400


def test_a_reader_in_another_process_goes_on_where_this_one_saved(path: Path) -> None:
    async def work() -> None:
        log = LmdbLog(path)
        async with log.subscription("books") as records:
            for _ in range(390):
                await anext(records)
            await records.save()
            with Program(READ, path, path.parent / "account") as program:
                assert program.line() == "from 390"
                assert program.line() == "done"
            await anext(records)
            with pytest.raises(OffsetMovedOn):
                await records.save()
        log.close()

    run(work())


def test_a_log_that_was_put_back_refuses_what_it_never_handed_out(
    path: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(path / "log", backup)

    async def read_on() -> None:
        log = LmdbLog(path)
        Filler(log).numbered(1)
        async with log.subscription("books") as records:
            while records.offset < log.head:
                await anext(records)
            await records.save()
        log.close()

    run(read_on())
    shutil.rmtree(path / "log")
    shutil.copytree(backup, path / "log")
    log = LmdbLog(path)
    with pytest.raises(InvalidOffset, match="401"):
        log.subscription("books")
    assert log.forget("books")
    assert log.subscription("books").offset == 0
    log.close()


def test_offsets_of_another_log_are_refused(path: Path, tmp_path: Path) -> None:
    other = LmdbLog(tmp_path / "other", log_id="other")
    run(other.subscription("books").save())
    other.close()
    shutil.copytree(tmp_path / "other" / "offsets", path / "offsets")
    log = LmdbLog(path)
    with pytest.raises(InvalidOffset, match="another log"):
        log.subscription("books")
    log.close()


def test_nothing_is_made_before_something_is_saved(path: Path) -> None:
    reader = LmdbReader(path)
    subscription = reader.subscription("books")
    assert reader.offsets() == []
    assert not reader.forget("books")
    assert not (path / "offsets").exists()
    run(subscription.save())
    assert reader.offsets() == [SavedOffset(name="books", offset=0, log_id=reader.log_id)]
    reader.close()
    assert [found.name for found in path.glob("offsets*")] == ["offsets"]


def test_saving_does_not_wait_for_the_writers_lock(path: Path) -> None:
    reader = LmdbReader(path)
    with Program(
        """
        import lmdb, sys
        env = lmdb.Environment(sys.argv[1], map_size=1 << 30, max_dbs=16)
        with env.begin(write=True):
            print("held", flush=True)
            sys.stdin.readline()
        """,
        path / "log",
    ) as program:
        assert program.line() == "held"
        run(reader.subscription("books").save())
    reader.close()


def test_a_process_frozen_while_it_saves_is_named_and_holds_up_nobody_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offsets, "_PATIENCE_S", 0.2)
    log = LmdbLog(path)
    with Program(
        """
        import asyncio, sys, threading
        from outlive.events import failpoints
        from outlive.events.lmdb_store import LmdbReader

        def freeze():
            print("in", flush=True)
            threading.Event().wait()

        subscription = LmdbReader(sys.argv[1]).subscription("books")
        asyncio.run(subscription.save())
        failpoints.arm("offset.put", freeze)
        asyncio.run(subscription.save())
        """,
        path,
    ) as frozen:
        assert frozen.line() == "in"
        for _ in range(2):
            with pytest.raises(WriterStuck, match="offsets") as stuck:
                run(log.subscription("films").save())
            assert stuck.value.pid == frozen.pid
        assert [saved.name for saved in log.offsets()] == ["books"]
        log.close()
        frozen.kill()
    write_lock._left[path / "offsets"].join(20)  # pyright: ignore[reportPrivateUsage]
    log = LmdbLog(path)
    assert [saved.name for saved in log.offsets()] == ["books"]
    run(log.subscription("films").save())
    log.close()


def test_a_closed_log_saves_nothing(path: Path) -> None:
    log = LmdbLog(path)
    subscription = log.subscription("books")
    log.close()
    with pytest.raises(LogClosed):
        run(subscription.save())
    with pytest.raises(LogClosed):
        log.offsets()


def test_many_threads_save_at_once(path: Path) -> None:
    reader = LmdbReader(path)
    names = [f"n{number}" for number in range(20)]

    def save(name: str) -> None:
        run(reader.subscription(name).save())

    threads = [threading.Thread(target=save, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [saved.name for saved in reader.offsets()] == sorted(names)
    reader.close()


def test_a_damaged_file_is_named(path: Path) -> None:
    (path / "offsets").mkdir()
    (path / "offsets" / "data.mdb").write_bytes(b"something else. " * 1_000)
    reader = LmdbReader(path)
    with pytest.raises(CorruptLog, match="offsets"):
        reader.subscription("books")
    reader.close()


def test_a_damaged_row_is_named_and_can_be_forgotten(path: Path) -> None:
    reader = LmdbReader(path)
    run(reader.subscription("books").save())
    reader.close()
    with (
        lmdb.Environment(str(path / "offsets"), map_size=1 << 30) as env,
        env.begin(write=True) as txn,
        txn.cursor() as cursor,
    ):
        cursor.first()
        cursor.put(cursor.key(), b"\xff")
    reader = LmdbReader(path)
    with pytest.raises(CorruptLog, match="offset"):
        reader.subscription("books")
    assert reader.forget("books")
    assert reader.subscription("books").offset == 0
    reader.close()


def test_what_is_forgotten_is_saved_again(path: Path) -> None:
    """The environment is empty in between."""
    for _ in range(4):
        reader = LmdbReader(path)
        run(reader.subscription("books").save())
        assert reader.forget("books")
        run(reader.subscription("books").save())
        reader.close()
        reader = LmdbReader(path)
        assert [saved.name for saved in reader.offsets()] == ["books"]
        assert reader.forget("books")
        reader.close()


def test_a_flipped_bit_is_named_wherever_it_is(path: Path) -> None:
    """None moves a reader, and none stops the process."""
    reader = LmdbReader(path)
    run(reader.subscription("books").save())
    saved = SavedOffset(name="books", offset=0, log_id=reader.log_id)
    reader.close()
    file = path / "offsets" / "data.mdb"
    content = file.read_bytes()
    found: Counter[str] = Counter()
    for at in range(0, len(content), 13):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        file.write_bytes(changed)
        reader = LmdbReader(path)
        try:
            assert reader.offsets() == [saved]
            found["read"] += 1
        except CorruptLog:
            found["named"] += 1
        reader.close()
    assert found["named"] > 10


def test_a_folder_in_which_nothing_can_be_made_is_named(path: Path) -> None:
    reader = LmdbReader(path)
    subscription = reader.subscription("books")
    (path / "offsets").write_text("in the way")
    with pytest.raises((LogNotWritable, CorruptLog)):
        run(subscription.save())
    reader.close()


def test_the_next_owner_takes_away_what_was_begun_and_left(path: Path) -> None:
    with Program("print(1, flush=True); input()") as alive:
        alive.line()
        drafts = [path / f"offsets.{pid}.new" for pid in (alive.pid, os.getpid(), 2**22 + 1)]
        for draft in drafts:
            draft.mkdir()
            (draft / "data.mdb").write_bytes(bytes(100))
        (path / "offsets.mine.new").mkdir()
        LmdbLog(path).close()
        left = sorted(entry.name for entry in path.iterdir() if entry.name.startswith("offsets."))
        assert left == sorted([drafts[0].name, "offsets.mine.new"])


SAVES_ON_A_FULL_DISK = """
    import asyncio, os, sys
    from pathlib import Path
    from outlive.events import LogNotWritable
    from outlive.events.lmdb_store import LmdbLog
    from outlive.testing.log_contract.filling import Filler
    from tests.support.small_disk import fill, mount

    place = Path(sys.argv[1])
    mount(place)
    log = LmdbLog(place / "log")
    Filler(log).numbered(3)
    ballast = fill(place)

    async def main():
        async with log.subscription("books") as records:
            await anext(records)
            try:
                await records.save()
            except LogNotWritable as error:
                print("No space left" in str(error), flush=True)
            print([name for name in os.listdir(log.path) if name.startswith("offsets")], flush=True)
            ballast.unlink()
            await records.save()
            print([saved.offset for saved in log.offsets()], flush=True)

    asyncio.run(main())
    log.close()
"""


@pytest.mark.slow
def test_a_full_disk_refuses_the_first_save_and_harms_nothing_else(tmp_path: Path) -> None:
    if not may_mount():
        pytest.skip("this process may not mount a small disk (unshare -rm mount -t tmpfs)")
    with Program(SAVES_ON_A_FULL_DISK, tmp_path, before=ALONE) as program:
        assert program.lines() == ["True", "[]", "[1]"]
        assert program.end() == 0
