"""The runner keeps views that are the fold of the log, whatever happens to their files."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from outlive.events import (
    Event,
    EventLog,
    Fenced,
    InvalidDefinition,
    LmdbLog,
    LogClosed,
    LogFailed,
    MemoryLog,
    NotFound,
    Position,
    Record,
    RunStarted,
    ViewBehind,
    ViewFailed,
)
from outlive.projections import Projection, Rows, RunsView, ViewRunner
from outlive.projections.views import following, runner
from outlive.projections.views.store import Unusable
from tests.events.programs import Program
from tests.support.small_disk import ALONE, may_mount
from tests.support.views import Dump, dump, end_run, fresh, start_run, view_file

T = TypeVar("T")


class Agents:
    """Counts the runs of each agent."""

    name = "agents"
    version = 1
    events: frozenset[type[Event]] = frozenset({RunStarted})

    def apply(self, records: Sequence[Record], rows: Rows) -> None:
        for record in records:
            begun = record.events[0]
            assert isinstance(begun, RunStarted)
            if begun.input == "trouble":
                rows.put(b"half", 1)
                raise ZeroDivisionError("of no use")
            if begun.input == "odd":
                rows.put(b"odd", object())
            key = begun.agent_id.encode()
            rows.put(key, (rows.get(key, int) or 0) + 1)


class OtherAgents(Agents):
    """The next version."""

    version = 2


@pytest.fixture(params=["memory", "lmdb"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], EventLog]:
    """Open the log once more, as the next process would."""
    if request.param == "lmdb":
        return lambda: LmdbLog(tmp_path)
    log: list[MemoryLog] = [MemoryLog()]

    def reopened() -> MemoryLog:
        log[0] = log[0].reopened()
        return log[0]

    return reopened


def folder_of(log: EventLog) -> Path | None:
    return log.path / "views" if isinstance(log, LmdbLog) else None


def running(
    log: EventLog,
    body: Callable[[ViewRunner], Coroutine[Any, Any, T]],
    *projections: Projection,
) -> T:
    """Run a body beside a runner of the log's views."""

    async def run() -> T:
        views = ViewRunner(log, projections or (RunsView(),), folder=folder_of(log))
        views.start()
        try:
            return await body(views)
        finally:
            await views.close()

    return asyncio.run(run())


async def rows(views: ViewRunner) -> Dump:
    return await views.read("runs", dump)


def test_a_query_reads_what_was_in_the_log_when_it_was_asked(
    opened: Callable[[], EventLog],
) -> None:
    log = opened()

    async def body(views: ViewRunner) -> None:
        for number in range(20):
            start_run(log, f"r{number}")
            assert await rows(views) == fresh(log)
            if number % 2:
                end_run(log, f"r{number}", failed=number % 4 == 1)
        assert await rows(views) == fresh(log)

    running(log, body)
    log.close()


def test_the_next_process_goes_on_from_the_checkpoint(opened: Callable[[], EventLog]) -> None:
    for number in range(3):
        log = opened()
        start_run(log, f"r{number}")
        found = running(log, rows)
        end_run(log, f"r{number}")
        assert len(found) > 2 * number
        assert running(log, rows) == fresh(log)
        log.close()


def test_what_was_committed_is_not_folded_again(opened: Callable[[], EventLog]) -> None:
    class Strict(RunsView):
        seen: list[int]

        def apply(self, records: Sequence[Record], rows: Rows) -> None:
            self.seen += (record.position for record in records)
            super().apply(records, rows)

    strict = Strict()
    strict.seen = []
    for number in range(5):
        log = opened()
        start_run(log, f"r{number}")
        running(log, rows, strict)
        log.close()
    assert strict.seen == sorted(set(strict.seen))
    assert len(strict.seen) == 5


def test_a_projection_that_raises_stands_still_and_the_others_go_on(
    opened: Callable[[], EventLog],
) -> None:
    log = opened()

    async def body(views: ViewRunner) -> None:
        start_run(log, "r1")
        assert await views.read("agents", dump) == [(b"poet", 1)]
        start_run(log, "r2", input="trouble")
        for _ in range(2):
            with pytest.raises(ViewFailed, match="ZeroDivisionError: of no use") as caught:
                await views.read("agents", dump)
            assert caught.value.view == "agents"
        start_run(log, "r3")
        assert await rows(views) == fresh(log)

    running(log, body, Agents(), RunsView())
    log.close()


