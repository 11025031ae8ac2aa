"""Taking a folder over: who may, what is refused, and what a refusal leaves alone."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from outlive.events import (
    CorruptLog,
    LogClosed,
    LogInUse,
    LogNotFound,
    LogNotWritable,
    ModelDelta,
    NewerFormat,
    Version,
)
from outlive.events.lmdb_store import LmdbLog, LmdbReader, layout
from outlive.testing.log_contract.filling import A, Filler, texts
from tests.events.lmdb_files import DATA, rows, write_row
from tests.events.programs import Program

OWN_UNTIL_TOLD = """
    import sys
    from outlive.events.lmdb_store import LmdbLog
    log = LmdbLog(sys.argv[1])
    print(log.epoch, log.clean, flush=True)
    if sys.stdin.readline():
        log.close()
"""

TRY_TO_OPEN = """
    import os, sys
    from outlive.events import lmdb_store
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        log = getattr(lmdb_store, sys.argv[2])(sys.argv[1])
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print("opened", log.head)
        log.close()
"""


def filled(path: Path, count: int = 3) -> Path:
    log = LmdbLog(path)
    for _ in range(count):
        Filler(log).numbered(1)  # one by one: each has a row of its own
    log.close()
    return path


def content(path: Path) -> dict[str, bytes]:
    """All files of a folder but the lock files, which a look at the log may write."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in ("lock.mdb", "owner.lock")
    }


def test_the_epoch_grows_by_one_with_each_owner(tmp_path: Path) -> None:
    for epoch in range(1, 4):
        log = LmdbLog(tmp_path)
        assert (log.epoch, log.clean) == (epoch, True)
        log.close()


def test_a_killed_owner_is_seen_by_the_next_one_and_not_by_the_one_after(tmp_path: Path) -> None:
    with Program(OWN_UNTIL_TOLD, tmp_path) as owner:
        assert owner.line() == "1 True"
        owner.kill()
    for epoch, clean in ((2, False), (3, True)):
        log = LmdbLog(tmp_path)
        assert (log.epoch, log.clean) == (epoch, clean)
        log.close()


def test_a_folder_that_another_process_owns_is_in_use(tmp_path: Path) -> None:
    with Program(OWN_UNTIL_TOLD, tmp_path) as owner:
        owner.line()
        with pytest.raises(LogInUse, match=r"process \d+"):
            LmdbLog(tmp_path)
        owner.say("close")
        assert owner.end() == 0
    LmdbLog(tmp_path).close()


def test_a_folder_that_this_process_owns_is_in_use(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path)
    with pytest.raises(LogInUse, match="this process"):
        LmdbLog(tmp_path)
    with pytest.raises(LogInUse, match="this process"):
        LmdbReader(tmp_path)
    Filler(log).numbered(1)
    log.close()


def test_a_log_opened_before_a_fork_is_closed_in_the_child_and_free_after_the_parent(
    tmp_path: Path,
) -> None:
    log = LmdbLog(tmp_path)
    Filler(log).numbered(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        found: list[bool] = []
        for work in (
            lambda: log.read(A),
            lambda: log.append(A, [ModelDelta(text="x")], expected_version=Version(1)),
            lambda: log.head and log.version(A),
        ):
            try:
                work()
            except LogClosed as error:
                found.append("forked" in str(error))
        log.close()
        os.write(writing, b"%d" % (found == [True] * 3))
        os.read(reading, 0)
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 10) == b"1"
    os.close(reading)
    os.waitpid(child, 0)
    Filler(log).numbered(1)
    log.close()


def test_a_child_does_not_keep_the_lock_of_a_dead_owner(tmp_path: Path) -> None:
    fork_and_die = """
        import os, sys, time
        from outlive.events.lmdb_store import LmdbLog
        log = LmdbLog(sys.argv[1])
        reading, writing = os.pipe()
        if os.fork():
            os.read(reading, 1)
            print("forked", flush=True)
            os._exit(9)
        os.write(writing, b"x")
        sys.stdin.readline()
    """
    with Program(fork_and_die, tmp_path) as owner:
        assert owner.line() == "forked"
        assert owner.end() == 9
        log = LmdbLog(tmp_path)  # The child still waits for its line.
        assert (log.epoch, log.clean) == (2, False)
        log.close()
        owner.say("end")


