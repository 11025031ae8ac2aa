"""No process keeps a folder in which nobody acts: what cannot go on lets go of it."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from outlive.actors import Agent, Run, Runtime, ScriptedModel, SyncRuntime, Turn
from outlive.actors.seat import Standby
from outlive.events import (
    CorruptLog,
    InvalidDefinition,
    LmdbLog,
    LmdbVisitor,
    LogClosed,
    LogFailed,
    OutliveError,
    WriterStuck,
    failpoints,
    run_stream,
)
from outlive.events.lmdb_store import log
from outlive.events.lmdb_store.owner_lock import OwnerLock, look_at_owner
from tests.events.programs import Program
from tests.processes.test_write_lock import HOLDER

LEASE = 0.5
OWNER = """
    import sys
    from outlive.events import LmdbLog
    log = LmdbLog(sys.argv[1], lease=60.0)  # It may be slow, and is the owner until it dies.
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Program]:
    """Another process that owns the folder."""
    with Program(OWNER, tmp_path) as program:
        assert program.line() == "open"
        yield program


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm_all()


def runtime(folder: Path, **options: Any) -> Runtime:
    return Runtime(folder, agents=[poet()], lease=LEASE, **options)


def poet() -> Agent:
    return Agent("poet", model=ScriptedModel([Turn("Roses are red.")]))


def is_free(folder: Path) -> bool:
    return look_at_owner(folder / "owner.lock")[0] == "none"


async def until_free(folder: Path) -> None:
    while not is_free(folder):  # noqa: ASYNC110  # no event of this loop tells
        await asyncio.sleep(0.01)


async def until_owner(rt: Runtime) -> None:
    while str(rt.role) != "owner":  # noqa: ASYNC110  # no event of this loop tells
        await asyncio.sleep(0.01)


class Opening:
    """Makes the opening of a log stand still where it has the lock, until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun = threading.Event()
        self.goes_on = threading.Event()
        take = OwnerLock.take

        def slowly(path: Path) -> OwnerLock:
            lock = take(path)
            self._begun.set()
            self.goes_on.wait()
            return lock

        monkeypatch.setattr(OwnerLock, "take", slowly)

    async def begun(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._begun.wait)


def test_entering_that_is_cancelled_leaves_the_folder_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        opening = Opening(monkeypatch)
        rt = runtime(tmp_path)
        entering = asyncio.create_task(rt.__aenter__())
        await opening.begun()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        opening.goes_on.set()
        await rt.close()
        assert is_free(tmp_path)

    asyncio.run(body())


def test_entering_that_is_cancelled_at_any_turn_of_the_loop_leaves_it_to_others(
    tmp_path: Path,
) -> None:
    async def body(turns: int) -> bool:
        rt = runtime(tmp_path)
        entering = asyncio.create_task(rt.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        entered = entering.done()
        entering.cancel()
        await asyncio.wait([entering])
        if not entering.cancelled():
            await rt.__aexit__(None, None, None)
        return entered

    turns = 0
    while not asyncio.run(body(turns)):
        assert is_free(tmp_path)
        turns += 1


def test_one_that_is_closed_while_it_is_entered_is_not_open_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        opening = Opening(monkeypatch)
        rt = runtime(tmp_path)
        entering = asyncio.create_task(rt.__aenter__())
        await opening.begun()
        closing = asyncio.create_task(rt.close())
        await asyncio.sleep(0)
        opening.goes_on.set()
        with pytest.raises(LogClosed):
            await entering
        await closing
        assert is_free(tmp_path)

    asyncio.run(body())


def test_one_whose_loop_has_ended_does_not_take_over(tmp_path: Path, owner: Program) -> None:
    async def body() -> Runtime:
        return await runtime(tmp_path).__aenter__()

    before = set(threading.enumerate())
    rt = asyncio.run(body())
    standing_by = [t for t in set(threading.enumerate()) - before if t.name == "outlive-standby"]
    owner.kill()
    for thread in standing_by:
        thread.join(20)
    assert is_free(tmp_path)
    cast(LmdbVisitor, rt.log).close()


def test_an_owner_whose_log_has_failed_leaves_it_to_one_that_stands_by(tmp_path: Path) -> None:
    async def body() -> None:
        async with runtime(tmp_path) as rt:

            def fail() -> None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))

            failpoints.arm("batch.committing", fail)
            with pytest.raises(LogFailed):
                await rt.start("poet", "x")
            await until_free(tmp_path)
            with pytest.raises(LogFailed):
                await rt.start("poet", "y")

    asyncio.run(body())


@pytest.mark.parametrize("raised", [OSError(errno.ENOSPC, "full"), RuntimeError("no thread")])
def test_one_that_could_not_take_over_tries_again(
    tmp_path: Path, owner: Program, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    async def body() -> None:
        async with runtime(tmp_path) as rt:
            renew, fails = OwnerLock.renew, [raised, raised]

            def renewed(lock: OwnerLock, epoch: int, lease_s: float) -> None:
                mine = lock._path.is_relative_to(tmp_path)  # pyright: ignore[reportPrivateUsage]
                if mine and epoch and fails:
                    raise fails.pop()
                renew(lock, epoch, lease_s)

            monkeypatch.setattr(OwnerLock, "renew", renewed)
            owner.kill()
            async with asyncio.timeout(20):
                await until_owner(rt)
                assert (await rt.run("poet", "x")).output == "Roses are red."

    asyncio.run(body())


def test_one_that_is_replaced_before_it_has_begun_to_act_stands_by_again(
    tmp_path: Path, owner: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes over, is frozen at once, and wakes up when another one has taken over."""

    async def body() -> None:
        hand_over, replaced = Standby._hand_over, list[LmdbLog]()  # pyright: ignore[reportPrivateUsage]

        def handed_over(standby: Standby, taken: LmdbLog) -> None:
            if not replaced:
                replaced.append(taken)
                taken._lost(None)  # pyright: ignore[reportPrivateUsage]
                while taken._failure is None:  # pyright: ignore[reportPrivateUsage]
                    continue
            hand_over(standby, taken)

        monkeypatch.setattr(Standby, "_hand_over", handed_over)
        async with runtime(tmp_path) as rt, asyncio.timeout(20):
            run = await start_while_there_is_no_owner(rt, owner)
            observed = [recorded.version async for recorded in run.events()]
            assert replaced
            assert observed == list(range(1, len(observed) + 1))
            assert (await run.result()).output == "Roses are red."
            assert (await rt.run("poet", "again")).output == "Roses are red."

    asyncio.run(body())