def test_a_row_that_cannot_be_encoded_is_the_projections_failure(
    opened: Callable[[], EventLog],
) -> None:
    log = opened()

    async def body(views: ViewRunner) -> None:
        start_run(log, "r1", input="odd")
        while True:  # until it is committed
            await views.read("agents", lambda rows: None)
            await asyncio.sleep(0.01)

    with pytest.raises(ViewFailed, match="TypeError"):
        running(log, body, Agents())
    log.close()


def test_a_log_that_cannot_be_read_for_a_moment_is_read_again(
    opened: Callable[[], EventLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_AGAIN_AFTER", 0.01)
    log = opened()
    start_run(log, "r1")
    troubled = [True]
    read_all = log.read_all

    def read(**options: Any) -> list[Record]:
        if troubled[0]:
            raise LogFailed("too many read it")
        return read_all(**options)

    monkeypatch.setattr(log, "read_all", read)

    async def body(views: ViewRunner) -> None:
        with pytest.raises(ViewFailed, match="too many read it"):
            await rows(views)
        troubled[0] = False
        while True:  # tried again by itself
            try:
                assert await rows(views) == fresh(log)
            except ViewFailed:
                await asyncio.sleep(0.01)
            else:
                return

    running(log, body)
    log.close()


def test_files_that_somebody_has_open_for_a_moment_fail_no_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As when a process takes over while a query of its own, as a visitor, still reads.
    log = LmdbLog(tmp_path)
    start_run(log, "r1")
    open_view = runner.open_view  # type: ignore[attr-defined]  # as the runner sees it
    refused: list[Path] = []

    def opened_at_the_third_try(folder: Path, *rest: Any, **options: Any) -> Any:
        if len(refused) < 2:
            refused.append(folder)
            raise Unusable(f"{folder} is already open in this process")
        return open_view(folder, *rest, **options)

    monkeypatch.setattr(runner, "open_view", opened_at_the_third_try)

    async def body(views: ViewRunner) -> None:
        assert await rows(views) == fresh(log)

    running(log, body)
    assert len(refused) == 2
    log.close()


def test_another_version_is_built_anew(opened: Callable[[], EventLog]) -> None:
    log = opened()
    start_run(log, "r1")

    async def body(views: ViewRunner) -> Dump:
        return await views.read("agents", dump)

    assert running(log, body, Agents()) == running(log, body, OtherAgents()) == [(b"poet", 1)]
    log.close()


def test_a_projection_that_is_new_to_an_old_log_catches_up(
    opened: Callable[[], EventLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_PAGE", 7)
    monkeypatch.setattr(following, "_SLICE", 2)
    log = opened()
    for number in range(50):
        start_run(log, f"r{number}")
    assert running(log, rows) == fresh(log)
    log.close()


def test_views_of_two_projections_do_not_mix(opened: Callable[[], EventLog]) -> None:
    log = opened()
    start_run(log, "r1")

    async def body(views: ViewRunner) -> None:
        assert await views.read("agents", dump) == [(b"poet", 1)]
        assert await rows(views) == fresh(log)

    running(log, body, Agents(), RunsView())
    log.close()


@pytest.mark.parametrize("name", ["", "Runs", "../x", "a b", "1", "x" * 64])
def test_a_name_that_is_no_folders_is_refused(name: str) -> None:
    projection = Agents()
    projection.name = name
    with pytest.raises(InvalidDefinition):
        ViewRunner(MemoryLog(), [projection], folder=None)


def test_who_asks_a_process_that_owns_the_log_no_more_is_told_so(
    opened: Callable[[], EventLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened()
    start_run(log, "r1")

    def read(**options: Any) -> list[Record]:
        raise Fenced(1, 2)

    monkeypatch.setattr(log, "read_all", read)
    with pytest.raises(Fenced):
        running(log, lambda views: views.read("runs", dump))
    log.close()


def test_who_owns_a_log_in_memory_no_more_neither_reads_nor_writes_its_views() -> None:
    log = MemoryLog()

    async def overtaken(views: ViewRunner) -> MemoryLog:
        start_run(log, "r1")
        await rows(views)
        following = MemoryLog(store=log.store)
        with pytest.raises(Fenced):
            await rows(views)
        return following

    following = running(log, overtaken)
    start_run(following, "r2")
    assert running(following, rows) == fresh(following)


def test_two_projections_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidDefinition, match="two projections"):
        ViewRunner(MemoryLog(), [Agents(), OtherAgents()], folder=None)


def test_an_unknown_view_is_said_at_once(opened: Callable[[], EventLog]) -> None:
    log = opened()
    with pytest.raises(NotFound, match=r"'nothing' \(known: runs\)"):
        running(log, lambda views: views.read("nothing", dump))
    log.close()


def test_after_the_end_a_query_is_told_so(opened: Callable[[], EventLog]) -> None:
    log = opened()

    async def body() -> None:
        views = ViewRunner(log, [RunsView()], folder=folder_of(log))
        views.start()
        await views.close()
        await views.close()
        with pytest.raises(LogClosed):
            await views.read("runs", dump)

    asyncio.run(body())
    log.close()


def test_a_log_that_is_closed_first_is_the_end_of_its_views(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)

    async def body(views: ViewRunner) -> None:
        start_run(log, "r1")
        await rows(views)
        log.close()

    running(log, body)


def test_a_view_that_does_not_keep_up_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LmdbLog(tmp_path)

    async def body(views: ViewRunner) -> None:
        start_run(log, "r1")
        await rows(views)
        monkeypatch.setattr(runner, "PATIENCE", 0.05)
        further = Position(log.head + 1)  # of a record that is never published
        with monkeypatch.context() as patch:
            patch.setattr(LmdbLog, "head", further)
            with pytest.raises(ViewBehind, match="position 1 and the log is at 2") as caught:
                await rows(views)
        assert (caught.value.view, caught.value.at, caught.value.head) == ("runs", 1, 2)

    running(log, body)
    log.close()


# -- files --


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for at in range(100, len(data), 4_096):
        data[at] ^= 0x40
    file.write_bytes(data)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def garbage(file: Path) -> None:
    file.write_bytes(os.urandom(file.stat().st_size))


def folder_in_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


def no_checksum(file: Path) -> None:
    file.with_name("clean.json").write_bytes(b"{")


def flip_without_checksum(file: Path) -> None:
    no_checksum(file)
    flip(file)


def lock_garbage(file: Path) -> None:
    file.with_name("lock.mdb").write_bytes(os.urandom(10_000))


def file_for_folder(file: Path) -> None:
    shutil.rmtree(file.parents[2])
    file.parents[2].write_text("something else")


def gone(file: Path) -> None:
    shutil.rmtree(file.parents[1])


DAMAGES = [
    flip,
    cut,
    empty,
    garbage,
    folder_in_its_place,
    no_checksum,
    flip_without_checksum,
    lock_garbage,
    file_for_folder,
    gone,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_are_damaged_are_built_anew(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    log = LmdbLog(tmp_path)
    for number in range(200):
        start_run(log, f"r{number}")
    running(log, rows)

    damage(view_file(tmp_path))

    assert running(log, rows) == fresh(log)
    assert running(log, rows) == fresh(log)
    log.close()


def test_a_view_of_another_log_is_built_anew(tmp_path: Path) -> None:
    one, other = LmdbLog(tmp_path / "one"), LmdbLog(tmp_path / "other")
    for number in range(5):
        start_run(one, f"r{number}")
    running(one, rows)
    shutil.copytree(one.path / "views", other.path / "views")
    assert running(other, rows) == []
    one.close()
    other.close()


def test_a_view_that_is_ahead_of_a_restored_log_is_built_anew(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path / "log")
    start_run(log, "r1")
    log.close()
    shutil.copytree(tmp_path / "log", tmp_path / "backup")
    log = LmdbLog(tmp_path / "log")
    start_run(log, "lost-1")
    start_run(log, "lost-2")
    running(log, rows)
    log.close()
    shutil.copytree(tmp_path / "log" / "views", tmp_path / "backup" / "views")

    restored = LmdbLog(tmp_path / "backup")
    assert running(restored, rows) == fresh(restored)
    start_run(restored, "other-1")
    start_run(restored, "other-2")
    assert running(restored, rows) == fresh(restored)
    restored.close()


def test_a_view_of_a_log_that_went_another_way_is_built_anew(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path / "log")
    start_run(log, "r1")
    log.close()
    shutil.copytree(tmp_path / "log", tmp_path / "backup")
    log = LmdbLog(tmp_path / "log")
    start_run(log, "lost-1")
    running(log, rows)
    log.close()
    restored = LmdbLog(tmp_path / "backup")
    start_run(restored, "other-1")
    start_run(restored, "other-2")
    shutil.copytree(tmp_path / "log" / "views", tmp_path / "backup" / "views")

    assert running(restored, rows) == fresh(restored)
    restored.close()


def test_files_that_are_taken_away_meanwhile_are_built_anew(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)

    async def body(views: ViewRunner) -> None:
        start_run(log, "r1")
        await rows(views)
        shutil.rmtree(tmp_path / "views")
        start_run(log, "r2")
        while not (tmp_path / "views" / "runs").exists():
            assert await rows(views) == fresh(log)
            await asyncio.sleep(0.01)
        assert await rows(views) == fresh(log)

    running(log, body)
    assert running(log, rows) == fresh(log)
    log.close()


def test_a_folder_that_cannot_be_made_fails_queries_at_once_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_AGAIN_AFTER", 0.01)
    log = LmdbLog(tmp_path)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    async def body(views: ViewRunner) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "mkdir", refused)
            start_run(log, "r1")
            with pytest.raises(ViewFailed, match="Permission denied"):
                await rows(views)
        while True:  # tried again by itself
            try:
                assert await rows(views) == fresh(log)
            except ViewFailed:
                await asyncio.sleep(0.01)
            else:
                return

    running(log, body)
    log.close()


A_VIEW_ON_A_FULL_DISK = """
    import asyncio, os, sys, threading
    from pathlib import Path
    import structlog
    from outlive.events import ViewFailed
    from outlive.events.lmdb_store import LmdbLog
    from outlive.projections import RunsQuery, RunsView, ViewRunner
    from outlive.projections.views import following, runner
    from tests.support.small_disk import fill, mount
    from tests.support.views import start_run

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    following._AGAIN_AFTER = 0.01
    tries, open_view = threading.Semaphore(0), runner.open_view

    def counted(*arguments, **options):
        tries.release()
        return open_view(*arguments, **options)

    runner.open_view = counted
    place = Path(sys.argv[1])
    mount(place)
    log = LmdbLog(place / "log")
    start_run(log, "r1")
    ballast = fill(place)

    async def main():
        views = ViewRunner(log, [RunsView()], folder=place / "views")
        views.start()
        query = RunsQuery(log, views)
        try:
            await query.list()
        except ViewFailed as error:
            print("No space left" in str(error), flush=True)
        for _ in range(4):
            await asyncio.to_thread(tries.acquire)
        print(len(os.listdir(place / "views" / "runs")) < 2, flush=True)
        ballast.unlink()
        while True:
            try:
                print([run.run_id for run in (await query.list()).runs], flush=True)
            except ViewFailed:
                await asyncio.sleep(0.01)
            else:
                break
        await views.close()

    asyncio.run(main())
    log.close()
"""


@pytest.mark.slow
def test_a_view_on_a_full_disk_fails_queries_and_goes_on_by_itself(tmp_path: Path) -> None:
    if not may_mount():
        pytest.skip("this process may not mount a small disk (unshare -rm mount -t tmpfs)")
    with Program(A_VIEW_ON_A_FULL_DISK, tmp_path, before=ALONE) as program:
        assert program.lines() == ["True", "True", "['r1']"]
        assert program.end() == 0


def test_a_view_that_rests_goes_on_while_the_log_waits_for_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_REST", 0)
    monkeypatch.setattr(following, "_LULL_WITHIN", 3_600)
    log = LmdbLog(tmp_path)

    async def body(views: ViewRunner) -> None:
        view = views._views["runs"]  # pyright: ignore[reportPrivateUsage]
        resting = log._opened.feed._at_lull  # pyright: ignore[reportPrivateUsage]
        assert not await rows(views)
        for number in range(5):
            await asyncio.to_thread(start_run, log, f"r{number}")
            async with asyncio.timeout(20):
                while view.at < log.head or not resting:  # noqa: ASYNC110  # to ask would wake it
                    await asyncio.sleep(0)
        assert await rows(views) == fresh(log)

    running(log, body)
    log.close()
