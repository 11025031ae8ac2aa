"""Reading and following from another process than the owner's."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import lmdb
import pytest

from outlive.events import LogClosed, Version, run_stream
from outlive.events.lmdb_store import LmdbLog, LmdbReader
from outlive.events.lmdb_store.wake import Bell, Wakers
from outlive.testing.log_contract.filling import A, Filler, delta, run, texts, versions
from tests.events.programs import Program

FOLLOW = """
    import asyncio, sys
    from outlive.events.lmdb_store import LmdbReader, wake
    path, followers, count, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    if how == "woken":
        wake.LOOK_AFTER_S = 3600  # Then nothing but a byte lets it look.

    async def one(reader):
        found = []
        async with reader.follow_all() as records:
            async for record in records:
                found.append((record.position, record.stream, record.first_version))
                if len(found) == count:
                    return found

    async def main():
        reader = LmdbReader(path)
        tasks = [asyncio.ensure_future(one(reader)) for _ in range(followers)]
        await asyncio.sleep(0)
        print("following", reader.head, flush=True)
        found = await asyncio.gather(*tasks)
        reader.close()
        assert all(other == found[0] for other in found)
        assert [position for position, _, _ in found[0]] == list(range(1, count + 1))
        last = {}
        for _, stream, version in found[0]:
            assert version == last.get(stream, 0) + 1
            last[stream] = version
        print("nothing lost, nothing twice", flush=True)

    asyncio.run(main())