async def start_while_there_is_no_owner(rt: Runtime, owner: Program) -> Run:
    """Return a run whose start lies in the inbox until somebody takes over."""
    owner.kill()
    return await rt.start("poet", "x")


def test_one_that_is_replaced_before_it_is_open_stands_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        begin, replaced = LmdbLog._begin, list[LmdbLog]()  # pyright: ignore[reportPrivateUsage]

        def begun(taken: LmdbLog, *arguments: Any) -> None:
            begin(taken, *arguments)
            if not replaced:
                replaced.append(taken)
                taken._lost(None)  # pyright: ignore[reportPrivateUsage]
                while taken._failure is None:  # pyright: ignore[reportPrivateUsage]
                    continue

        monkeypatch.setattr(LmdbLog, "_begin", begun)
        async with asyncio.timeout(20), runtime(tmp_path) as rt:
            assert (await rt.run("poet", "x")).output == "Roses are red."
            assert replaced

    asyncio.run(body())


def test_one_that_cannot_act_on_what_it_has_taken_over_leaves_it_to_others(
    tmp_path: Path, owner: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with runtime(tmp_path) as rt:
            tried = asyncio.Event()

            def unreadable(_: LmdbLog) -> None:
                tried.set()
                raise CorruptLog("a row", "for this test")

            monkeypatch.setattr(LmdbLog, "open_entries", unreadable)
            owner.kill()
            async with asyncio.timeout(20):
                await tried.wait()
                await until_free(tmp_path)
                with pytest.raises(OutliveError, match="could not be taken over"):
                    await rt.start("poet", "x")

    asyncio.run(body())


def test_without_an_event_loop_an_interrupted_entering_leaves_it_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = Future[Any].result
    interrupts = [KeyboardInterrupt()]

    def interrupted(future: Future[Any], timeout: float | None = None) -> Any:
        if interrupts:
            raise interrupts.pop()
        return result(future, timeout)

    monkeypatch.setattr(Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        SyncRuntime(tmp_path, lease=LEASE).__enter__()
    assert is_free(tmp_path)


def test_a_folder_that_was_replaced_is_neither_taken_over_nor_written(
    tmp_path: Path, owner: Program
) -> None:
    visitor = LmdbVisitor(tmp_path)
    (tmp_path / "log").rename(tmp_path / "log.before")
    (tmp_path / "log").mkdir()
    with pytest.raises(LogFailed, match="moved, deleted or replaced"):
        visitor.submit("c", run_stream("r"), b"")
    owner.kill()
    with pytest.raises(LogFailed, match="moved, deleted or replaced"):
        visitor.take_over()
    assert is_free(tmp_path)
    visitor.close()


def test_a_close_that_found_the_writer_stuck_may_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        rt = await runtime(tmp_path).__aenter__()
        with Program(HOLDER, tmp_path / "log") as holder, monkeypatch.context() as impatient:
            assert holder.line() == "holds"
            impatient.setattr(log, "_PATIENCE_S", 0.05)
            with pytest.raises(WriterStuck):
                await rt.close()
            assert not is_free(tmp_path)
        await rt.close()
        assert is_free(tmp_path)

    asyncio.run(body())


def test_a_relative_folder_stays_where_it_was_when_the_process_goes_elsewhere(
    tmp_path: Path, owner: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)

    async def body() -> None:
        async with runtime(Path()) as rt:
            monkeypatch.chdir(elsewhere)
            owner.kill()
            async with asyncio.timeout(20):
                await until_owner(rt)
            await rt.run("poet", "x", run_id="r")
            assert (await rt.runs.get("r")).status == "completed"

    asyncio.run(body())
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "views" / "runs").is_dir()


@pytest.mark.parametrize("path", ["", "a\0b", 5, b"bytes"])
def test_a_folder_that_is_none_is_refused_before_anything_is_opened(path: Any) -> None:
    for kind in (Runtime, SyncRuntime, LmdbLog, LmdbVisitor):
        with pytest.raises(InvalidDefinition, match="a folder is a path"):
            kind(path)