def test_a_folder_without_a_log_has_nothing_to_read_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LogNotFound):
        LmdbReader(tmp_path)
    with pytest.raises(LogNotFound):
        LmdbReader(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_a_file_cannot_become_a_log(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "below"):
        with pytest.raises(LogNotWritable):
            LmdbLog(path)
        with pytest.raises(LogNotFound):
            LmdbReader(path)
    assert file.read_text() == "mine"


@pytest.fixture
def for_all() -> Generator[Path]:
    """A folder that other users may enter; what is in it may be made unwritable."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        for folder in Path(name).rglob("*/"):
            folder.chmod(0o755)


def unwritable(path: Path) -> None:
    for file in sorted(path.rglob("*")):
        file.chmod(0o555 if file.is_dir() else 0o444)
    path.chmod(0o555)


def test_a_folder_that_may_not_be_written_cannot_be_owned(for_all: Path) -> None:
    path = filled(for_all / "log")
    unwritable(path)
    before = content(path)
    for target in (path, path / "new"):
        with Program(TRY_TO_OPEN, target, "LmdbLog") as other:
            assert other.lines()[0].startswith("LogNotWritable cannot write in")
    assert content(path) == before


def test_a_folder_that_may_not_be_written_can_be_read(for_all: Path) -> None:
    path = filled(for_all / "log", 5)
    unwritable(path)
    with Program(TRY_TO_OPEN, path, "LmdbReader") as other:
        assert other.lines() == ["opened 5"]


def test_a_newer_store_format_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = filled(tmp_path / "log")
    marker = path / "log.json"
    for change in (
        lambda: marker.write_bytes(
            msgspec.json.encode({**msgspec.json.decode(marker.read_bytes()), "store_format": 2})
        ),
        lambda: write_row(path, "meta", layout.FORMAT, (2).to_bytes(4, "big")),
    ):
        kept = marker.read_bytes()
        change()
        before = content(path)
        for opened in (LmdbLog, LmdbReader):
            with pytest.raises(NewerFormat) as refused:
                opened(path)
            assert (refused.value.found, refused.value.known) == (2, 1)
        assert content(path) == before
        marker.write_bytes(kept)


def test_a_newer_record_format_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = filled(tmp_path / "log")
    key, row = rows(path)["log"][-1]
    write_row(path, "log", key, row[:8] + b"\2" + row[9:])
    before = content(path)
    for opened in (LmdbLog, LmdbReader):
        with pytest.raises(NewerFormat, match="record 3"):
            opened(path)
    assert content(path) == before


def test_the_marker_of_another_log_is_found_out(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one"), filled(tmp_path / "other")
    (one / "log.json").write_bytes((other / "log.json").read_bytes())
    for opened in (LmdbLog, LmdbReader):
        with pytest.raises(CorruptLog, match="does not belong"):
            opened(one)


def test_a_marker_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    path = filled(tmp_path / "log")
    for broken in (b"", b"{", b'{"store_format": 1}'):
        (path / "log.json").write_bytes(broken)
        for opened in (LmdbLog, LmdbReader):
            with pytest.raises(CorruptLog, match=r"log\.json"):
                opened(path)


def test_a_marker_that_was_taken_away_is_written_again(tmp_path: Path) -> None:
    path = filled(tmp_path / "log")
    kept = (path / "log.json").read_bytes()
    (path / "log.json").unlink()
    log = LmdbLog(path)
    assert texts(log.read(A)) == ["1", "2", "3"]
    log.close()
    assert (path / "log.json").read_bytes() == kept


@pytest.mark.parametrize("size_bytes", [None, 0, 4096, 8192])
def test_a_log_whose_making_was_cut_off_is_made_anew(
    tmp_path: Path, size_bytes: int | None
) -> None:
    path = filled(tmp_path / "log")
    whole = (path / DATA).read_bytes()
    (path / "log.json").unlink()
    if size_bytes is None:
        (path / DATA).unlink()
    else:
        # Two pages with the roots of an empty environment are all that LMDB writes at first.
        with Program(
            "import lmdb, sys; lmdb.open(sys.argv[1]).close()", tmp_path / "empty"
        ) as program:
            assert program.end() == 0
        (path / DATA).write_bytes((tmp_path / "empty" / "data.mdb").read_bytes()[:size_bytes])
    log = LmdbLog(path)
    assert (log.head, log.epoch, log.clean) == (0, 1, True)
    Filler(log).numbered(1)
    log.close()
    assert whole != (path / DATA).read_bytes()


def test_the_map_is_as_large_as_the_platform_allows(tmp_path: Path) -> None:
    little_room = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        from outlive.events.lmdb_store import LmdbLog
        log = LmdbLog(sys.argv[1])
        print("opened", log.head)
        log.close()
    """
    path = filled(tmp_path / "log")
    with Program(little_room, path) as program:
        assert program.lines() == ["opened 3"]


def test_the_log_keeps_its_name(tmp_path: Path) -> None:
    log = LmdbLog(tmp_path / "one", log_id="mine")
    assert log.log_id == "mine"
    log.close()
    log = LmdbLog(tmp_path / "one", log_id="another")
    assert log.log_id == "mine"
    log.close()
    reader = LmdbReader(tmp_path / "one")
    assert reader.log_id == "mine"
    reader.close()
    other = LmdbLog(tmp_path / "other")
    assert len(other.log_id) == 32
    other.close()