"""

OWN = """
    import sys
    from outlive.testing.log_contract.filling import Filler
    from outlive.events import run_stream
    from outlive.events.lmdb_store import LmdbLog
    log = LmdbLog(sys.argv[1])
    for line in sys.stdin:
        for number in range(4):
            Filler(log, run_stream(str(number))).numbered(int(line) // 4)
        print(log.head, flush=True)
"""

FILL = """
    import sys
    from outlive.testing.log_contract.filling import A, Filler
    from outlive.events.lmdb_store import LmdbLog
    log, count, size = LmdbLog(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    print("open", flush=True)
    sys.stdin.readline()
    filler = Filler(log, A)
    for number in range(count):
        filler.append("x" * size).result(20)
    sys.stdin.readline()
"""


def append(log: LmdbLog, count: int) -> None:
    """Commits of one event to a few streams, not waiting for each."""
    fillers = [Filler(log, run_stream(str(number))) for number in range(4)]
    last = [fillers[number % 4].append("x") for number in range(count)][-1]
    last.result(20)


@pytest.mark.parametrize("how", ["woken", "looking"])
def test_another_process_follows_while_this_one_appends(tmp_path: Path, how: str) -> None:
    log = LmdbLog(tmp_path)
    append(log, 400)
    with Program(FOLLOW, tmp_path, 3, 2_000, how) as program:
        assert program.line() == "following 400"
        for _ in range(16):
            append(log, 100)
        assert program.line() == "nothing lost, nothing twice"
        assert program.end() == 0
    log.close()
    assert list((tmp_path / "wake").iterdir()) == []


def test_without_sockets_another_process_looks_by_itself(tmp_path: Path) -> None:
    (tmp_path / "wake").write_text("in the way")
    log = LmdbLog(tmp_path)
    append(log, 4)
    with Program(FOLLOW, tmp_path, 50, 8, "looking") as program:
        assert program.line() == "following 4"
        append(log, 4)
        assert program.line() == "nothing lost, nothing twice"
    log.close()


def test_sockets_work_in_a_folder_with_a_long_path(tmp_path: Path) -> None:
    path = tmp_path.joinpath(*["deep" * 12] * 4)
    log = LmdbLog(path)
    with Program(FOLLOW, path, 1, 4, "woken") as program:
        assert program.line() == "following 0"
        append(log, 4)
        assert program.line() == "nothing lost, nothing twice"
    log.close()


def test_a_follower_goes_on_with_the_next_owner(tmp_path: Path) -> None:
    LmdbLog(tmp_path).close()
    with Program(FOLLOW, tmp_path, 2, 120, "looking") as follower:
        assert follower.line() == "following 0"
        for turn in (1, 2, 3):
            with Program(OWN, tmp_path) as owner:
                owner.say("40")
                assert owner.line() == str(40 * turn)
        assert follower.line() == "nothing lost, nothing twice"


def test_the_socket_of_a_dead_process_is_taken_away(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    with Program(FOLLOW, tmp_path, 1, 100, "looking") as program:
        assert program.line() == "following 0"
        assert len(os.listdir(tmp_path / "wake")) == 1
        program.kill()
    wakers = Wakers(tmp_path / "wake")
    assert wakers.ring()
    assert os.listdir(tmp_path / "wake") == []
    assert not wakers.ring()
    wakers.close()
    append(log, 4)
    log.close()


def test_who_rings_while_another_thread_lets_go_rings_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bell = Bell(tmp_path)
    wakers = Wakers(tmp_path)
    assert not wakers.ring()
    wakers.look_again()
    scan = wakers._scan  # pyright: ignore[reportPrivateUsage]

    def close_meanwhile(now: float) -> None:
        scan(now)
        wakers.close()

    monkeypatch.setattr(wakers, "_scan", close_meanwhile)
    assert not wakers.ring()
    bell.close()


HEAR = """
    import sys, threading
    from outlive.events.lmdb_store import LmdbLog

    log = LmdbLog(sys.argv[1])
    log.on_submitted(lambda commands: None)
    print("listening", flush=True)
    sys.stdin.read()
"""


def test_an_owner_takes_away_the_sockets_of_the_dead_and_no_others(tmp_path: Path) -> None:
    wake = tmp_path / "wake"
    for _ in range(2):
        with Program(HEAR, tmp_path) as owner:
            assert owner.line() == "listening"
            assert [name.split(".")[0] for name in os.listdir(wake)] == ["owner"]
    (wake / "owner.note").write_text("not a socket")
    with Program(FOLLOW, tmp_path, 1, 100, "looking") as follower:
        assert follower.line() == "following 0"
        (alive,) = (name for name in os.listdir(wake) if not name.startswith("owner."))
        log = LmdbLog(tmp_path)
        assert sorted(os.listdir(wake)) == sorted([alive, "owner.note"])
        append(log, 4)
        log.close()
        follower.kill()


def test_a_dead_owners_log_is_read(tmp_path: Path) -> None:
    with Program(OWN, tmp_path) as owner:
        owner.say("200")
        owner.line()
        owner.kill()
    reader = LmdbReader(tmp_path)
    assert reader.head == 200
    assert len(reader.read_all()) == 200
    stream = run_stream("1")
    assert reader.version(stream) == 50
    assert versions(reader.read(stream)) == list(range(1, 51))
    assert reader.open_entries() == []
    assert reader.open_entry(stream) is None
    reader.close()
    reader.close()
    with pytest.raises(LogClosed):
        reader.read(stream)


def test_a_reader_sees_what_comes_after_it_was_opened(tmp_path: Path) -> None:
    with Program(OWN, tmp_path) as owner:
        owner.say("4")
        owner.line()
        reader = LmdbReader(tmp_path)
        assert reader.head == 4
        owner.say("4")
        owner.line()
        assert reader.head == 8
        reader.close()


def test_a_reader_follows_on_one_loop_after_another(tmp_path: Path) -> None:
    async def work(reader: LmdbReader, owner: Program, after: int) -> None:
        waiting = asyncio.ensure_future(anext(reader.follow(A)))
        beside = asyncio.ensure_future(anext(reader.follow(run_stream("1"), after=Version(after))))
        await asyncio.sleep(0)
        owner.say("4")
        assert (await beside).version == after + 1
        waiting.cancel()

    with Program(OWN, tmp_path) as owner:
        owner.say("0")
        owner.line()
        reader = LmdbReader(tmp_path)
        for after in range(3):
            run(work(reader, owner, after))
        reader.close()


def test_however_large_records_are_a_reader_keeps_few_for_its_followers(tmp_path: Path) -> None:
    count, size_bytes = 80, 1 << 20

    async def follow(reader: LmdbReader, owner: Program) -> int:
        async with reader.follow(A, after=reader.version(A)) as events:
            following = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            # when: so much is appended that the follower has taken
            owner.say("go")
            last = await following
            while last.version < count:
                last = await anext(events)
            # then: it is let go of, but for the last of it
            (topic,) = reader._opened.feed._by_stream.values()  # pyright: ignore[reportPrivateUsage]
            return topic.kept_count

    with Program(FILL, tmp_path, count, size_bytes) as owner:
        assert owner.line() == "open"
        reader = LmdbReader(tmp_path)
        assert run(follow(reader, owner)) <= 32
        reader.close()


def test_followers_end_when_their_reader_is_closed(tmp_path: Path) -> None:
    async def work() -> None:
        log = LmdbLog(tmp_path)
        log.append(A, delta("1"), expected_version=Version(0)).result(5)
        log.close()
        reader = LmdbReader(tmp_path)
        follower = reader.follow(A)
        assert texts([await anext(follower)]) == ["1"]
        waiting = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        reader.close()
        for late in (waiting, anext(reader.follow(A))):
            with pytest.raises(LogClosed):
                await late
        assert list((tmp_path / "wake").iterdir()) == []

    run(work())


def test_a_log_that_grows_beyond_a_readers_map_is_still_read(tmp_path: Path) -> None:
    small_map = """
        import sys
        from outlive.events import run_stream
        from outlive.events.lmdb_store import LmdbReader, layout
        layout.MAP_BYTES = 1 << 16
        reader = LmdbReader(sys.argv[1])
        print(reader.head, flush=True)
        sys.stdin.readline()
        print(reader.head, len(reader.read(run_stream("a"))), len(reader.read_all()))
    """
    log = LmdbLog(tmp_path)
    with Program(small_map, tmp_path) as program:
        assert program.line() == "0"
        filler = Filler(log)
        for _ in range(50):
            filler.append("x" * 10_000)
        filler.append("end").result(5)
        program.say("go on")
        assert program.line() == "51 51 51"
    log.close()


READ_WITHOUT_LOCK = """
    import sys
    from outlive.events import LogNotWritable
    from outlive.events.lmdb_store import LmdbReader, reader as reader_module
    reader_module._may_lock = lambda _: False
    reader = None
    print("ready", flush=True)
    while True:
        if sys.argv[2] == "told":
            sys.stdin.readline()
        try:
            if reader is None:
                reader = LmdbReader(sys.argv[1])
            found = len(reader.read_all())
            assert found == reader.head
        except LogNotWritable as error:
            found = str(error)
        print(found, flush=True)
"""


def test_without_its_lock_file_a_log_is_read_only_while_it_has_no_owner(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    append(log, 4)
    with Program(READ_WITHOUT_LOCK, tmp_path, "told") as program:
        assert program.line() == "ready"
        for _ in range(2):
            program.say("look")
            assert "while the log has an owner" in program.line()
            log.close()
            program.say("look")
            assert program.line() == str(log_length(tmp_path))
            log = LmdbLog(tmp_path)
            append(log, 4)
        log.close()


def test_one_that_reads_without_the_lock_file_keeps_no_owner_from_the_log(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    append(log, 400)
    log.close()
    with Program(READ_WITHOUT_LOCK, tmp_path, "at once") as program:
        assert program.line() == "ready"
        assert program.line() == "400"
        for _ in range(30):
            LmdbLog(tmp_path).close()
        program.kill()


def log_length(path: Path) -> int:
    reader = LmdbReader(path)
    try:
        return reader.head
    finally:
        reader.close()


class _Ahead:
    """An environment that tells of a commit that no snapshot has yet: it is being flushed."""

    def __init__(self, inner: lmdb.Environment) -> None:
        self.begin = inner.begin
        self.path = inner.path
        self.close = inner.close
        self._inner = inner

    def info(self) -> dict[str, int]:
        return {"last_txnid": self._inner.info()["last_txnid"] + 1}


def test_a_commit_that_is_still_being_flushed_is_not_taken_for_one_that_was_read(
    tmp_path: Path,
) -> None:
    log = LmdbLog(tmp_path)
    append(log, 4)
    reading = log._reading  # pyright: ignore[reportPrivateUsage]  # how a follower looks
    before = reading.last_commit()
    inner = reading._env  # pyright: ignore[reportPrivateUsage]  # LMDB's, with a stand-in around
    reading._env = _Ahead(inner)  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]  # a stand-in
    assert reading.last_commit() == before
    append(log, 4)
    assert reading.last_commit() > before
    log.close()
