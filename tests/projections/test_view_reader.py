"""A process beside the owner: the owner's view, what the log has beyond it, and the open table."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from outlive.events import (
    LmdbLog,
    LmdbReader,
    LogClosed,
    NotFound,
    OpenEntry,
    Position,
    Record,
    RunFailed,
    ViewBehind,
    ViewFailed,
)
from outlive.events.lmdb_store import long_readers
from outlive.projections import Rows, RunsQuery, RunsView, ViewReader
from outlive.projections.views import visiting
from outlive.projections.views.view_file import Identity, open_view
from tests.crash.view_programs import owners_view, visitors_view
from tests.events.programs import Program
from tests.support.views import Dump, dump, end_run, fresh, go_on, start_run, view_file

OWNER = """
    import asyncio, sys
    from pathlib import Path
    from outlive.events import LmdbLog
    from outlive.projections import RunsView, ViewRunner
    from tests.support.views import dump, end_run, start_run

    async def main(folder):
        log = LmdbLog(folder)
        views = ViewRunner(log, [RunsView()], folder=folder / "views")
        views.start()
        print("open", flush=True)
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            if word == "start":
                start_run(log, rest)
            elif word == "end":
                end_run(log, rest)
            elif word == "commit":
                await views.close()
                views = ViewRunner(log, [RunsView()], folder=folder / "views")
                views.start()
            elif word == "close":
                await views.close()
                log.close()
                print("closed", flush=True)
                return
            await views.read("runs", dump)
            print("ok", flush=True)

    asyncio.run(main(Path(sys.argv[1])))
"""

READ = """
    import asyncio, sys
    from pathlib import Path
    from outlive.events import LmdbReader
    from outlive.projections import RunsView, ViewReader

    def stay(rows):
        rows.get(b"x", object)
        print("reading", flush=True)
        sys.stdin.readline()

    log = LmdbReader(sys.argv[1])
    views = ViewReader(log, [RunsView()], folder=Path(sys.argv[1]) / "views")
    asyncio.run(views.read("runs", stay))
"""
"""A visitor in the middle of a query, until it is told to go on."""


class Owner(Program):
    """A process that owns the log and keeps its view."""

    def __init__(self, folder: Path) -> None:
        super().__init__(OWNER, folder)
        assert self.line() == "open"

    def __enter__(self) -> Owner:
        return self

    def does(self, *commands: str) -> None:
        for command in commands:
            self.say(command)
            expected = "closed" if command == "close" else "ok"
            while (line := self.line()) != expected:
                assert "[warning  ]" in line, line


def look(views: ViewReader) -> Dump:
    return asyncio.run(views.read("runs", dump))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with 60 runs, and its view."""
    log = LmdbLog(tmp_path)
    for number in range(60):
        start_run(log, f"r{number}")
        if number % 2:
            end_run(log, f"r{number}")
    log.close()
    owners_view(tmp_path)
    return tmp_path


def test_beside_a_working_owner_it_tells_what_is_in_the_log(path: Path) -> None:
    with Owner(path) as owner:
        reader = LmdbReader(path)
        views = ViewReader(reader, [RunsView()], folder=path / "views")
        for number in range(5):
            owner.does(f"start n{number}")
            assert look(views) == fresh(reader)
            owner.does(f"end n{number}")
            assert look(views) == fresh(reader)
        owner.does("close")
        assert look(views) == fresh(reader)
        views.close()
        reader.close()


def test_it_folds_only_what_the_view_does_not_have(path: Path) -> None:
    applied: list[Position] = []

    class Watched(RunsView):
        def apply(self, records: Sequence[Record], rows: Rows) -> None:
            applied.extend(record.position for record in records)
            super().apply(records, rows)

    log = LmdbLog(path)
    head = log.head
    start_run(log, "late")
    log.close()
    reader = LmdbReader(path)
    views = ViewReader(reader, [Watched()], folder=path / "views")
    assert look(views) == fresh(reader)
    assert look(views) == fresh(reader)
    assert applied == [reader.head]
    assert reader.head > head
    views.close()
    reader.close()


def test_a_projection_is_not_asked_about_records_that_it_does_not_want(path: Path) -> None:
    class Ends:
        name, version, events = "ends", 1, frozenset({RunFailed})

        def apply(self, records: Sequence[Record], rows: Rows) -> None:
            rows.put(b"first", records[0].position)

    reader = LmdbReader(path)
    views = ViewReader(reader, [Ends()], folder=path / "views")
    assert asyncio.run(views.read("ends", dump)) == []
    views.close()
    reader.close()


def test_what_the_owner_commits_while_it_folds_is_not_folded_twice(path: Path) -> None:
    with Owner(path) as owner:

        class Slow(RunsView):
            """Comes to its first record when the owner has committed that, and another one."""

            applied = 0

            def apply(self, records: Sequence[Record], rows: Rows) -> None:
                if self.applied == 0:
                    owner.does("end r2", "close")
                self.applied += len(records)
                super().apply(records, rows)

        slow = Slow()
        reader = LmdbReader(path)
        views = ViewReader(reader, [slow], folder=path / "views")
        look(views)
        owner.does("end r0")
        before = fresh(reader)
        assert look(views) == before
        assert slow.applied == 1
        assert look(views) == fresh(reader)
        views.close()
        reader.close()


def test_one_that_asks_often_keeps_no_more_than_the_owner_has_not_committed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visiting, "_MANY", 10)
    reader = LmdbReader(path)
    views = ViewReader(reader, [RunsView()], folder=path / "views")
    (view,) = views._views.values()  # pyright: ignore[reportPrivateUsage]
    with Owner(path) as owner:
        for number in range(20):
            # given: it has folded what the owner had not committed yet
            owner.does(f"start often{number}")
            assert look(views) == fresh(reader)
            # when: the owner commits that, and no more
            owner.does("commit")
            assert look(views) == fresh(reader)
            # then: rows that are committed do not pile up above the owner's
            assert view._rows.above < 20  # pyright: ignore[reportPrivateUsage]
        owner.does("close")
    views.close()
    reader.close()


def test_without_any_view_it_folds_the_log(path: Path) -> None:
    shutil.rmtree(path / "views")
    found, expected = visitors_view(path)
    assert found == expected
    assert not (path / "views").exists()


@pytest.mark.parametrize("size", [0, 100, 5_000])
def test_a_view_that_is_damaged_is_not_read(path: Path, size: int) -> None:
    os.truncate(view_file(path), size)
    found, expected = visitors_view(path)
    assert found == expected


def test_an_owner_may_replace_the_view_meanwhile(path: Path) -> None:
    reader = LmdbReader(path)
    views = ViewReader(reader, [RunsView()], folder=path / "views")
    assert look(views) == fresh(reader)
    view_file(path).write_bytes(b"something else")
    with Owner(path) as owner:
        assert look(views) == fresh(reader)
        owner.does("start late")
        assert look(views) == fresh(reader)
        shutil.rmtree(path / "views")
        owner.does("start later")
        assert look(views) == fresh(reader)
        owner.does("close")
    assert look(views) == fresh(reader)
    views.close()
    reader.close()


def test_an_owner_that_is_killed_leaves_a_view_that_can_be_read(path: Path) -> None:
    with Owner(path) as owner:
        owner.does("start late")
    found, expected = visitors_view(path)
    assert found == expected


def test_a_visitor_that_is_killed_within_a_query_does_not_let_the_view_grow(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: the owner's view, and a visitor that was killed while it read
    monkeypatch.setattr(long_readers, "LOOK_AFTER_S", 0)
    log = LmdbLog(path)
    view, _ = open_view(path / "views" / "runs", Identity(log.log_id, "runs", RunsView.version))
    with Program(READ, path) as visitor:
        assert visitor.line() == "reading"
        visitor.kill()
    before = view_file(path).stat().st_size
    # when: the owner commits the same few rows again and again
    for number in range(200):
        view.commit([(b"%d" % (number % 5), bytes(2_000))], view.checkpoint)
    # then: it uses the pages again that no living process reads
    assert view_file(path).stat().st_size < before + 100_000
    view.close()
    log.close()


def test_it_takes_a_bounded_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(path / "views")
    monkeypatch.setattr(visiting, "PATIENCE", -1.0)
    reader = LmdbReader(path)
    views = ViewReader(reader, [RunsView()], folder=path / "views")
    with pytest.raises(ViewBehind, match="is at"):
        look(views)
    monkeypatch.setattr(visiting, "PATIENCE", 5.0)
    assert look(views) == fresh(reader)
    views.close()
    reader.close()


def test_what_it_cannot_fold_fails_each_query_and_leaves_nothing_behind(path: Path) -> None:
    class Broken(RunsView):
        broken = True

        def apply(self, records: Sequence[Record], rows: Rows) -> None:
            super().apply(records, rows)
            if self.broken and records[-1].position >= 7:
                raise ZeroDivisionError("of no use")

    shutil.rmtree(path / "views")
    reader, broken = LmdbReader(path), Broken()
    views = ViewReader(reader, [broken], folder=path / "views")
    for _ in range(2):
        with pytest.raises(ViewFailed, match="of no use"):
            look(views)
    broken.broken = False
    assert look(views) == fresh(reader)
    views.close()
    reader.close()


def test_unknown_views_and_closed_ones_are_said_at_once(path: Path) -> None:
    reader = LmdbReader(path)
    views = ViewReader(reader, [RunsView()], folder=path / "views")
    with pytest.raises(NotFound):
        asyncio.run(views.read("nothing", dump))
    views.close()
    views.close()
    with pytest.raises(LogClosed):
        look(views)
    reader.close()


def test_runs_are_asked_for_in_the_same_way(path: Path) -> None:
    log = LmdbLog(path)
    start_run(log, "late")
    go_on(log, "r0", entry=OpenEntry(kind="run", status="blocked", reason="no agent"))
    log.close()
    reader = LmdbReader(path)
    views = ViewReader(reader, [RunsView()], folder=path / "views")
    runs = RunsQuery(reader, views)

    async def ask() -> None:
        page = await runs.list(limit=2)
        assert [run.run_id for run in page.runs] == ["late", "r59"]
        assert page.cursor is not None
        following = await runs.list(limit=2, cursor=page.cursor)
        assert [run.run_id for run in following.runs] == ["r58", "r57"]
        assert (await runs.get("r0")).status == "blocked"
        assert len((await runs.list(status="running", limit=100)).runs) == 30
        assert len((await runs.list(status="completed", limit=100)).runs) == 30

    asyncio.run(ask())
    views.close()
    reader.close()
